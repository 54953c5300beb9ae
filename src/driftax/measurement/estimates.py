"""A number with its standard error, and the jackknife that gives one."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import stats


class Estimate(NamedTuple):
    """A number and its standard error."""

    value: float
    standard_error: float


def jackknife_covariance(left_out: np.ndarray) -> np.ndarray:
    """Covariance [k, k] of k statistics from their values with one unit left out [n, k].

    Source: efron1981.
    """
    count = left_out.shape[0]
    deviation = left_out - left_out.mean(axis=0)
    return (count - 1) / count * deviation.T @ deviation


def quantile(units: int, level: float = 0.95) -> float:
    """The two-sided quantile of Student's law for an estimate from so many units."""
    return float(stats.t.ppf(0.5 + level / 2, units - 1))


class Shape(NamedTuple):
    """Skewness and kurtosis of what a single unit adds to an estimate; those of a normal law if left out."""

    skewness: float = 0.0
    kurtosis: float = 3.0


NORMAL = Shape()


def shape_of(left_out: np.ndarray) -> Shape:
    """The shape from the values with one unit left out [n]."""
    parts = left_out.mean() - left_out
    spread = parts.std()
    if spread == 0:
        return Shape()
    return Shape(float(((parts / spread) ** 3).mean()), float(((parts / spread) ** 4).mean()))


def interval(found: Estimate, units: int, shape: Shape = NORMAL, level: float = 0.95) -> tuple[float, float]:
    """An interval that allows for skewed units, by a cubic of the studentised estimate.

    The quantile is Student's, with fewer degrees of freedom where units are heavy-tailed: a guard, at the price of
    wider intervals. A quadratic estimate near 0 that few directions make up is held less often, like Student's.

    Args:
        found: the estimate.
        units: from which it is made.
        shape: of what they add to it.
        level: of confidence.

    Source: hall1992 (the cubic).
    """
    free = min(units - 1, max(2 * units / max(shape.kurtosis - 1, 1e-9), 4.0))
    reach = float(stats.t.ppf(0.5 + level / 2, free))
    bend = shape.skewness / math.sqrt(units)

    def straightened(x: float) -> float:
        return x if abs(bend) < 1e-6 else 3 / bend * (math.cbrt(1 + bend * (x - bend / 6)) - 1)

    value, error = found
    return value - error * straightened(reach), value - error * straightened(-reach)


def root(variance: float) -> float:
    """The square root of an estimated variance, which rounding may leave below 0."""
    return math.sqrt(max(variance, 0.0))
