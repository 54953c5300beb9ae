r"""The gradient noise scale `B_simple = tr Sigma / |grad|^2`, in examples.

A ratio of estimates, never a mean of ratios: near a small gradient the latter has no expectation. What the ratio is too
large on average is taken off to second order, `1 + v/N^2 - c/(T N)` for a norm N of variance v and its covariance c
with the trace T. Its interval is Fieller's, which has no upper end where the gradient is not told from 0.

Source: mccandlish2018, eq. (2.9); fieller1954.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np


class NoiseScale(NamedTuple):
    """A noise scale with its interval.

    Args:
        value: in examples; nan where it is not resolved.
        standard_error: by the delta method; inf where it is not resolved.
        low, high: ends of the interval; `high` is inf where the gradient is not told from 0.
        resolved: whether the gradient is told from 0, so that the interval is bounded.
    """

    value: float
    standard_error: float
    low: float
    high: float
    resolved: bool


def noise_scale(trace: float, norm_squared: float, covariance: np.ndarray, quantile: float) -> NoiseScale:
    """The ratio of a trace and a squared norm, both above 0 in truth.

    Args:
        trace: estimate of tr Sigma.
        norm_squared: estimate of |grad|^2.
        covariance: of (norm_squared, trace) [2, 2].
        quantile: of the interval, 1.96 for 95 % of many units.

    Source: fieller1954.
    """
    (norm_variance, shared), (_, trace_variance) = covariance
    a = norm_squared**2 - quantile**2 * norm_variance
    b = norm_squared * trace - quantile**2 * shared
    c = trace**2 - quantile**2 * trace_variance
    disc = b * b - a * c
    if norm_squared > 0 and a > 0:
        ratio = trace / norm_squared
        spread = trace_variance - 2 * ratio * shared + ratio**2 * norm_variance
        half = math.sqrt(max(disc, 0.0))
        excess = norm_variance / norm_squared**2 - shared / (trace * norm_squared)
        error = math.sqrt(max(spread, 0.0)) / norm_squared
        return NoiseScale(ratio / max(1 + excess, 0.5), error, max((b - half) / a, 0.0), (b + half) / a, True)
    if a == 0 or disc <= 0 or c <= 0:
        return NoiseScale(math.nan, math.inf, 0.0, math.inf, False)
    # The set is what lies beyond the positive root.
    ends = [(b - math.sqrt(disc)) / a, (b + math.sqrt(disc)) / a]
    return NoiseScale(math.nan, math.inf, max(max(ends), 0.0), math.inf, False)
