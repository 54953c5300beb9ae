"""How far a model is from its optimizer over a whole run, and whether that is near enough to say it follows.

The weak error at one time is small or large only beside something: here beside the range of the optimizer's own mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

FOLLOWS = 0.05  # of the range
_SIGMAS = 4.0  # with 4 members, as few as a network may have, a false alarm of 3 % (Student's t)


class Distance(NamedTuple):
    """`max_t |E model - E optimizer|` over `max_t E optimizer - min_t E optimizer`.

    Attributes:
        ratio: the distance.
        error: its standard error.
        doubled: what an integration with twice the substeps changes, over the same range.
        step: of the optimizer, where the difference is largest.
    """

    ratio: float
    error: float
    doubled: float
    step: int

    @property
    def answer(self) -> str:
        """Whether the model follows within `FOLLOWS`: by four standard errors and all that the integrator leaves."""
        slack = _SIGMAS * self.error + self.doubled
        if self.ratio + slack < FOLLOWS:
            return "follows"
        return "does not follow" if self.ratio - slack > FOLLOWS else "inconclusive"


def distance(
    steps: Sequence[int],
    optimizer: Sequence[float],
    differences: Sequence[float],
    errors: Sequence[float],
    biases: Sequence[float],
) -> Distance | None:
    """The distance over recorded steps; none where the optimizer's mean stays where it is, or is not a number.

    Args:
        steps: recorded.
        optimizer: the mean at each.
        differences: model minus optimizer.
        errors: their standard errors.
        biases: of the integrator.
    """
    span = max(optimizer) - min(optimizer)
    if not (math.isfinite(span) and span > 0 and all(math.isfinite(d) for d in differences)):
        return None
    worst = max(range(len(steps)), key=lambda i: abs(differences[i]))
    ratio, error, doubled = (abs(values[worst]) / span for values in (differences, errors, biases))
    return Distance(ratio, error, doubled, int(steps[worst]))
