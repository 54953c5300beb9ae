"""The sections of a study file as frozen values: their keys, types and ranges, and what each builds.

What one number may be is said here, once, by its type; what sections must be to each other is checked in
`driftax.study.spec`. A field's description is what an error message tells the user to write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError

from driftax.noise import (
    AbstractGradientNoise,
    EmpiricalNoise,
    GaussianMixture,
    GaussianNoise,
    LabelNoise,
    LinearRegressionNoise,
    MinibatchNoise,
    SkewedNoise,
    StudentT,
)
from driftax.objective import (
    AbstractObjective,
    DoubleWell,
    FunctionObjective,
    Quadratic,
    Rosenbrock,
    Saddle,
    polynomial,
)
from driftax.objective.models import finite_sum_by_name
from driftax.optimizer import (
    SGD,
    AbstractOptimizer,
    Adagrad,
    Adam,
    AMSGrad,
    DecayForm,
    Denominator,
    Lion,
    Maximum,
    Momentum,
    MomentumForm,
    NAdam,
    RAdam,
    Rectification,
    RMSprop,
    Scheduled,
    SignSGD,
    Signum,
)
from driftax.optimizer import schedule as factors
from driftax.optimizer.from_optax import optax_by_name
from driftax.regime import Regime
from driftax.study.entry import load_entry

# --- one value ---------------------------------------------------------------------------------------------


def _array(*ranks: int) -> BeforeValidator:
    """Reads a number, list or list of lists of finite numbers into (nested) tuples."""

    def read(value: Any) -> Any:
        result, rank = _tuples(value, "")
        if rank not in ranks:
            raise PydanticCustomError("rank", "a " + ("number", "list", "matrix")[min(rank, 2)])  # type: ignore[arg-type]
        return result

    return BeforeValidator(read)


def _tuples(value: Any, place: str) -> tuple[Any, int]:
    if isinstance(value, list | tuple):
        if not value:
            raise PydanticCustomError("empty", "an empty list")
        parts = [_tuples(entry, f"{place}[{i}]") for i, entry in enumerate(value)]
        if len({(rank, len(part) if rank else 0) for part, rank in parts}) > 1:
            raise PydanticCustomError("ragged", "rows that differ in length")
        return tuple(part for part, _ in parts), parts[0][1] + 1
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("entry", "{found}", {"found": f"{value!r}{place and f' at {place}'}"})
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise PydanticCustomError("entry", "{found}", {"found": f"{number}{place and f' at {place}'}"})
    return number, 0


_LARGEST = 2**63
LIST = "a list of finite numbers, one per parameter"
Positive = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, description="a number above 0, such as 0.01")
]
NonNegative = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, description="a number of 0 or more")
]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False, description="a finite number")]
Decay = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1, description="a number in [0, 1), such as 0.9")
]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
AtLeastZero = Annotated[int, Field(strict=True, ge=0, lt=_LARGEST, description="a whole number of 0 or more")]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, lt=_LARGEST, description="a whole number of 1 or more")]
AtLeastTwo = Annotated[int, Field(strict=True, ge=2, lt=_LARGEST, description="a whole number of 2 or more")]
Vector = Annotated[Any, _array(1), Field(description=LIST)]
Matrix = Annotated[
    Any,
    _array(2),
    Field(description="a square matrix of finite numbers, row by row, such as [[1.0, 0.5], [0.5, 1.0]]"),
]
Covariance = Annotated[
    Any,
    _array(0, 1, 2),
    Field(description="a variance, a list of variances, or a symmetric matrix, row by row"),
]
Scales = Annotated[
    Any, _array(0, 1), Field(description="a number of 0 or more, or a list with one per parameter")
]
_ENTRIES = "a list of finite numbers, one per component, such as [0.95, 0.05]"
Entries = Annotated[Any, _array(1), Field(description=_ENTRIES)]
Ladder = Annotated[
    Any, _array(1), Field(description="a list of factors in (0, 1], one per rung, such as [1.0, 0.5, 0.25]")
]
WeightDecayForm = Annotated[
    Literal["decoupled", "l2"],
    Field(description='"decoupled" (beside the step) or "l2" (inside the gradient)'),
]
DenominatorName = Annotated[
    Literal["updated", "previous"],
    Field(description='"updated" (v_{k+1}: PyTorch, optax) or "previous" (v_k: the papers)'),
]


class Section(BaseModel):
    """One table of a study file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    _folder: Path = PrivateAttr(Path())

    def beside(self, folder: Path) -> Section:
        """The section with its relative paths read from `folder`, that of the study file."""
        copy = self.model_copy()
        copy._folder = folder
        return copy


