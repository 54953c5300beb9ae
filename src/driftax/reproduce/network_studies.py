"""The studies of networks: nets with their data, and optimizers with their gradient laws, in every combination wanted.

Protocol (a) is that of the papers: the gradient of all examples, with Gaussian noise of known covariance injected.
Protocol (b) is training: minibatches, whose exact covariance drives the equations through reweighted examples.
Sizes are for two cores; the full ones are the papers' where they are known.
"""

from __future__ import annotations

from typing import NamedTuple

_FIRST, _SECOND = "derived-1", "derived-2"
_OURS, _MALLADI, _CALLISTI = "compagnoni-2025", "malladi-2022", "callisti-2025-2"


class Net(NamedTuple):
    """A network on its data, and for how long it is trained.

    Attributes:
        words: both, for people.
        data: among the data sets.
        model: among the networks, with its sizes, as lines of [objective].
        examples: trained on, of the small run and of the full one (None: all).
        steps: the same.
        members: the same.
    """

    words: str
    data: str
    model: str
    examples: tuple[int | None, int | None]
    steps: tuple[int, int]
    members: tuple[int, int]


class Run(NamedTuple):
    """An optimizer and a gradient law, with the equations compared.

    Attributes:
        name: of the part.
        words: for people.
        optimizer: lines of [optimizer].
        noise: lines of [noise].
        models: the equations.
        start: lines of [start]. A second moment is not grown from 0: that of a unit that is never active stays
            there, where an equation leaves its domain.
        moments: what is averaged of the state beside the params.
        more: further lines of [compare].
        regime: of the equations.
    """

    name: str
    words: str
    optimizer: str
    noise: str
    models: tuple[str, ...]
    start: str = ""
    moments: tuple[str, ...] = ()
    more: str = ""
    regime: str = "ballistic"


def study(net: Net, run: Run, full: bool) -> str:
    """The study file of an optimizer on a net, at the small size or the full one."""
    examples, steps = net.examples[full], net.steps[full]
    sizes = "" if examples is None else f"examples = {examples}\ntest_examples = {min(examples, 1000)}\n"
    observables = ["loss", "accuracy", "test_loss", "test_accuracy", "params_sq"]
    if net.data == "diabetes":
        observables = ["loss", "test_loss", "params_sq"]
    return f"""seed = 0

[objective]
name = "network"
data = "{net.data}"
{net.model}
{sizes}
[noise]
{run.noise}

[optimizer]
{run.optimizer}

[start]
{run.start}

[regime]
name = "{run.regime}"

[compare]
steps = {steps}
record = {sorted({1, *(round(steps * i / 10) for i in range(1, 11))})}
models = {list(run.models)!r}
observables = {observables + list(run.moments)!r}
members = {net.members[full]}
precision = "float32"
{run.more}"""


_INJECTED = 'name = "gaussian"\ncovariance = 1e-4'  # 1e-2 in every coordinate, as large as the gradient's own
_WITH_NOISE = "injected noise 0.01"
_MINIBATCHES = 'name = "minibatch"\nbatch_size = 32'
_ADAPTIVE = (_FIRST, _SECOND, _OURS, _MALLADI)
_RMSPROP = ("nu = 0.01", ("nu_sq",))
_ADAM = ("mu = 0.0\nnu = 0.01", ("mu_sq", "nu_sq"))


def tracked(
    rates: tuple[float, float], decays: tuple[float, float, float] = (0.99, 0.9, 0.99)
) -> tuple[Run, ...]:
    """SignSGD, RMSpropW and AdamW with injected noise, and AdamW under minibatches.

    Args:
        rates: learning rates of SignSGD and of the other two.
        decays: of RMSprop, then b1 and b2 of Adam.
    """
    sign, adaptive = rates
    tail = "eps = 0.01\nweight_decay = 0.1"
    rmsprop = f'name = "rmsprop"\nlearning_rate = {adaptive}\ndecay = {decays[0]}\n{tail}'
    adam = f'name = "adam"\nlearning_rate = {adaptive}\nb1 = {decays[1]}\nb2 = {decays[2]}\n{tail}'
    adam += "\nbias_correction = false"
    return (
        Run(
            "signsgd-injected",
            f"SignSGD, {_WITH_NOISE}",
            f'name = "signsgd"\nlearning_rate = {sign}',
            _INJECTED,
            (_FIRST, _SECOND, _OURS),
        ),
        Run("rmspropw-injected", f"RMSpropW, {_WITH_NOISE}", rmsprop, _INJECTED, _ADAPTIVE, *_RMSPROP),
        Run("adamw-injected", f"AdamW, {_WITH_NOISE}", adam, _INJECTED, _ADAPTIVE, *_ADAM),
        Run("adamw-minibatches", "AdamW, batches of 32", adam, _MINIBATCHES, _ADAPTIVE, *_ADAM),
    )


