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


class Skewed(NamedTuple):
    """An estimate and the shape of what a unit adds to it."""

    estimate: Estimate
    shape: Shape = NORMAL


def shape_of(left_out: np.ndarray, bend: float = 0.0) -> Shape:
    """The shape from the values with one unit left out [n], and what is added to its skewness."""
    parts = left_out.mean() - left_out
    spread = parts.std()
    if spread == 0:
        return Shape()
    return Shape(float(((parts / spread) ** 3).mean()) + bend, float(((parts / spread) ** 4).mean()))


def bend_of_square(gram: np.ndarray, variance: float) -> float:
    """What a square adds to the skewness of a unit, where |mean|^2 of some vectors is studentised.

    With the mean its standard error grows: `12 m' S^2 m / (n variance)^1.5` for units with mean m and covariance S.

    Args:
        gram: inner products of the vectors of the units [n, n].
        variance: of the estimate of |mean|^2.

    Source: hall1992, skewness of a studentised function of means; re-derived for squares.
    """
    n = len(gram)
    rows = gram.mean(axis=1)
    centred = gram - rows[:, None] - rows[None, :] + gram.mean()
    along = rows - gram.mean()  # m' (g_i - m)
    squared = float(along @ (centred - np.diag(np.diag(centred))) @ along) / ((n - 1) * (n - 2))
    return 12 * max(squared, 0.0) / (n * variance) ** 1.5 if variance > 0 else 0.0


def interval(found: Estimate, units: int, shape: Shape = NORMAL, level: float = 0.95) -> tuple[float, float]:
    """An interval that allows for skewed units.

    Args:
        found: the estimate.
        units: from which it is made.
        shape: of what they add to it.
        level: of confidence.
    """
    below, above = reaches(units, shape, level)
    return found.value - found.standard_error * below, found.value + found.standard_error * above


def interval_by_inverse(found: Estimate, units: int, shape: Shape = NORMAL) -> tuple[float, float]:
    """An interval of a number whose inverse is the mean: straighter than its own, and bounded below by 0.

    Args:
        found: the number, above 0.
        units: from which it is made.
        shape: of what they add to its inverse.
    """
    low, high = interval(Estimate(1 / found.value, found.standard_error / found.value**2), units, shape)
    return 1 / high, math.inf if low <= 0 else 1 / low


def reaches(units: int, shape: Shape = NORMAL, level: float = 0.95) -> tuple[float, float]:
    """How many standard errors an interval reaches below an estimate and above it, by a cubic of the studentised one.

    The quantile is Student's, with fewer degrees of freedom where units are heavy-tailed: a guard, at the price of
    wider intervals.

    Source: hall1992 (the cubic).
    """
    free = min(units - 1, max(2 * units / max(shape.kurtosis - 1, 1e-9), 4.0))
    reach = float(stats.t.ppf(0.5 + level / 2, free))
    bend = shape.skewness / math.sqrt(units)

    def straightened(x: float) -> float:
        return x if abs(bend) < 1e-6 else 3 / bend * (math.cbrt(1 + bend * (x - bend / 6)) - 1)

    return straightened(reach), -straightened(-reach)


def root(variance: float) -> float:
    """The square root of an estimated variance, which rounding may leave below 0."""
    return math.sqrt(max(variance, 0.0))
