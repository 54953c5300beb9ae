"""Neural networks on real data, tracked by their equations: the question most readers of the papers have.

Protocol (a) is that of the papers: the gradient of all examples, with Gaussian noise of known covariance injected.
Protocol (b) is training: minibatches, whose exact covariance drives the equations through reweighted examples.
Sizes are for two cores; `--full` has the papers' where they are known. Every row says what part of a data set it used.
"""

from __future__ import annotations

from typing import NamedTuple

from driftax.report.numbers import with_error
from driftax.reproduce._value import Answer, Experiment, Part, Results, Row
from driftax.reproduce.judge import Distance, distance, drawn

_SIGMAS = 4.0
_FOLLOWS = 5.0  # percent of the range of the loss
_COMPILED = ("derived-1", "derived-2")
_OURS, _MALLADI = "compagnoni-2025", "malladi-2022"


class _Net(NamedTuple):
    """A network and its data.

    Attributes:
        model: among the networks, with its sizes, as lines of [objective].
        data: among the data sets.
        words: both, for people.
        examples: trained on, of the small run and of the full one (None: all).
        steps: of the small run and of the full one.
        members: the same.
    """

    model: str
    data: str
    words: str
    examples: tuple[int | None, int | None]
    steps: tuple[int, int]
    members: tuple[int, int]


_NETS = {
    "mlp": _Net('model = "mlp"', "breast_cancer", "MLP, breast_cancer", (None, None), (150, 1500), (8, 16)),
    "cnn": _Net('model = "cnn"\nwidth = 4', "mnist", "CNN, MNIST", (256, 10_000), (100, 1500), (3, 5)),
    "transformer": _Net(
        'model = "vision_transformer"\npatch = 7\nwidth = 16\ndepth = 1',
        "mnist",
        "Transformer, MNIST",
        (128, 10_000),
        (100, 1500),
        (3, 5),
    ),
    "resnet": _Net('model = "resnet"', "cifar10", "ResNet, CIFAR-10", (128, None), (100, 500), (3, 5)),
}
# Standard deviation injected into every coordinate of the gradient, whose own size is about 1e-2.
_NOISE = 1e-3
# Second moments start at a number, as in callisti2025: grown from 0, that of a unit that is never active stays there,
# where an equation leaves its domain.
_MOMENTS = {"signsgd": "", "rmsprop": "nu = 0.01", "adam": "mu = 0.0\nnu = 0.01"}
_OPTIMIZERS = {
    "signsgd": "learning_rate = 0.00025",
    "rmsprop": "learning_rate = 0.0025\ndecay = 0.99\neps = 0.01\nweight_decay = 0.1",
    "adam": "learning_rate = 0.005\nb1 = 0.9\nb2 = 0.99\neps = 0.01\nweight_decay = 0.1\nbias_correction = false",
}
_BATCH = 32


def _study(net: _Net, optimizer: str, minibatches: bool, full: bool) -> str:
    examples, steps, members = net.examples[full], net.steps[full], net.members[full]
    sizes = "" if examples is None else f"examples = {examples}\ntest_examples = {min(examples, 1000)}\n"
    noise = f'name = "minibatch"\nbatch_size = {_BATCH}'
    if not minibatches:
        noise = f'name = "gaussian"\ncovariance = {_NOISE**2!r}'
    adaptive = optimizer != "signsgd"
    models = [*(_COMPILED if adaptive or not minibatches else _COMPILED[:1])]
    models += [_OURS, _MALLADI] if adaptive else [] if minibatches else [_OURS]
    moments = {"signsgd": [], "rmsprop": ["nu_sq"], "adam": ["mu_sq", "nu_sq"]}[optimizer]
    observables = ["loss", "accuracy", "test_loss", "test_accuracy", "params_sq", *moments]
    return f"""seed = 0

[objective]
name = "network"
data = "{net.data}"
{net.model}
{sizes}
[noise]
{noise}

[optimizer]
name = "{optimizer}"
{_OPTIMIZERS[optimizer]}

[start]
{_MOMENTS[optimizer]}

[regime]
name = "ballistic"

[compare]
steps = {steps}
record = {sorted({1, *(round(steps * i / 10) for i in range(1, 11))})}
models = {models!r}
observables = {observables!r}
members = {members}
precision = "float32"
"""


_RUNS = (("signsgd", False), ("rmsprop", False), ("adam", False), ("adam", True))
_WORDS = {"signsgd": "SignSGD", "rmsprop": "RMSpropW", "adam": "AdamW"}


def _name(optimizer: str, minibatches: bool) -> str:
    return f"{_WORDS[optimizer].lower()}-{'minibatches' if minibatches else 'injected'}"


def _parts(net: _Net, full: bool) -> tuple[Part, ...]:
    return tuple(
        Part(_name(optimizer, minibatches), "verify", _study(net, optimizer, minibatches, full))
        for optimizer, minibatches in _RUNS
    )


def _judge(net: _Net):
    def rows(found: Results) -> list[Row]:
        return [
            row
            for optimizer, minibatches in _RUNS
            for row in _of_part(net, optimizer, minibatches, found[_name(optimizer, minibatches)])
        ]

    return rows


def _of_part(net: _Net, optimizer: str, minibatches: bool, results: dict) -> list[Row]:
    """How far every model is from the optimizer; the published ones beside each other."""
    protocol = f"batches of {_BATCH}" if minibatches else f"injected noise {_NOISE:g}"
    size = results["setup"]["objective"].removeprefix("network, ")
    members = results["means"][0]["members"]
    steps = results["means"][0]["step"][-1]
    about = f"{net.words} ({size}), {_WORDS[optimizer]}, {protocol}, {steps} steps, {members} members"
    lost = max(row["failed"] for row in results["means"])
    return [_row(f"{about}: {model}", distance(results, model), lost) for model in _models(results)]


def _models(results: dict) -> list[str]:
    return list(dict.fromkeys(row["model"] for row in results["errors"]))


def _row(words: str, found: Distance, lost: int) -> Row:
    """Whether a model follows; not where members left the domain, which all models are then compared without."""
    ratio, noise = 100 * found.ratio, 100 * (_SIGMAS * found.error + found.doubled)
    told = f"{with_error(ratio, 100 * found.error)} %; {100 * found.doubled:.2g} % by doubling the substeps"
    if lost:
        answer, told = Answer.INCONCLUSIVE, f"{lost} members left the domain of a model"
    elif ratio + noise < _FOLLOWS:
        answer = Answer.AGREES
    else:
        answer = Answer.DISAGREES if ratio - noise > _FOLLOWS else Answer.INCONCLUSIVE
    return Row(words, f"follows (below {_FOLLOWS:g} %)", told, answer)


def _experiment(name: str, net: _Net) -> Experiment:
    return Experiment(
        f"network-{name}",
        f"{net.words}: SignSGD, RMSpropW and AdamW tracked by their equations",
        "compagnoni2025, figure 1 and appendices F.1 to F.7; callisti2025, neural networks",
        _parts(net, False),
        _judge(net),
        drawn,
        _parts(net, True),
    )


EXPERIMENTS = tuple(_experiment(name, net) for name, net in _NETS.items())
