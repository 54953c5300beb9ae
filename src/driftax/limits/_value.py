"""What goes into the classification, scaling exponents, and what comes out, a limit.

Everything scales with one small number tau: learning rate tau^p, gradient noise tau^-s, second-moment memory
1 - beta_2 = c tau^q, momentum memory 1 - beta_1 = c_1 tau^q1, eps tau^-e. Second moments start at
their natural size max(1, noise^2) and are measured in it.

Source: malladi2022, callisti2025 (two of the scalings; the others re-derived).
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.optimizer import Denominator

_NEAR = 1e-9  # exponents closer than this are equal: they come from quotients of logarithms


def equal(a: float, b: float) -> bool:
    """Whether two exponents are the same number."""
    return bool(a == b or abs(a - b) < _NEAR)


def above(a: float, b: float) -> bool:
    """Whether an exponent is larger than another one by more than rounding."""
    return bool(a > b) and not equal(a, b)


class Row(enum.Enum):
    """What moves params, by the size of the gradient noise (and of eps) against the learning rate."""

    VANISHING_NOISE = "vanishing noise"
    BALLISTIC = "ballistic"
    NOISE_NORMALISED = "noise-normalised"
    BATCH_EQUIVALENT = "batch-equivalent"
    NOISE_DOMINATED = "noise-dominated"
    EPS_ODE = "eps-dominated ODE"
    EPS_SDE = "eps-dominated SDE"
    EPS_NOISE = "eps-dominated noise"

    @property
    def eps_dominates(self) -> bool:
        """Whether the second moment is negligible beside eps."""
        return self in (Row.EPS_ODE, Row.EPS_SDE, Row.EPS_NOISE)


class Motion(enum.Enum):
    """What a vector of the state does on the clock of params."""

    DYNAMIC = "dynamic"
    SLAVED = "slaved"  # at every time at the value its target has then
    FROZEN = "frozen"  # at its start
    RUNNING_MEAN = (
        "running mean"  # of everything since the start: no memory is lost and the bias is corrected
    )
    RANDOM = "random (fixed memory)"  # a stationary average over finitely many steps
    TRIVIAL = "trivial"


@dataclass(frozen=True)
class Exponents:
    """How the hyperparameters scale with tau, and which of the update's conventions holds.

    Args:
        learning_rate: p > 0.
        noise: s, of the standard deviation of one stochastic gradient, tau^-s; -inf without noise.
        second_moment: q >= 0 of 1 - beta_2 = c tau^q; 0 is a fixed beta_2.
        momentum: q1 >= 0 of 1 - beta_1 = c_1 tau^q1; None without momentum (RMSprop).
        eps: e of eps ~ tau^-e; None where eps is negligible whatever the noise.
        bias_correction: whether moments that start at 0 are corrected for it.
        denominator: which second moment divides.

    Raises:
        DriftaxError: if an exponent is out of its range.
    """

    learning_rate: float
    noise: float
    second_moment: float
    momentum: float | None = None
    eps: float | None = None
    bias_correction: bool = False
    denominator: Denominator = Denominator.UPDATED

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < math.inf:
            _refuse("p", self.learning_rate, "a number above 0: at p = 0 a step does not shrink")
        if not self.noise < math.inf:
            _refuse("s", self.noise, "a number, or -inf for gradients without noise")
        for name, value in (("q", self.second_moment), ("q1", self.momentum)):
            if value is not None and not 0 <= value < math.inf:
                _refuse(name, value, "a number of 0 or more: a memory is one step at least")
        if self.eps is not None and not math.isfinite(self.eps):
            _refuse("e", self.eps, "a number, or no e at all where eps is negligible")


class Limit(NamedTuple):
    """The limit of an optimizer as tau falls.

    `time_exponent` is r: one step takes the time tau^r. Per unit of that time the drift is of the order
    tau^`drift_exponent` and the variance of the noise tau^`noise_exponent`; what has 0 stays in the limit.
    `scale_exponent` is that of the denominator, tau^-scale_exponent.
    """

    name: str
    row: Row
    params: Motion
    mu: Motion | None
    nu: Motion
    equation: str
    latex: tuple[str, ...]
    time_exponent: float
    clock: str
    scale_exponent: float
    drift_exponent: float
    noise_exponent: float
    eps_enters: bool
    trivial: bool
    note: str
    source: str

    @property
    def has_drift(self) -> bool:
        """Whether the gradient moves params in the limit."""
        return equal(self.drift_exponent, 0.0)

    @property
    def has_noise(self) -> bool:
        """Whether the gradient noise moves params in the limit."""
        return equal(self.noise_exponent, 0.0)


def _refuse(name: str, value: float, instead: str) -> None:
    raise DriftaxError(f"the limit for the exponent {name}", f"{name} = {value:g}", f"{name} = {instead}")
