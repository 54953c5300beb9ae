"""Heavy tails: which moments of the gradient and of the params exist, per optimizer.

Student-t noise with dof degrees of freedom has absolute moments of every order below dof, and no other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.predict import student
from driftax.predict._arguments import degrees, number
from driftax.predict._value import Numbers, Prediction, judged, missing
from driftax.predict.sign_law import slope

_BOUNDED = ("signsgd", "rmsprop", "adam")


class Moments(NamedTuple):
    """The order below which absolute moments exist; infinite where all do.

    Args:
        gradient: of the stochastic gradient.
        params: of the params, up to where they are sure to exist however many steps are taken.
        step: largest size of one step over the learning rate; infinite where it is not bounded.
    """

    gradient: float
    params: float
    step: float


def moments(
    optimizer: str, dof: Numbers = math.inf, b1: Numbers = 0.0, b2: Numbers = 0.999, updated: bool = True
) -> Moments:
    """Which moments exist under Student-t noise.

    A step of SGD is linear in the gradient, so params have the moments of the noise. The steps of SignSGD, and
    (where b1^2 < b2 and v holds the gradient of the step) of RMSprop and Adam, are bounded, so params have all
    moments, whatever the noise; other RMSprop and Adam, from a second moment above 0, those of the noise.

    Args:
        optimizer: sgd, signsgd, rmsprop or adam, with or without decay.
        dof: of Student-t noise.
        b1: decay of the first moment (adam).
        b2: decay of the second moment (rmsprop, adam).
        updated: whether v_{k+1} divides, which holds the gradient of the step.

    Raises:
        DriftaxError: for an optimizer that is not one of these.

    Source: re-derived; compagnoni2025 (SignSGD under Student-t noise).
    """
    dof, name = degrees(dof), optimizer.removesuffix("w")
    if name == "sgd":
        return Moments(dof, dof, math.inf)
    if name not in _BOUNDED:
        raise DriftaxError(
            f"the moments of {optimizer!r}", "an unknown optimizer", "sgd, " + ", ".join(_BOUNDED)
        )
    step = math.inf
    if name == "signsgd":
        step = 1.0
    elif updated:
        step = largest_step(b1 if name == "adam" else 0.0, b2)
    return Moments(dof, math.inf if math.isfinite(step) else dof, step)


def largest_step(b1: Numbers, b2: Numbers) -> float:
    """The largest |m| / sqrt(v) of RMSprop (b1 = 0) and Adam: `(1-b1) / sqrt((1-b2)(1 - b1^2/b2))`.

    Of the stationary averages, by the inequality of Cauchy and Schwarz; infinite for b1^2 >= b2.

    Args:
        b1: decay of the first moment.
        b2: decay of the second moment.

    Source: re-derived.
    """
    b1, b2 = number("b1", b1, "decay"), number("b2", b2, "decay")
    if not b1:
        return 1 / math.sqrt(1 - b2)
    return (1 - b1) / math.sqrt((1 - b2) * (1 - b1**2 / b2)) if b1**2 < b2 else math.inf


def sgd_keeps(dof: Numbers) -> Prediction:
    """The stationary variance of SGD over that under Gaussian noise of the same scale: `dof / (dof - 2)`.

    Infinite for dof up to 2; the mean exists above 1.

    Source: textbook, Student's law.
    """
    dof = degrees(dof)
    if dof <= 2:
        mean = "nor a mean" if dof <= 1 else "but a mean"
        return missing(math.inf, f"dof = {dof:g}: no stationary variance, {mean}", "textbook")
    return judged(student.variance(dof), 0.0, f"dof = {dof:g} is above 2", "textbook")


def signsgd_keeps(dof: Numbers) -> Prediction:
    """The leading stationary variance of SignSGD over that under Gaussian noise of the same scale.

    It is the ratio of the slopes of the mean sign, pi/2 / sqrt(pi/2) = 1.25 for Cauchy noise.

    Source: compagnoni2025, SignSGD under Student-t noise.
    """
    dof = degrees(dof)
    return judged(
        slope() / slope(dof), 0.0, f"exists for every dof, here {dof:g}", "compagnoni2025, Corollary 3.4"
    )