def others(rate: float) -> tuple[Run, ...]:
    """What the papers' networks leave out: no decay, another scheme, heavy tails, Lion, an optimizer of optax."""
    adam = f'name = "adam"\nlearning_rate = {rate}\nb1 = 0.9\nb2 = 0.99\neps = 0.01\nbias_correction = false'
    rmsprop = f'name = "rmsprop"\nlearning_rate = {rate}\ndecay = 0.99\neps = 0.01'
    sign = f'name = "signsgd"\nlearning_rate = {rate / 10}'
    return (
        Run(
            "sgd-minibatches",
            "SGD, batches of 32",
            'name = "sgd"\nlearning_rate = 0.005',
            _MINIBATCHES,
            (_FIRST, _SECOND),
        ),
        Run("rmsprop-injected", f"RMSprop, {_WITH_NOISE}", rmsprop, _INJECTED, _ADAPTIVE, *_RMSPROP),
        Run("adam-injected", f"Adam, {_WITH_NOISE}", adam, _INJECTED, _ADAPTIVE, *_ADAM),
        Run(
            "adam-splitting",
            f"Adam, {_WITH_NOISE}, split small noise (weak order 2)",
            adam,
            _INJECTED,
            (_FIRST,),
            *_ADAM,
            'scheme = "splitting"\n',
        ),
        Run(
            "signsgd-student-t",
            "SignSGD, injected Student-t noise (4 degrees of freedom)",
            sign,
            'name = "student_t"\nscale = 0.01\ndof = 4.0',
            (_FIRST, _OURS),
        ),
        Run(
            "lion-injected",
            f"Lion, {_WITH_NOISE}",
            f'name = "lion"\nlearning_rate = {rate / 10}\nb1 = 0.9\nb2 = 0.99',
            _INJECTED,
            (_FIRST,),
            "mu = 0.0",
            ("mu_sq",),
        ),
        Run(
            "optax-minibatches",
            "optax.nadamw, batches of 32",
            f'name = "optax.nadamw"\nlearning_rate = {rate}\nb2 = 0.99\neps = 0.01',
            _MINIBATCHES,
            (_FIRST, _SECOND),
            "mu = 0.0\nnu = 0.01\nstep = 500",  # past the correction of the bias
        ),
    )


def callisti(step: float, c: float, c1: float, c2: float) -> tuple[Run, ...]:
    """RMSprop and Adam with the hyperparameters of callisti2025: rates `c` in units of time, eps = 0.1, v_0 = 1."""
    models = (_FIRST, _SECOND, _CALLISTI)

    def run(name: str, words: str, optimizer: str, first: bool, noisy: bool) -> Run:
        unit = step**0.5 if noisy else 1.0  # a gradient of the noisy regime is 1 over this
        lines = (
            f'{optimizer}\nlearning_rate = {step / unit!r}\neps = {0.1 / unit!r}\ndenominator = "previous"'
        )
        regime = "batch-equivalent" if noisy else "ballistic"
        noise = f'name = "gaussian"\ncovariance = {1e-4 / unit**2!r}'
        return Run(
            f"{name}-{regime}",
            f"{words}, sigma = 0.01, {regime}",
            lines,
            noise,
            models[:1] if noisy else models,
            "mu = 0.0\nnu = 1.0" if first else "nu = 1.0",
            _ADAM[1] if first else _RMSPROP[1],
            regime=regime,
        )

    rmsprop = f'name = "rmsprop"\ndecay = {1 - c * step!r}'
    adam = f'name = "adam"\nb1 = {1 - c1 * step!r}\nb2 = {1 - c2 * step!r}\nbias_correction = false'
    return tuple(
        run(name, words, lines, first, noisy)
        for name, words, lines, first in (
            ("rmsprop", "RMSprop", rmsprop, False),
            ("adam", "Adam", adam, True),
        )
        for noisy in (False, True)
    )


MLP = Net("MLP, breast_cancer", "breast_cancer", 'model = "mlp"', (None, None), (1500, 1500), (4, 16))
CNN = Net("CNN, MNIST", "mnist", 'model = "cnn"\nwidth = 4', (512, 10_000), (150, 1500), (4, 5))
TRANSFORMER = Net(
    "Transformer, MNIST",
    "mnist",
    'model = "vision_transformer"\npatch = 7\nwidth = 16\ndepth = 1',
    (512, 10_000),
    (150, 1500),
    (4, 5),
)
RESNET = Net("ResNet, CIFAR-10", "cifar10", 'model = "resnet"', (256, None), (150, 500), (4, 5))
TEXT = Net(
    "Character transformer, tiny Shakespeare",
    "tiny-shakespeare",
    'model = "char_transformer"\nlength = 32\nwidth = 16\ndepth = 1',
    (128, 4096),
    (100, 1500),
    (4, 5),
)
SHALLOW = Net(
    "Shallow net, diabetes (in place of California housing)",
    "diabetes",
    'model = "shallow"\nwidth = 3',
    (None, None),
    (500, 500),
    (32, 32),
)
CALLISTI_RESNET = Net("ResNet, MNIST", "mnist", 'model = "resnet"', (256, 10_000), (250, 250), (4, 3))
