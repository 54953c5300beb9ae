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


def root(variance: float) -> float:
    """The square root of an estimated variance, which rounding may leave below 0."""
    return math.sqrt(max(variance, 0.0))
