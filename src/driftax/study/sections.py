"""The sections of a study file as frozen values: their keys, types and ranges, and what each builds.

What one number may be is said here, once, by its type; what sections must be to each other is checked in
`driftax.study.spec`. A field's description is what an error message tells the user to write.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

import jax.numpy as jnp
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from driftax.noise import AbstractGradientNoise, GaussianNoise, MinibatchNoise
from driftax.objective import AbstractObjective, Quadratic, Rosenbrock
from driftax.objective.models import finite_sum_by_name
from driftax.optimizer import (
    SGD,
    AbstractOptimizer,
    Adam,
    DecayForm,
    Denominator,
    RMSprop,
    SignSGD,
)
from driftax.optimizer.from_optax import optax_by_name
from driftax.regime import Regime

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
_LIST = "a list of finite numbers, one per parameter"
Positive = Annotated[
    float, Field(strict=True, allow_inf_nan=False, gt=0, description="a number above 0, such as 0.01")
]
NonNegative = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, description="a number of 0 or more")
]
Decay = Annotated[
    float, Field(strict=True, allow_inf_nan=False, ge=0, lt=1, description="a number in [0, 1), such as 0.9")
]
Flag = Annotated[bool, Field(strict=True, description="true or false")]
AtLeastZero = Annotated[int, Field(strict=True, ge=0, lt=_LARGEST, description="a whole number of 0 or more")]
AtLeastOne = Annotated[int, Field(strict=True, ge=1, lt=_LARGEST, description="a whole number of 1 or more")]
AtLeastTwo = Annotated[int, Field(strict=True, ge=2, lt=_LARGEST, description="a whole number of 2 or more")]
Vector = Annotated[Any, _array(1), Field(description=_LIST)]
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


# --- [objective] -------------------------------------------------------------------------------------------


class QuadraticSection(Section):
    """The loss `1/2 (x - minimum)^T hessian (x - minimum)`."""

    name: Literal["quadratic"]
    hessian: Matrix
    minimum: Vector | None = Field(None, description=_LIST)

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Quadratic(self.hessian, self.minimum), None


class RosenbrockSection(Section):
    """The chained Rosenbrock loss."""

    name: Literal["rosenbrock"]
    dim: AtLeastTwo = 2
    steepness: Positive = 100.0

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return Rosenbrock(self.dim, self.steepness), None


class FiniteSumSection(Section):
    """The mean loss of a small model over a data set; it brings the params a study starts from."""

    name: Literal["finite_sum"]
    data: Annotated[Literal["breast_cancer"], Field(description='"breast_cancer"')]
    model: Annotated[Literal["logistic", "mlp"], Field(description='"logistic" or "mlp"')]
    width: AtLeastOne = 8

    def build(self, seed: int) -> tuple[AbstractObjective, Any]:
        return finite_sum_by_name(self.data, self.model, seed, self.width)


ObjectiveSection = QuadraticSection | RosenbrockSection | FiniteSumSection
OBJECTIVES: dict[str, type[Section]] = {
    "quadratic": QuadraticSection,
    "rosenbrock": RosenbrockSection,
    "finite_sum": FiniteSumSection,
}

# --- [noise] -----------------------------------------------------------------------------------------------


class GaussianSection(Section):
    """Gaussian gradient noise; `covariance` is that of one stochastic gradient at rung 1."""

    name: Literal["gaussian"]
    covariance: Covariance

    def build(self) -> AbstractGradientNoise:
        return GaussianNoise(self.covariance)


class MinibatchSection(Section):
    """The minibatch law of a finite sum, drawn afresh each step."""

    name: Literal["minibatch"]
    batch_size: AtLeastOne
    replacement: Flag = True

    def build(self) -> AbstractGradientNoise:
        return MinibatchNoise(self.batch_size, self.replacement)


NoiseSection = GaussianSection | MinibatchSection
NOISES: dict[str, type[Section]] = {"gaussian": GaussianSection, "minibatch": MinibatchSection}

# --- [optimizer] -------------------------------------------------------------------------------------------


class OptimizerSection(Section):
    """What every built-in optimizer has; the numbers are those of rung 1."""

    name: str
    learning_rate: Positive
    weight_decay: NonNegative = 0.0
    weight_decay_form: WeightDecayForm = "decoupled"
    constructor: ClassVar[Callable[..., AbstractOptimizer]]

    def build(self, regime: Regime) -> AbstractOptimizer:
        values = self.model_dump(exclude={"name"})
        values["weight_decay_form"] = DecayForm(values["weight_decay_form"])
        if "denominator" in values:
            values["denominator"] = Denominator(values["denominator"])
        return type(self).constructor(**values)


class SGDSection(OptimizerSection):
    """Stochastic gradient descent."""

    constructor: ClassVar = SGD


class SignSGDSection(OptimizerSection):
    """The sign of the stochastic gradient."""

    constructor: ClassVar = SignSGD


class RMSpropSection(OptimizerSection):
    """RMSprop(W)."""

    decay: Decay = 0.99
    eps: NonNegative = 1e-8
    denominator: DenominatorName = "updated"
    bias_correction: Flag = False
    constructor: ClassVar = RMSprop


class AdamSection(OptimizerSection):
    """Adam(W)."""

    b1: Decay = 0.9
    b2: Decay = 0.999
    eps: NonNegative = 1e-8
    denominator: DenominatorName = "updated"
    bias_correction: Flag = True
    constructor: ClassVar = Adam


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
    "signsgd": SignSGDSection,
    "rmsprop": RMSpropSection,
    "adam": AdamSection,
}

# --- [start], [regime], [compare] --------------------------------------------------------------------------


class StartSection(Section):
    """Where the comparison starts: a state, or the optimizer's own ensemble after `handover` steps."""

    params: Vector | None = Field(None, description=_LIST)
    mu: Vector | None = Field(None, description=_LIST)
    nu: Vector | None = Field(None, description="a list of numbers of 0 or more, one per parameter")
    step: AtLeastZero = 0
    handover: AtLeastOne | None = Field(None, description="a whole number of 1 or more")

    def arrays(self) -> dict[str, Any]:
        """The slots that are given, as arrays."""
        given = {"params": self.params, "mu": self.mu, "nu": self.nu}
        return {slot: jnp.asarray(value) for slot, value in given.items() if value is not None}


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
