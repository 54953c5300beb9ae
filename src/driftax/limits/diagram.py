"""The phase diagram: regions, lines and corners in the plane of noise (s) and second-moment memory (q).

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from driftax.limits._value import Exponents, Limit, equal
from driftax.limits.classify import classify

Point = tuple[float, float]  # s, q


class Region(NamedTuple):
    """An open region of one limit and its corners, in order around it."""

    limit: Limit
    corners: tuple[Point, ...]


class Line(NamedTuple):
    """A piece of a boundary with the limit on it."""

    limit: Limit
    ends: tuple[Point, Point]
    kind: str  # "noise": a value of s; "memory": q = r; "fixed": q = 0


class Corner(NamedTuple):
    """A point where boundaries meet, with the limit there."""

    limit: Limit
    at: Point


class Diagram(NamedTuple):
    """Everything of the plane at fixed p, q1 and e; `here` is the point that was asked for."""

    regions: tuple[Region, ...]
    lines: tuple[Line, ...]
    corners: tuple[Corner, ...]
    s_range: tuple[float, float]
    q_range: tuple[float, float]
    here: Point
    exponents: Exponents


def phase_diagram(exponents: Exponents) -> Diagram:
    """The plane of s and q through a point.

    Args:
        exponents: the point; its p, q1, e and conventions hold in the whole plane.
    """
    p = exponents.learning_rate
    cuts = _cuts(p, exponents.eps)
    s = exponents.noise if math.isfinite(exponents.noise) else cuts[0] - p
    low, high = min(cuts[0] - p, s - 0.25 * p), max(cuts[-1] + p, s + 0.25 * p)
    edges = [low, *cuts, high]
    clocks = [_clock(exponents, edge) for edge in edges]
    top = max(1.4 * max(clocks), exponents.second_moment + 0.25 * p)

    def at(noise: float, memory: float) -> Limit:
        return classify(replace(exponents, noise=noise, second_moment=memory))

    regions: list[Region] = []
    lines: list[Line] = []
    for a, b, ra, rb in zip(edges[:-1], edges[1:], clocks[:-1], clocks[1:], strict=True):
        middle, r = (a + b) / 2, (ra + rb) / 2
        limit = at(middle, r / 2)
        if limit.row.eps_dominates:  # the second moment does not matter
            regions.append(Region(limit, ((a, 0.0), (b, 0.0), (b, top), (a, top))))
            continue
        regions.append(Region(limit, ((a, 0.0), (b, 0.0), (b, rb), (a, ra))))
        regions.append(Region(at(middle, (r + top) / 2), ((a, ra), (b, rb), (b, top), (a, top))))
        lines.append(Line(at(middle, r), ((a, ra), (b, rb)), "memory"))
        lines.append(Line(at(middle, 0.0), ((a, 0.0), (b, 0.0)), "fixed"))
    corners: list[Corner] = []
    for cut in cuts:
        r = _clock(exponents, cut)
        lines.append(Line(at(cut, r / 2), ((cut, 0.0), (cut, r)), "noise"))
        lines.append(Line(at(cut, (r + top) / 2), ((cut, r), (cut, top)), "noise"))
        if not at(cut, r).row.eps_dominates:
            corners.append(Corner(at(cut, r), (cut, r)))
    here = (s, exponents.second_moment)
    return Diagram(tuple(regions), tuple(lines), tuple(corners), (low, high), (0.0, top), here, exponents)


def _cuts(p: float, e: float | None) -> list[float]:
    """The values of s at which the row changes, in rising order.

    Where eps dominates (s < e) noise takes over at s = (p + e)/2, if that is below e at all.
    """
    if e is None or e <= 0:
        return [0.0, p]
    if equal(e, p):
        return [p]
    return [e, p] if e < p else [(p + e) / 2, e]


def _clock(exponents: Exponents, noise: float) -> float:
    return classify(replace(exponents, noise=noise)).time_exponent
