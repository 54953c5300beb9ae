"""Whether the optimizer converges to the limit that the classification predicts.

One optimizer with the exponents' hyperparameters runs at finer and finer tau, and its moments at a fixed time
of the limit's clock are compared with those of the limit, which are found without sampling.

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from driftax.limits._value import Exponents, Motion
from driftax.limits.classify import classify
from driftax.limits.ensemble import optimizer_moments
from driftax.limits.limit_equation import LimitEquation, Problem
from driftax.limits.moments import Moments, limit_moments

FALSE_ALARM_Z = 4.9  # two-sided, 1e-6
_FALL = 0.6  # the finest error may be this share of the coarsest


@dataclass(frozen=True)
class LimitCase:
    """A point of the classification at which the optimizer is run.

    Args:
        exponents: of the point.
        problem: what is optimised.
        ladder: values of tau, the coarsest first.
        bound: what the finest error of every observable may be.
        start: params at time 0.
        time: of the comparison, on the limit's clock.
        members: of every ensemble.
    """

    exponents: Exponents
    problem: Problem
    ladder: tuple[float, ...]
    bound: float
    start: float = 1.0
    time: float = 1.0
    members: int = 4096


class Rung(NamedTuple):
    """Errors (optimizer less limit) of E x, E x^2 and E nu at one tau, with their standard errors."""

    tau: float
    error: Moments
    standard_error: Moments


class ObservableCheck(NamedTuple):
    """One observable along the ladder: whether its error falls, and ends below the bound."""

    observable: str
    limit: float
    errors: tuple[float, ...]
    standard_errors: tuple[float, ...]
    slope: float | None  # of log |error| against log tau, over errors above three standard errors
    verdict: str


class LimitCheck(NamedTuple):
    """What a case has shown."""

    region: str
    exponents: Exponents
    ladder: tuple[float, ...]
    rate: float
    bound: float
    observables: tuple[ObservableCheck, ...]

    @property
    def verdict(self) -> str:
        """`refuted` if any observable is, else `inconclusive` if any is, else `consistent`."""
        verdicts = [observable.verdict for observable in self.observables]
        return next((v for v in ("refuted", "inconclusive") if v in verdicts), "consistent")


def check_limit(case: LimitCase, seed: int = 0, against: LimitEquation | None = None) -> LimitCheck:
    """Runs the optimizer of a case along its ladder and compares it with the predicted limit.

    An observable is refuted if its finest error exceeds the bound by more than 4.9 standard errors, or is not
    below 0.6 of the coarsest one by as much; it is inconclusive if 4.9 standard errors exceed the bound. A
    limit whose true error ends below the bound and below 0.6 of the first is refuted with probability 2e-6 per
    observable at most.

    Args:
        case: the point.
        seed: of the noises.
        against: another limit to compare with, to see that it is refuted.
    """
    equation = against or LimitEquation(case.exponents, case.problem)
    limit = limit_moments(equation, case.start, case.time)
    own = classify(case.exponents)
    rungs = [_rung(case, own.time_exponent, limit, tau, seed + i) for i, tau in enumerate(case.ladder)]
    observables = [_observable(name, limit, rungs, case.bound) for name in Moments._fields]
    return LimitCheck(
        own.name, case.exponents, case.ladder, rate(case.exponents), case.bound, tuple(observables)
    )


def rate(exponents: Exponents) -> float:
    """The exponent of tau at which the slowest correction to the params of the limit should vanish.

    One step takes tau^r; what is dropped of drift, noise and target leaves its own power; a memory that is
    short or long against the clock leaves the ratio of the two, and a short one also its own rate.
    """
    limit = classify(exponents)
    r, s = limit.time_exponent, exponents.noise
    left = [r, limit.drift_exponent, limit.noise_exponent, 2 * abs(s)]
    if limit.row.eps_dominates and exponents.eps is not None:
        left.append(exponents.eps - max(0.0, s))
    memories = [(limit.mu, exponents.momentum)]
    if not limit.row.eps_dominates:
        memories.append((limit.nu, exponents.second_moment))
    for motion, memory in memories:
        if memory is None or motion is None:
            continue
        if motion is Motion.SLAVED:
            left += [memory, r - memory]
        elif motion in (Motion.FROZEN, Motion.RUNNING_MEAN):
            left.append(memory - r)
        elif motion is Motion.RANDOM:
            left.append(r)
    return min(exponent for exponent in left if exponent > 1e-9)


def _rung(case: LimitCase, time_exponent: float, limit: Moments, tau: float, seed: int) -> Rung:
    found = optimizer_moments(
        case.exponents, case.problem, case.start, tau, time_exponent, case.time, case.members, seed
    )
    error = Moments(*(mean - value for mean, value in zip(found.mean, limit, strict=True)))
    return Rung(tau, error, found.standard_error)


def _observable(name: str, limit: Moments, rungs: list[Rung], bound: float) -> ObservableCheck:
    errors = tuple(getattr(rung.error, name) for rung in rungs)
    spreads = tuple(getattr(rung.standard_error, name) for rung in rungs)
    known = [
        (math.log(rung.tau), math.log(abs(e)))
        for rung, e, spread in zip(rungs, errors, spreads, strict=True)
        if abs(e) > 3 * spread and abs(e) > 1e-12
    ]
    return ObservableCheck(
        name, getattr(limit, name), errors, spreads, _slope(known), _verdict(errors, spreads, bound)
    )


def _verdict(errors: tuple[float, ...], spreads: tuple[float, ...], bound: float) -> str:
    coarse, fine = abs(errors[0]), abs(errors[-1])
    doubt = FALSE_ALARM_Z * spreads[-1]
    if not math.isfinite(fine) or fine - doubt > bound:
        return "refuted"
    falls = fine - doubt <= _FALL * (coarse + FALSE_ALARM_Z * spreads[0]) or fine <= bound / 100
    if not falls:
        return "refuted"
    return "inconclusive" if doubt > bound else "consistent"


def _slope(points: list[tuple[float, float]]) -> float | None:
    if len(points) < 2:
        return None
    x, y = zip(*points, strict=True)
    middle, height = sum(x) / len(x), sum(y) / len(y)
    spread = sum((a - middle) ** 2 for a in x)
    return sum((a - middle) * (b - height) for a, b in points) / spread
