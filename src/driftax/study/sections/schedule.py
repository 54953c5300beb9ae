"""Schedules of [optimizer]: factors that change with time."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from driftax.optimizer import schedule as factors
from driftax.study.sections.values import (
    AtLeastOne,
    AtLeastTwo,
    NonNegative,
    Positive,
    Section,
)


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
