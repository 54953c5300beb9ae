"""Numbers as people write them."""

from __future__ import annotations

import math

from driftax.report.content import Number


def with_error(value: Number, standard_error: Number) -> str:
    """A value with the standard error of its last digits in parentheses: `1.23(4)e-3`.

    Example:
        >>> with_error(0.00123, 0.00004)
        '1.23(4)e-3'
        >>> with_error(12.345, 0.12)
        '12.35(12)'
    """
    if not math.isfinite(value):
        return "—"
    if not math.isfinite(standard_error) or standard_error <= 0:
        return short(value)
    # Two digits where one digit would round an error of 1 by up to a half.
    finest = math.floor(math.log10(standard_error))
    finest -= 1 if standard_error / 10**finest < 1.95 else 0
    leading = max(math.floor(math.log10(abs(value))) if value else finest, finest)
    shift = leading if not -1 <= leading <= 3 or finest > 0 else 0
    decimals = shift - finest
    digits = round(standard_error / 10**finest)
    exponent = f"e{shift}" if shift else ""
    return f"{value / 10**shift:.{decimals}f}({digits}){exponent}"


def short(value: Number) -> str:
    """A number with four digits at most."""
    if not math.isfinite(value):
        return "—"
    mantissa, _, exponent = f"{value:.4g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def order(value: Number | None) -> str:
    """An order of convergence, to two decimals."""
    return "—" if value is None or math.isnan(value) else f"{value:.2f}"


def interval(ends: tuple[float | None, float | None] | None) -> str:
    """A confidence interval of an order; an end that is not known is open."""
    if ends is None or ends == (None, None):
        return "—"
    low, high = (None if end is None or math.isinf(end) else end for end in ends)
    left = "(−∞" if low is None else f"[{low:.2f}"
    right = "∞)" if high is None else f"{high:.2f}]"
    return f"{left}, {right}"
