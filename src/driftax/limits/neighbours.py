"""The limits that stand near a point: which exponent leads to them, and how far away they are.

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

from driftax.limits._value import Exponents, Limit, above, equal
from driftax.limits.classify import classify

VARIABLES = ("noise", "second_moment", "momentum", "eps")


class Neighbour(NamedTuple):
    """A boundary met when one exponent moves: where, how far, the limit on it and the one behind it."""

    variable: str
    at: float
    distance: float  # what the exponent changes by, with its sign; 0 on the boundary
    on: Limit
    beyond: Limit


def neighbours(exponents: Exponents) -> tuple[Neighbour, ...]:
    """The nearest boundary in each direction of each exponent; on a boundary, what stands on its two sides."""
    found = []
    for variable in VARIABLES:
        value = getattr(exponents, variable)
        if value is None or math.isinf(value):
            continue
        for sign in (-1, 1):
            nearest = _nearest(exponents, variable, value, sign)
            if nearest is not None:
                found.append(nearest)
    return tuple(found)


def critical_values(exponents: Exponents, variable: str) -> list[float]:
    """Where the limit can change while one exponent moves and the others stay, in rising order."""
    p, s, e = exponents.learning_rate, exponents.noise, exponents.eps
    memories = [m for m in (exponents.second_moment, exponents.momentum) if m is not None]
    if variable in ("second_moment", "momentum"):
        values = [0.0, classify(exponents).time_exponent]
    elif variable == "noise":
        values = [0.0, p] + [m - p for m in memories]
        if e is not None:
            values += [e, (p + e) / 2] + [p + e - m / 2 for m in memories]
    else:
        values = [max(0.0, s), 2 * s - p]
        values += [v for m in memories for v in (m - p, m / 2 - p + s)]
    return sorted({round(value, 12) for value in values if math.isfinite(value)})


def _nearest(exponents: Exponents, variable: str, value: float, sign: int) -> Neighbour | None:
    here = classify(exponents)
    ahead = [c for c in critical_values(exponents, variable)[::sign] if not above(sign * value, sign * c)]
    for place, critical in enumerate(ahead):
        on_it = exponents if equal(critical, value) else _moved(exponents, variable, critical)
        further = ahead[place + 1] if place + 1 < len(ahead) else critical + 2.0 * sign
        behind = (critical + further) / 2
        if behind < 0 and variable in ("second_moment", "momentum"):
            at_zero = classify(on_it)
            return None if at_zero.name == here.name else _at(variable, value, critical, at_zero, None)
        on, beyond = classify(on_it), classify(_moved(exponents, variable, behind))
        if here.name not in (on.name, beyond.name) or on.name != beyond.name:
            return _at(variable, value, critical, on, beyond)
    return None


def _moved(exponents: Exponents, variable: str, value: float) -> Exponents:
    changed: dict[str, Any] = {variable: value}
    return replace(exponents, **changed)


def _at(variable: str, value: float, critical: float, on: Limit, beyond: Limit | None) -> Neighbour:
    distance = 0.0 if equal(critical, value) else critical - value
    return Neighbour(variable, critical, distance, on, beyond or on)
