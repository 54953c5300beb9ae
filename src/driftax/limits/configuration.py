"""A concrete configuration as a point of the classification.

With tau the learning rate itself, p = 1 and every other hyperparameter has an exponent: noise / gradient =
tau^-s, 1 - beta = tau^q, eps / gradient = tau^-e. A hyperparameter within a small factor of a boundary counts as on
it, and what is left of the factor is the constant that the limit's equation keeps.

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.limits._value import Exponents, Motion, Row
from driftax.limits.classify import classify
from driftax.optimizer import Denominator

SAME = math.sqrt(10.0)  # factor within which a hyperparameter counts as on a boundary


@dataclass(frozen=True)
class Configuration:
    """An RMSprop or Adam, and the gradient it sees.

    Args:
        learning_rate: between 0 and 1: params are measured so that a step of a normalised gradient is that long.
        b2: beta_2 in [0, 1).
        noise: standard deviation of one coordinate of a stochastic gradient, 0 or more.
        gradient: size of one coordinate of its mean, above 0.
        b1: beta_1 in [0, 1); None without momentum.
        eps: 0 or more, in units of the gradient.
        bias_correction: whether moments are corrected for their start at 0.
        denominator: which second moment divides.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: float
    b2: float
    noise: float
    gradient: float = 1.0
    b1: float | None = None
    eps: float = 0.0
    bias_correction: bool = False
    denominator: Denominator = Denominator.UPDATED

    def __post_init__(self) -> None:
        _check("learning_rate", self.learning_rate, 0 < self.learning_rate < 1, "a number between 0 and 1")
        for name in ("b1", "b2"):
            value = getattr(self, name)
            if value is not None:
                _check(name, value, 0 <= value < 1, "a number in [0, 1)")
        for name in ("noise", "eps"):
            value = getattr(self, name)
            _check(name, value, 0 <= value < math.inf, "a number of 0 or more")
        _check("gradient", self.gradient, 0 < self.gradient < math.inf, "a number above 0")

    def exact(self) -> Exponents:
        """The exponents at tau = learning_rate."""
        decades = -math.log(self.learning_rate)
        scale = math.log(self.gradient)
        return Exponents(
            learning_rate=1.0,
            noise=(math.log(self.noise) - scale) / decades if self.noise else -math.inf,
            second_moment=-math.log1p(-self.b2) / decades,
            momentum=None if self.b1 is None else -math.log1p(-self.b1) / decades,
            eps=(math.log(self.eps) - scale) / decades if self.eps else None,
            bias_correction=self.bias_correction,
            denominator=self.denominator,
        )

    def value_at(self, variable: str, exponent: float) -> float:
        """The hyperparameter (1 - beta for a memory) that has an exponent at this learning rate."""
        if variable in ("second_moment", "momentum"):
            return self.learning_rate**exponent
        return self.gradient * self.learning_rate**-exponent


class Placement(NamedTuple):
    """Where a configuration stands, exactly and with near boundaries taken as met, and the constants left over."""

    exact: Exponents
    exponents: Exponents
    constants: dict[str, float]


def place(configuration: Configuration, same: float = SAME) -> Placement:
    """The point of a configuration.

    Args:
        configuration: the hyperparameters.
        same: factor, 1 or more, within which a hyperparameter counts as on a boundary.

    Returns:
        The constants are those of the boundaries that are met: the noise in units of gradient * tau^-s, c, c1, and
        eps likewise.
    """
    if not 1 <= same < math.inf:
        raise DriftaxError("what counts as on a boundary", f"a factor of {same:g}", "a factor of 1 or more")
    exact = configuration.exact()
    width = math.log(same) / -math.log(configuration.learning_rate)
    met = replace(exact, noise=_snap(exact.noise, (0.0, 1.0), width))
    if exact.eps is not None:
        met = replace(met, eps=_snap(exact.eps, (max(0.0, met.noise),), width))
        if met.eps is not None and met.eps > max(0.0, met.noise):
            met = replace(met, noise=_snap(exact.noise, ((1.0 + met.eps) / 2,), width))
    lines = (0.0, classify(met).time_exponent)
    met = replace(met, second_moment=_snap(exact.second_moment, lines, width))
    if exact.momentum is not None:
        met = replace(met, momentum=_snap(exact.momentum, lines, width))
    return Placement(exact, met, _constants(configuration, met))


def _constants(configuration: Configuration, met: Exponents) -> dict[str, float]:
    limit, kept = classify(met), (Motion.DYNAMIC, Motion.RANDOM)
    constants = {}
    if limit.row in (Row.BALLISTIC, Row.BATCH_EQUIVALENT, Row.EPS_SDE):
        constants["noise"] = configuration.noise / configuration.value_at("noise", met.noise)
    if limit.nu in kept:
        constants["c"] = (1 - configuration.b2) / configuration.value_at("second_moment", met.second_moment)
    if configuration.b1 is not None and met.momentum is not None and limit.mu in kept:
        constants["c1"] = (1 - configuration.b1) / configuration.value_at("momentum", met.momentum)
    if met.eps is not None and limit.eps_enters:
        constants["eps"] = configuration.eps / configuration.value_at("eps", met.eps)
    return constants


def _snap(value: float, lines: tuple[float, ...], width: float) -> float:
    nearest = min(lines, key=lambda line: abs(line - value))
    return nearest if abs(nearest - value) <= width * (1 + 1e-9) else value


def _check(name: str, value: float, good: bool, instead: str) -> None:
    if not good:
        raise DriftaxError("the limit of a configuration", f"{name} = {value:g}", f"{name} = {instead}")
