"""All regions of the classification, each with the condition that defines it.

Source: re-derived.
"""

from __future__ import annotations

from typing import NamedTuple

from driftax.limits._value import Exponents, Limit
from driftax.limits.classify import classify

_ROWS = {"s < 0": -1.0, "s = 0": 0.0, "0 < s < p": 0.5, "s = p": 1.0, "s > p": 2.0}
# A memory in units of r, and whether the bias is corrected.
_MEMORIES = {
    "= 0": (0.0, False),
    "< r": (0.5, False),
    "= r": (1.0, False),
    "> r": (2.0, False),
    "> r, bias-corrected": (2.0, True),
}
_EPS = {"p + e > 2s": 1.5, "p + e = 2s": 2.0, "p + e < 2s": 2.5}


class ListedRegion(NamedTuple):
    """A region and where it is."""

    condition: str
    limit: Limit


def second_moment_regions() -> list[ListedRegion]:
    """The regions of RMSprop: size of the noise, then memory of the second moment; last those that eps dominates."""
    found = []
    for row, s in _ROWS.items():
        r = classify(Exponents(1.0, s, 1.0)).time_exponent
        for words, (share, corrected) in _MEMORIES.items():
            limit = classify(Exponents(1.0, s, share * r, bias_correction=corrected))
            found.append(ListedRegion(f"{row}, q {words}", limit))
    for condition, s in _EPS.items():
        limit = classify(Exponents(1.0, s, 1.0, eps=3.0))
        found.append(ListedRegion(f"e > max(0, s), {condition}", limit))
    return found


def momentum_regions() -> list[ListedRegion]:
    """What momentum makes of a region, at s = p and q = r; other rows and memories go likewise."""
    found = []
    for words, (share, corrected) in _MEMORIES.items():
        if share:
            limit = classify(Exponents(1.0, 1.0, 2.0, momentum=2 * share, bias_correction=corrected))
            found.append(ListedRegion(f"s = p, q = r, q1 {words}", limit))
    for words, momentum in {"q1 = 0": 0.0, "0 < q1 < r": 1.0, "q1 = r": 2.0}.items():
        found.append(ListedRegion(f"s = p, q = 0, {words}", classify(Exponents(1.0, 1.0, 0.0, momentum))))
    return found
