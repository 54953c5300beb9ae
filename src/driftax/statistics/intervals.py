"""Confidence sets for the ratio of two independent estimates."""

from __future__ import annotations

import math
from statistics import NormalDist


def normal_quantile(false_alarm: float) -> float:
    """The two-sided quantile of the standard normal law."""
    return NormalDist().inv_cdf(1 - false_alarm / 2)


def ratio_magnitude(
    numerator: float, numerator_error: float, denominator: float, denominator_error: float, quantile: float
) -> tuple[float, float]:
    """The range of |numerator / denominator| in Fieller's confidence set.

    The set of ratios r with `|numerator - r denominator| <= quantile * standard error` may be unbounded (the
    denominator is not distinguishable from 0), then the upper end is inf, or contain 0.

    Source: fieller1954.
    """
    a = denominator**2 - (quantile * denominator_error) ** 2
    c = numerator**2 - (quantile * numerator_error) ** 2
    b = numerator * denominator
    discriminant = b * b - a * c
    if a > 0:
        # Both roots are real: the estimate itself lies between them.
        root = math.sqrt(max(discriminant, 0.0))
        low, high = (b - root) / a, (b + root) / a
        contains_zero = low <= 0 <= high
        return (0.0 if contains_zero else min(abs(low), abs(high))), max(abs(low), abs(high))
    if c <= 0 or discriminant <= 0 or a == 0:
        return 0.0, math.inf
    root = math.sqrt(discriminant)
    return min(abs((b - root) / a), abs((b + root) / a)), math.inf
