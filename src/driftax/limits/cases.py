"""Points at which the classification is checked: one in each region whose limit is not trivial.

All of them minimise x^2 / 2 from gradients whose noise has the standard deviation 0.8 tau^-s.

Source: re-derived.
"""

from __future__ import annotations

from driftax.limits._value import Exponents
from driftax.limits.check import LimitCase
from driftax.limits.limit_equation import Problem
from driftax.optimizer import Denominator

_PREVIOUS = Denominator.PREVIOUS
_FIXED = 0.3  # 1 - beta_2 where it does not depend on tau


def _gradient(x):
    return 1.0 * x


def _noise_std(x):
    return 0.8 + 0.0 * x


def _problem(**constants: float) -> Problem:
    return Problem(_gradient, _noise_std, **constants)


def _powers(*exponents: float | int) -> tuple[float, ...]:
    return tuple(2.0**-k for k in exponents)


def _ballistic(bound: float = 0.01, **exponents) -> LimitCase:
    values = {"learning_rate": 1.0, "noise": 0.0, "second_moment": 1.0, **exponents}
    return LimitCase(Exponents(**values), _problem(), _powers(3, 5, 7, 9), bound)


def _normalised(second_moment: float, **flags) -> LimitCase:
    exponents = Exponents(1.0, 1 / 3, second_moment, **flags)
    return LimitCase(exponents, _problem(), _powers(3, 5, 7, 9), 0.02, members=2048)


def _batch_equivalent(bound: float = 0.02, finest: int = 4, members: int = 4096, **exponents) -> LimitCase:
    values = {"learning_rate": 1.0, "noise": 1.0, "second_moment": 2.0, **exponents}
    return LimitCase(Exponents(**values), _problem(), _powers(*range(1, finest + 1)), bound, members=members)


def _fixed(
    noise: float, momentum: float | None, ladder: tuple[float, ...], bound: float = 0.015, **flags
) -> LimitCase:
    exponents = Exponents(1.0, noise, 0.0, momentum, **flags)
    problem = _problem(second_moment_rate=_FIXED, momentum_rate=0.4 if momentum == 0 else 1.0)
    return LimitCase(exponents, problem, ladder, bound, members=32768)


CASES: dict[str, LimitCase] = {
    "vanishing noise, dynamic": LimitCase(Exponents(1.0, -1.0, 1.0), _problem(), _powers(3, 5, 7, 9), 0.01),
    "sign-gradient flow": LimitCase(
        Exponents(1.0, -1.0, 0.5), _problem(), _powers(3, 5, 7, 9, 11), 0.05, start=1.5
    ),
    "vanishing noise, frozen": _ballistic(noise=-1.0, second_moment=2.0),
    "vanishing noise, running mean": _ballistic(noise=-1.0, second_moment=2.0, bias_correction=True),
    "ballistic, dynamic": _ballistic(),
    "ballistic, slaved": LimitCase(Exponents(1.0, 0.0, 0.5), _problem(), _powers(3, 5, 7, 9, 11), 0.02),
    "ballistic, frozen": _ballistic(second_moment=2.0),
    "ballistic, running mean": _ballistic(second_moment=2.0, bias_correction=True),
    "ballistic, fixed memory": _fixed(0.0, None, _powers(3, 5, 7)),
    "noise-normalised, dynamic": _normalised(4 / 3),
    "noise-normalised, slaved": _normalised(2 / 3),
    "noise-normalised, frozen": _normalised(2.0),
    "noise-normalised, running mean": _normalised(2.0, bias_correction=True),
    "noise-normalised, fixed memory": _fixed(1 / 3, None, _powers(3, 5, 7), bound=0.03),
    "batch-equivalent, dynamic": _batch_equivalent(),
    "batch-equivalent, slaved": _batch_equivalent(second_moment=1.0, finest=5),
    "batch-equivalent, frozen": _batch_equivalent(second_moment=3.0, finest=5),
    "batch-equivalent, running mean": _batch_equivalent(second_moment=3.0, bias_correction=True, finest=5),
    "batch-equivalent, fixed memory, updated": _fixed(1.0, None, _powers(1, 2, 3, 4)),
    "batch-equivalent, fixed memory, previous": _fixed(1.0, None, _powers(1, 2, 3, 4), denominator=_PREVIOUS),
    "noise-dominated, dynamic": _batch_equivalent(noise=3.0),
    "noise-dominated, slaved": _batch_equivalent(noise=3.0, second_moment=1.0, bound=0.05, finest=6),
    "noise-dominated, frozen": _batch_equivalent(noise=3.0, second_moment=4.0),
    "noise-dominated, running mean": _batch_equivalent(
        noise=3.0, second_moment=4.0, bias_correction=True, bound=0.03, members=16384
    ),
    "noise-dominated, fixed memory": _fixed(3.0, None, _powers(1, 2, 3, 4), bound=0.03),
    "eps-dominated ODE": LimitCase(
        Exponents(1.0, 0.0, 1.0, eps=1.0), _problem(eps=1.0), _powers(1, 2, 3, 4, 5), 0.03, members=2048
    ),
    "eps-dominated SDE": LimitCase(
        Exponents(1.0, 3.0, 1.0, eps=5.0), _problem(eps=1.0), _powers(0.5, 1, 1.5, 2), 0.06, members=2048
    ),
    "eps-dominated noise": LimitCase(
        Exponents(1.0, 8.0, 1.0, eps=10.0), _problem(eps=1.0), _powers(0.5, 1, 1.5, 2), 0.1, members=2048
    ),
    "Adam, ballistic, kinetic": _ballistic(momentum=1.0),
    "Adam, ballistic, kinetic, bias-corrected": _ballistic(momentum=1.0, bias_correction=True),
    "Adam, batch-equivalent, kinetic": _batch_equivalent(momentum=2.0),
    "Adam, noise-dominated, kinetic": _batch_equivalent(noise=3.0, momentum=2.0),
    "Adam, batch-equivalent, momentum slaved": _batch_equivalent(momentum=1.0, finest=5),
    "Adam, ballistic, running means": _ballistic(second_moment=2.0, momentum=2.0, bias_correction=True),
    "Adam, batch-equivalent, running means": _batch_equivalent(
        second_moment=3.0, momentum=3.0, bias_correction=True, finest=5, bound=0.03
    ),
    "Adam, batch-equivalent, fixed b2, b1 slaved": _fixed(1.0, 1.0, _powers(1, 2, 3, 4, 5)),
    "Adam, batch-equivalent, both fixed": _fixed(1.0, 0.0, _powers(1, 2, 3, 4)),
}