# --- [objective] -------------------------------------------------------------------------------------------


class QuadraticSection(Section):
    """The loss `1/2 (x - minimum)^T hessian (x - minimum)`."""

    name: Literal["quadratic"]
    hessian: Matrix
    minimum: Vector | None = Field(None, description=LIST)

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Quadratic(self.hessian, self.minimum), None


class RosenbrockSection(Section):
    """The chained Rosenbrock loss."""

    name: Literal["rosenbrock"]
    dim: AtLeastTwo = 2
    steepness: Positive = 100.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Rosenbrock(self.dim, self.steepness), None


class SaddleSection(Section):
    """The embedded saddle `1/2 sum_i c_i x_i^2 + q/4 x_i^4`, the quartic where c_i is below 0."""

    name: Literal["saddle"]
    curvatures: Annotated[
        Any, _array(1), Field(description="a list of numbers of both signs, one per parameter")
    ] = (1.0, -1.0)
    quartic: Positive = 1.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Saddle(self.curvatures, self.quartic), None


class DoubleWellSection(Section):
    """Independent double wells `depth ((x_i / width)^2 - 1)^2 + tilt x_i`."""

    name: Literal["double_well"]
    dim: AtLeastOne = 1
    depth: Positive = 0.25
    width: Positive = 1.0
    tilt: Number = 0.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return DoubleWell(self.dim, self.depth, self.width, self.tilt), None


class PolynomialSection(Section):
    """The pair `f1 = 2 c (x - x1)^2 (x - x2)^4`, `f2 = 2 d (x - x3)^2` at noise level alpha.

    A sum over two examples; params are -1.2 where [start] has none.
    """

    name: Literal["polynomial"]
    alpha: NonNegative = 0.0
    c: Positive = 0.1
    d: Positive = 1.0
    x1: Number = -1.1
    x2: Number = 1.9
    x3: Number = 0.1

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return polynomial(**self.model_dump(exclude={"name"})), jnp.asarray([-1.2])


class PythonSection(Section):
    """A loss of your own, a function of params [dim]; reading the study runs the file that defines it."""

    name: Literal["python"]
    entry: Annotated[str, Field(strict=True, description='"path/to/file.py:function"')]
    dim: AtLeastOne

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return FunctionObjective(load_entry(self.entry, self._folder), self.dim), None


class FiniteSumSection(Section):
    """The mean loss of a small model over a data set; it brings the params a study starts from."""

    name: Literal["finite_sum"]
    data: Annotated[Literal["breast_cancer", "diabetes"], Field(description='"breast_cancer" or "diabetes"')]
    model: Annotated[
        Literal["logistic", "mlp", "linear"], Field(description='"logistic", "mlp" or "linear" (diabetes)')
    ]
    width: AtLeastOne = 8

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return finite_sum_by_name(self.data, self.model, seed, self.width)


ObjectiveSection = (
    QuadraticSection
    | RosenbrockSection
    | SaddleSection
    | DoubleWellSection
    | PolynomialSection
    | FiniteSumSection
    | PythonSection
)
OBJECTIVES: dict[str, type[Section]] = {
    "quadratic": QuadraticSection,
    "rosenbrock": RosenbrockSection,
    "saddle": SaddleSection,
    "double_well": DoubleWellSection,
    "polynomial": PolynomialSection,
    "finite_sum": FiniteSumSection,
    "python": PythonSection,
}

# --- [noise] -----------------------------------------------------------------------------------------------


class GaussianSection(Section):
    """Gaussian gradient noise; `covariance + loss * covariance_per_loss` is that of one gradient at rung 1."""

    name: Literal["gaussian"]
    covariance: Covariance
    covariance_per_loss: Covariance | None = Field(
        None, description="a variance, a list of variances, or a symmetric matrix, as `covariance` is"
    )

    def build(self) -> AbstractGradientNoise:
        return GaussianNoise(self.covariance, per_loss=self.covariance_per_loss)


