"""Candidates timed side by side: in every round each runs once, in an order that turns from round to round."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_STANDARD_ERRORS = 5.0  # by which two right answers never differ (6e-7 each time)


class Answer(NamedTuple):
    """A mean and its standard error, so that nobody times a wrong answer."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values) -> Answer:
        """The mean of independent values."""
        values = np.asarray(values, dtype=np.float64)
        return cls(float(values.mean()), float(values.std() / math.sqrt(values.size)))


class Candidate(NamedTuple):
    """Something to time.

    Args:
        name: who runs.
        run: from a seed to an answer, everything included that a user waits for (None: nothing to compare).
        units: how much work one run does (trajectory-steps, say).
    """

    name: str
    run: Callable[[int], Answer | None]
    units: float


class Measured(NamedTuple):
    """Seconds of the first run, then seconds per unit of work in every round."""

    name: str
    first_run: float
    per_unit: np.ndarray
    answer: Answer | None


class Ratio(NamedTuple):
    """The ratio of the medians, and the smallest and largest ratio within a round."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{_short(self.value)} [{_short(self.low)}, {_short(self.high)}]"


def interleave(candidates: list[Candidate], rounds: int) -> list[Measured]:
    """Runs every candidate once to warm it up, then once per round."""
    first, answers = {}, {}
    for candidate in candidates:
        first[candidate.name], answers[candidate.name] = _timed(candidate, seed=0)
    seconds: dict[str, list[float]] = {candidate.name: [] for candidate in candidates}
    for number in range(rounds):
        turn = number % len(candidates)
        for candidate in candidates[turn:] + candidates[:turn]:
            taken, answers[candidate.name] = _timed(candidate, seed=1 + number)
            seconds[candidate.name].append(taken / candidate.units)
    return [Measured(c.name, first[c.name], np.asarray(seconds[c.name]), answers[c.name]) for c in candidates]


def _timed(candidate: Candidate, seed: int) -> tuple[float, Answer | None]:
    begin = time.perf_counter()
    answer = candidate.run(seed)
    return time.perf_counter() - begin, answer


def ratio(slow: Measured, fast: Measured) -> Ratio:
    """How many times longer `slow` takes per unit of work."""
    each = slow.per_unit / fast.per_unit
    return Ratio(
        float(np.median(slow.per_unit) / np.median(fast.per_unit)), float(each.min()), float(each.max())
    )


def check_agreement(measured: list[Measured], tolerance: float = 0.0) -> None:
    """Refuses a row whose candidates do not compute the same mean.

    Args:
        measured: the row; the first is what the others are compared with.
        tolerance: relative difference allowed beside the Monte Carlo error (two discretisations, say).
    """
    reference = measured[0].answer
    for other in measured[1:]:
        if reference is None or other.answer is None:
            continue
        error = math.hypot(reference.standard_error, other.answer.standard_error)
        allowed = _STANDARD_ERRORS * error + tolerance * abs(reference.mean)
        if not abs(other.answer.mean - reference.mean) <= allowed:
            raise AssertionError(
                f"{other.name} finds {other.answer.mean:.6g}, {measured[0].name} finds {reference.mean:.6g}; "
                f"they may differ by {allowed:.2g}: one of them is wrong, and its time worth nothing"
            )


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
