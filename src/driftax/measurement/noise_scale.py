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


def noise_scale(
    trace: float, norm_squared: float, covariance: np.ndarray, reaches: tuple[float, float]
) -> NoiseScale:
    """The ratio of a trace and a squared norm, both above 0 in truth.

    Args:
        trace: estimate of tr Sigma.
        norm_squared: estimate of |grad|^2.
        covariance: of (norm_squared, trace) [2, 2].
        reaches: standard errors by which the interval of `trace - ratio norm` reaches below and above it: 1.96 both
            for 95 % of many units that are not skewed.

    Source: fieller1954.
    """
    low, _ = _ends(trace, norm_squared, covariance, reaches[0])
    _, high = _ends(trace, norm_squared, covariance, reaches[1])
    if not (norm_squared > 0 and math.isfinite(high)):
        return NoiseScale(math.nan, math.inf, low, math.inf, False)
    (norm_variance, shared), (_, trace_variance) = covariance
    ratio = trace / norm_squared
    spread = trace_variance - 2 * ratio * shared + ratio**2 * norm_variance
    excess = norm_variance / norm_squared**2 - shared / (trace * norm_squared)
    error = math.sqrt(max(spread, 0.0)) / norm_squared
    return NoiseScale(ratio / max(1 + excess, 0.5), error, low, high, True)


def _ends(trace: float, norm_squared: float, covariance: np.ndarray, reach: float) -> tuple[float, float]:
    """Where `trace - ratio norm` is `reach` standard errors from 0; inf for an end that is not there."""
    (norm_variance, shared), (_, trace_variance) = covariance
    a = norm_squared**2 - reach**2 * norm_variance
    b = norm_squared * trace - reach**2 * shared
    c = trace**2 - reach**2 * trace_variance
    disc = b * b - a * c
    half = math.sqrt(max(disc, 0.0))
    if norm_squared > 0 and a > 0:
        return max((b - half) / a, 0.0), (b + half) / a
    if a == 0 or disc <= 0 or c <= 0:
        return 0.0, math.inf
    return max((b - half) / a, (b + half) / a, 0.0), math.inf  # the set is what lies beyond the positive root