class StudentTSection(Section):
    """Student-t gradient noise of independent coordinates; `scale` is that of one stochastic gradient at rung 1."""

    name: Literal["student_t"]
    scale: Scales
    dof: Positive

    def build(self) -> AbstractGradientNoise:
        return StudentT(self.scale, self.dof)


class SkewedSection(Section):
    """Shifted lognormal gradient noise of independent coordinates, with this variance and skewness."""

    name: Literal["skewed"]
    variance: Scales
    skewness: Number

    def build(self) -> AbstractGradientNoise:
        return SkewedNoise(self.variance, self.skewness)


class MixtureSection(Section):
    """A centred mixture of Gaussians, independent coordinates; means are 0 where left out."""

    name: Literal["mixture"]
    weights: Entries
    deviations: Entries
    means: Entries | None = Field(None, description=_ENTRIES)
    scale: Scales = 1.0

    def build(self) -> AbstractGradientNoise:
        return GaussianMixture(self.weights, self.means, self.deviations, self.scale)


class EmpiricalSection(Section):
    """Recorded gradients: the mean of `batch_size` of them is drawn afresh each step, about their mean."""

    name: Literal["empirical"]
    file: Annotated[str, Field(strict=True, description='"gradients.npz", relative to the study file')]
    batch_size: AtLeastOne = 1
    replacement: Flag = True

    def build(self) -> AbstractGradientNoise:
        return EmpiricalNoise.load(self._folder / self.file, self.batch_size, self.replacement)


class LinearRegressionSection(Section):
    """Linear regression in one pass: fresh Gaussian inputs whose covariance is the hessian, and noisy labels."""

    name: Literal["linear_regression"]
    label_variance: NonNegative
    batch_size: AtLeastOne = 1

    def build(self) -> AbstractGradientNoise:
        return LinearRegressionNoise(self.label_variance, self.batch_size)


class LabelNoiseSection(Section):
    """Fresh Gaussian noise on every label of a finite sum with a squared loss."""

    name: Literal["label_noise"]
    variance: NonNegative

    def build(self) -> AbstractGradientNoise:
        return LabelNoise(self.variance)


class MinibatchSection(Section):
    """The minibatch law of a finite sum, drawn afresh each step."""

    name: Literal["minibatch"]
    batch_size: AtLeastOne
    replacement: Flag = True

    def build(self) -> AbstractGradientNoise:
        return MinibatchNoise(self.batch_size, self.replacement)


NoiseSection = (
    GaussianSection
    | StudentTSection
    | SkewedSection
    | MixtureSection
    | MinibatchSection
    | EmpiricalSection
    | LinearRegressionSection
    | LabelNoiseSection
)
NOISES: dict[str, type[Section]] = {
    "gaussian": GaussianSection,
    "student_t": StudentTSection,
    "skewed": SkewedSection,
    "mixture": MixtureSection,
    "minibatch": MinibatchSection,
    "empirical": EmpiricalSection,
    "linear_regression": LinearRegressionSection,
    "label_noise": LabelNoiseSection,
}

# --- schedules of [optimizer] ------------------------------------------------------------------------------


class ScheduleSection(Section):
    """A factor on one number of the optimizer, as a function of the steps of rung 1 taken before."""

    name: str
    constructor: ClassVar[Callable[..., factors.Schedule]]

    def build(self) -> factors.Schedule:
        return type(self).constructor(**self.model_dump(exclude={"name"}))


class ConstantSchedule(ScheduleSection):
    """The same factor at every step."""

    factor: Positive = 1.0
    constructor: ClassVar = factors.constant


class LinearSchedule(ScheduleSection):
    """From 1 to `end` along a line of `steps` steps."""

    steps: AtLeastOne
    end: NonNegative = 0.0
    constructor: ClassVar = factors.linear


class PolynomialSchedule(ScheduleSection):
    """From 1 to `end` along a power of a line of `steps` steps."""

    steps: AtLeastOne
    end: NonNegative = 0.0
    power: Positive = 1.0
    constructor: ClassVar = factors.polynomial


class CosineSchedule(ScheduleSection):
    """From 1 to `end` along half a cosine of `steps` steps."""

    steps: AtLeastOne
    end: NonNegative = 0.0
    constructor: ClassVar = factors.cosine


class ExponentialSchedule(ScheduleSection):
    """Multiplied by `rate` in every `steps` steps."""

    steps: AtLeastOne
    rate: Positive
    constructor: ClassVar = factors.exponential


