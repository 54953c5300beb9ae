"""[optimizer]: the update rule at rung 1."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

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
from driftax.optimizer.from_optax import optax_by_name
from driftax.regime import Regime
from driftax.study.sections.schedule import SCHEDULE, ScheduleSection
from driftax.study.sections.values import (
    Decay,
    DenominatorName,
    Flag,
    NonNegative,
    Positive,
    Section,
    WeightDecayForm,
)

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
