"""The verdict on a claimed weak order, from weak errors along a ladder.

The order is judged by the local order of the two finest rungs, the exponent between them: a slope over the
whole ladder misleads, since local orders converge to the true one from afar.
"""

from __future__ import annotations

import enum
import math
from typing import NamedTuple

from driftax.statistics.intervals import normal_quantile, ratio_magnitude

FEWEST_VALUES = 100  # for a normal interval
BIAS_SHARE = 0.1  # of the finest error: what the integrator's own bias may be


class Answer(enum.Enum):
    """What an order test says of a claim."""

    CONSISTENT = "consistent"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"


class RungError(NamedTuple):
    """The weak error `E f(equation) - E f(optimizer)` on one rung.

    `bias` bounds what the integration of the equation adds to it (None: not measured). Members are independent, or
    belong to independent `randomisations` (None: they are independent).
    """

    ladder: float
    weak_error: float
    standard_error: float
    bias: float | None
    bias_noise: float  # the part of `bias` that is its own standard error
    members: int
    failed: int
    randomisations: int | None = None


class Verdict(NamedTuple):
    """An answer with the numbers that decided it."""

    answer: Answer
    order: float | None
    ci95: tuple[float, float] | None
    interval: tuple[float, float] | None  # at the test's false alarm
    faster: bool
    reason: str
    more_members_help: bool


class _Said(NamedTuple):
    answer: Answer
    reason: str
    more_members_help: bool = False