class WarmupCosineSchedule(ScheduleSection):
    """From `start` to 1 along a line of `warmup` steps, then to `end` along half a cosine until `steps`."""

    warmup: AtLeastOne
    steps: AtLeastTwo
    start: NonNegative = 0.0
    end: NonNegative = 0.0
    constructor: ClassVar = factors.warmup_cosine


SCHEDULES: dict[str, type[Section]] = {
    "constant": ConstantSchedule,
    "linear": LinearSchedule,
    "polynomial": PolynomialSchedule,
    "cosine": CosineSchedule,
    "exponential": ExponentialSchedule,
    "warmup_cosine": WarmupCosineSchedule,
}
SCHEDULE = "_schedule"  # the end of every key whose value is one

# --- [optimizer] -------------------------------------------------------------------------------------------

# The keys whose values are words, and what the words stand for.
_WORDS: dict[str, type[Enum]] = {
    "weight_decay_form": DecayForm,
    "denominator": Denominator,
    "form": MomentumForm,
    "maximum": Maximum,
    "rectification": Rectification,
}


class OptimizerSection(Section):
    """What every built-in optimizer has; the numbers are those of rung 1.

    A key NUMBER_schedule, such as learning_rate_schedule, multiplies that number (a decay: its 1 - decay) by
    a factor that changes with time.
    """

    name: str
    learning_rate: Positive
    learning_rate_schedule: ScheduleSection | None = None
    weight_decay: NonNegative = 0.0
    weight_decay_schedule: ScheduleSection | None = None
    weight_decay_form: WeightDecayForm = "decoupled"
    constructor: ClassVar[Callable[..., AbstractOptimizer]]

    def build(self, regime: Regime) -> AbstractOptimizer:
        values = {key: getattr(self, key) for key in type(self).model_fields if key != "name"}
        given = {key: value for key, value in values.items() if key.endswith(SCHEDULE)}
        numbers = {key: value for key, value in values.items() if key not in given}
        numbers |= {key: word(numbers[key]) for key, word in _WORDS.items() if key in numbers}
        optimizer = type(self).constructor(**numbers)
        schedules = {
            key.removesuffix(SCHEDULE): value.build() for key, value in given.items() if value is not None
        }
        return Scheduled(optimizer, schedules) if schedules else optimizer


class SGDSection(OptimizerSection):
    """Stochastic gradient descent."""

    constructor: ClassVar = SGD


class MomentumSection(OptimizerSection):
    """SGD with momentum; its state `mu` is the moving average, (1 - decay) times a heavy ball's buffer."""

    decay: Decay = 0.9
    decay_schedule: ScheduleSection | None = None
    form: Annotated[
        Literal["heavy_ball", "ema"],
        Field(
            description='"heavy_ball" (a sum of gradients: PyTorch, optax) or "ema" (their moving average)'
        ),
    ] = "heavy_ball"
    nesterov: Flag = False
    constructor: ClassVar = Momentum


class SignSGDSection(OptimizerSection):
    """The sign of the stochastic gradient."""

    constructor: ClassVar = SignSGD


class SignumSection(OptimizerSection):
    """The sign of a moving average of gradients."""

    decay: Decay = 0.9
    decay_schedule: ScheduleSection | None = None
    constructor: ClassVar = Signum


class LionSection(OptimizerSection):
    """Lion; b1 is inside the sign and stays as it is along the ladder."""

    b1: Decay = 0.9
    b1_schedule: ScheduleSection | None = None
    b2: Decay = 0.99
    b2_schedule: ScheduleSection | None = None
    constructor: ClassVar = Lion


class AdagradSection(OptimizerSection):
    """Adagrad."""

    eps: NonNegative = 1e-10
    learning_rate_decay: NonNegative = 0.0
    initial_accumulator: NonNegative = 0.0
    constructor: ClassVar = Adagrad


class RMSpropSection(OptimizerSection):
    """RMSprop(W)."""

    decay: Decay = 0.99
    decay_schedule: ScheduleSection | None = None
    eps: NonNegative = 1e-8
    denominator: DenominatorName = "updated"
    bias_correction: Flag = False
    constructor: ClassVar = RMSprop


class MomentsSection(OptimizerSection):
    """What Adam and its relatives have."""

    b1: Decay = 0.9
    b1_schedule: ScheduleSection | None = None
    b2: Decay = 0.999
    b2_schedule: ScheduleSection | None = None
    eps: NonNegative = 1e-8