class OrderTest(NamedTuple):
    """Weak errors of one model for one observable, coarse rung first, and the order it claims."""

    model: str
    observable: str
    claimed: int
    rungs: tuple[RungError, ...]

    @property
    def local_orders(self) -> list[float | None]:
        """The exponent between neighbouring rungs; None across a sign change."""
        return [_exponent(coarse, fine) for coarse, fine in zip(self.rungs[:-1], self.rungs[1:], strict=True)]

    def interval(self, false_alarm: float) -> tuple[float, float]:
        """Confidence interval of the local order of the two finest rungs."""
        coarse, fine = self.rungs[-2:]
        low, high = ratio_magnitude(
            coarse.weak_error,
            coarse.standard_error,
            fine.weak_error,
            fine.standard_error,
            normal_quantile(false_alarm),
        )
        step = math.log(coarse.ladder / fine.ladder)
        return (
            -math.inf if low == 0 else math.log(low) / step,
            math.inf if math.isinf(high) else math.log(high) / step,
        )

    def verdict(self, false_alarm: float = 1e-3) -> Verdict:
        """Consistent, refuted or inconclusive, at a stated probability of a false alarm."""
        if lost := [f"{rung.ladder:g}" for rung in self.rungs if not math.isfinite(rung.weak_error)]:
            reason = f"divergence: no member is left to average on rung {', '.join(lost)}"
            return Verdict(Answer.INCONCLUSIVE, None, None, None, False, reason, False)
        if len(self.rungs) < 2:
            return Verdict(Answer.INCONCLUSIVE, None, None, None, False, "one rung has no local order", False)
        interval = self.interval(false_alarm)
        threshold = self.claimed - 0.5
        answer, reason, more = (
            self._too_little(false_alarm)
            or self._below(interval, threshold)
            or self._undecided(interval, threshold, false_alarm)
            or self._spoilt()
            or _Said(Answer.CONSISTENT, f"the local order is at least {interval[0]:.2f}, above {threshold:g}")
        )
        faster = answer is Answer.CONSISTENT and interval[0] > self.claimed + 0.5
        order = self.local_orders[-1]
        return Verdict(answer, order, self.interval(0.05), interval, faster, reason, more)

    def _too_little(self, false_alarm: float) -> _Said | None:
        """Where the two finest errors say nothing of an order."""
        if len(self.rungs) < 3:
            return _open("fewer than three rungs: add a finer one to the ladder")
        if min(_values(rung) for rung in self.rungs[-2:]) < FEWEST_VALUES:
            found = "members" if self.rungs[-1].randomisations is None else "randomisations"
            return _open(
                f"fewer than {FEWEST_VALUES} {found}: a standard error from so few is not to be trusted", True
            )
        if self._changes_sign(false_alarm):
            return _open(
                "the error changes sign between the two finest rungs: add a finer rung to the ladder"
            )
        return None

    def _below(self, interval: tuple[float, float], threshold: float) -> _Said | None:
        """Where the local order is below the claim: refuted, unless it has not settled."""
        if interval[1] >= threshold:
            return None
        orders = self.local_orders
        if orders[-2] is None:
            return _open(
                "the error changes sign within the ladder, so its local orders have not settled: add a finer "
                "rung to the ladder"
            )
        if self._rising(orders):
            return _open(
                f"the local order {interval[1]:.2f} or less is below {threshold:g} but still rising: "
                "add a finer rung to the ladder"
            )
        return _Said(
            Answer.REFUTED,
            f"the local order is at most {interval[1]:.2f}, below {threshold:g}, and not rising",
        )

    def _undecided(self, interval: tuple[float, float], threshold: float, false_alarm: float) -> _Said | None:
        """Where noise leaves the local order on both sides of the threshold."""
        if interval[0] > threshold:
            return None
        found = f"the local order lies between {_end(interval[0])} and {_end(interval[1])}"
        if math.isinf(interval[0]) and math.isinf(interval[1]):
            found = "the errors are too small to bound the local order"
        members = self.members_needed(false_alarm)
        return _open(
            f"noise: {found}; about {members:,} members on the two finest rungs would decide it", True
        )

    def _spoilt(self) -> _Said | None:
        """Where members that were lost or the integrator's bias spoil errors that are small enough."""
        finest = self.rungs[-1]
        if lost := sum(rung.failed for rung in self.rungs[-2:]):
            return _open(
                f"{lost} members left the domain on the two finest rungs, so their means are of the others: "
                'start later (handover), or coordinates = "log"'
            )
        if finest.bias is not None and finest.bias > BIAS_SHARE * abs(finest.weak_error):
            return _open(
                f"bias: the integration of the equation may add {finest.bias:.1e} to an error of "
                f"{finest.weak_error:.1e}; raise `substeps`",
                finest.bias_noise > 0.5 * finest.bias,
            )
        return None

    def _changes_sign(self, false_alarm: float) -> bool:
        """Whether both finest errors are distinguishable from 0 and have opposite signs."""
        coarse, fine = self.rungs[-2:]
        quantile = normal_quantile(false_alarm)
        return coarse.weak_error * fine.weak_error < 0 and all(
            abs(rung.weak_error) > quantile * rung.standard_error for rung in (coarse, fine)
        )

    def _rising(self, orders: list[float | None]) -> bool:
        """Whether the local orders rise towards the claimed one, beyond their noise.

        They approach their limit with an error that halves from rung to rung, so the limit is one more rise
        ahead of the finest: rising towards a lower order is no excuse.
        """
        finest, before = orders[-1], orders[-2]
        if finest is None or before is None:
            return False
        rise = finest - before
        return rise > _noise_of(self.rungs[-3:]) and finest + rise > self.claimed - 0.5

    def members_needed(self, false_alarm: float) -> int:
        """Members at which the interval would clear the threshold, if the errors are what they seem."""
        coarse, fine = self.rungs[-2:]
        centre = _exponent(coarse, fine)
        distance = abs((self.claimed if centre is None else centre) - (self.claimed - 0.5))
        noise = _noise_of((coarse, fine))
        growth = (normal_quantile(false_alarm) * noise / max(distance, 0.05)) ** 2
        return 2 ** math.ceil(math.log2(max(fine.members, 1) * min(max(growth, 2.0), 1e6)))


def _values(rung: RungError) -> int:
    """The independent values a standard error comes from."""
    return rung.members if rung.randomisations is None else rung.randomisations


def _open(reason: str, more: bool = False) -> _Said:
    return _Said(Answer.INCONCLUSIVE, reason, more)


def _exponent(coarse: RungError, fine: RungError) -> float | None:
    if not coarse.weak_error * fine.weak_error > 0:
        return None
    return math.log(coarse.weak_error / fine.weak_error) / math.log(coarse.ladder / fine.ladder)


def _noise_of(rungs: tuple[RungError, ...]) -> float:
    """Standard error of a local order (of their difference for three rungs), by the delta method."""
    relative = [r.standard_error / abs(r.weak_error) if r.weak_error else math.inf for r in rungs]
    step = math.log(rungs[-2].ladder / rungs[-1].ladder)
    if len(relative) == 3:
        relative[1] *= 2  # the middle rung enters both local orders
    return math.sqrt(sum(r * r for r in relative)) / step


def _end(value: float) -> str:
    return "no bound" if math.isinf(value) else f"{value:.2f}"