class AdamSection(MomentsSection):
    """Adam(W)."""

    denominator: DenominatorName = "updated"
    bias_correction: Flag = True
    constructor: ClassVar = Adam


class AMSGradSection(MomentsSection):
    """AMSGrad(W)."""

    maximum: Annotated[
        Literal["raw", "corrected"],
        Field(description='"raw" (max(v), then corrected: PyTorch) or "corrected" (max(v/c2): optax)'),
    ] = "raw"
    bias_correction: Flag = True
    constructor: ClassVar = AMSGrad


class NAdamSection(MomentsSection):
    """NAdam(W); a momentum_decay (PyTorch: 0.004) warms the momentum up."""

    momentum_decay: NonNegative | None = Field(None, description="a number of 0 or more, such as 0.004")
    constructor: ClassVar = NAdam


class RAdamSection(MomentsSection):
    """RAdam(W)."""

    rectification: Annotated[
        Literal["torch", "optax"], Field(description='"torch" or "optax": where eps stands')
    ] = "torch"
    constructor: ClassVar = RAdam


class OptaxSection(Section):
    """An optax optimizer, `name = "optax.NAME"`, with its own keyword arguments."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    learning_rate: Positive

    @property
    def keywords(self) -> dict[str, Any]:
        return {"learning_rate": self.learning_rate, **(self.model_extra or {})}

    def build(self, regime: Regime) -> AbstractOptimizer:
        return optax_by_name(self.name.removeprefix("optax."), self.keywords, regime)


OPTIMIZERS: dict[str, type[Section]] = {
    "sgd": SGDSection,
    "momentum": MomentumSection,
    "signsgd": SignSGDSection,
    "signum": SignumSection,
    "lion": LionSection,
    "adagrad": AdagradSection,
    "rmsprop": RMSpropSection,
    "adam": AdamSection,
    "amsgrad": AMSGradSection,
    "nadam": NAdamSection,
    "radam": RAdamSection,
}

# --- [start], [regime], [compare] --------------------------------------------------------------------------


class StartSection(Section):
    """Where the comparison starts: a state, or the optimizer's own ensemble after `handover` steps.

    Beside `params` any vector of the optimizer's state may be given by its name (`mu`, `nu`, `nu_max`). The
    `mu` of momentum is the moving average of gradients: (1 - decay) times the buffer of a heavy ball.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Vector]

    params: Vector | None = Field(None, description=LIST)
    step: AtLeastZero = 0
    handover: AtLeastOne | None = Field(None, description="a whole number of 1 or more")

    @property
    def moments(self) -> dict[str, tuple[float, ...]]:
        """The slots beside the params that are given."""
        return dict(self.__pydantic_extra__ or {})

    def arrays(self) -> dict[str, Any]:
        """The slots that are given, as arrays."""
        params = {} if self.params is None else {"params": self.params}
        return {slot: jnp.asarray(value) for slot, value in {**params, **self.moments}.items()}


class RegimeSection(Section):
    """How everything moves along the ladder; the ladder falls."""

    name: Annotated[
        Literal["ballistic", "batch-equivalent"], Field(description='"ballistic" or "batch-equivalent"')
    ]
    ladder: Ladder = (1.0,)

    @property
    def regime(self) -> Regime:
        return Regime(self.name)


class CompareSection(Section):
    """What `simulate` and `verify` compare, and where."""

    steps: AtLeastOne
    record: Annotated[
        tuple[AtLeastOne, ...], Field(description="a list of whole numbers from 1 to steps")
    ] = ()
    at: Annotated[Literal["end", "max"], Field(description='"end" or "max"')] = "end"
    models: Annotated[tuple[str, ...], Field(description="a list of models")] = ("derived-1", "derived-2")
    observables: Annotated[tuple[str, ...], Field(description="a list of observables")] = ("loss",)
    members: AtLeastTwo | None = Field(
        None, description="a whole number of 2 or more; left out, it grows until every verdict is decided"
    )
    substeps: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
    coordinates: Annotated[Literal["natural", "log"], Field(description='"natural" or "log"')] = "natural"
    method: Annotated[Literal["finite-step", "taylor"], Field(description='"finite-step" or "taylor"')] = (
        "finite-step"
    )
    pool: AtLeastOne | None = Field(None, description="a whole number of 1 or more")
