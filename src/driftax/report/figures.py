"""The figures as values: what is drawn, whichever library draws it.

`_plotly.py` and `_matplotlib.py` draw the same values, so that the page and the PNG files cannot differ.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from driftax.report.content import OPTIMIZER, Certified, Curve, Judged, Number, ReportContent
from driftax.report.numbers import short, with_error

Z95 = 1.959963984540054

# Colours that stay apart for colour-blind eyes, on white and on black (style.css has the same as variables).
LIGHT = ("#20242a", "#d55e00", "#0072b2", "#009e73", "#aa4499", "#8a6d00", "#56b4e9", "#882255")
DASHES = ("solid", "dash", "solid", "dot", "dashdot", "dash", "dot", "dashdot")
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
GLYPHS = ("▬", "■", "◆", "▲", "▼", "✚", "✖", "★")
_KNOWN = {"optimizer": 0, "derived-1": 1, "derived-2": 2, "ode": 3, "derived-2-extended": 4}


@dataclass(frozen=True)
class Line:
    """A curve: `low` and `high` are 95 % limits, `spread` one standard deviation of a member.

    `hollow` points are not distinguishable from 0; a `faint` line is context; the `reference` is drawn wide,
    so that it shows behind the lines that follow it.
    """

    label: str
    style: int
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    spread: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    hollow: tuple[bool, ...] = ()
    faint: bool = False
    reference: bool = False


@dataclass(frozen=True)
class Guide:
    """A straight line of a slope on log-log axes, from its coarse to its fine end."""

    label: str
    x: tuple[float, float]
    y: tuple[float, float]


@dataclass(frozen=True)
class Panel:
    """One pair of axes."""

    y_title: str
    lines: tuple[Line, ...]
    guides: tuple[Guide, ...] = ()
    y_range: tuple[float, float] | None = None
    zero: str = ""  # what the line at 0 is, where it means something


@dataclass(frozen=True)
class Figure:
    """Panels above each other with one horizontal axis.

    Args:
        name: of its file.
        title: in words.
        caption: what the marks are.
        x_title: of the horizontal axis.
        panels: from top to bottom.
        logarithmic: both axes of every panel.
        ticks: positions on the horizontal axis; none lets the library choose.
        top: positions and labels of a second horizontal axis, and its title.
    """

    name: str
    title: str
    caption: str
    x_title: str
    panels: tuple[Panel, ...]
    logarithmic: bool = False
    ticks: tuple[float, ...] = ()
    top: tuple[tuple[float, str], ...] = ()
    top_title: str = ""


def styles(models: Iterable[str]) -> dict[str, int]:
    """Which colour, dash and marker a model has, in every figure of every report."""
    chosen: dict[str, int] = {}
    free = [i for i in range(len(LIGHT)) if i not in _KNOWN.values()]
    for model in models:
        unknown = len([m for m in chosen if m not in _KNOWN])
        chosen[model] = _KNOWN.get(model, free[unknown % len(free)])
    return chosen


def figures(content: ReportContent) -> dict[str, tuple[Figure, ...]]:
    """All figures of a report by section: `errors`, `time`, `certificate`."""
    style = styles(content.models)
    sections = {
        "errors": [_errors(rows, style) for rows in _by_observable(content.judged) if len(rows[0].rungs) > 1],
        "time": _over_time(content, style),
        "certificate": [_certificate(content.certified, style)] if content.certified else [],
    }
    taken: dict[str, int] = {}
    return {
        section: tuple(replace(f, name=_unique(f.name, taken)) for f in found)
        for section, found in sections.items()
    }


def mean_of(observable: str) -> str:
    """The mean of an observable as an axis title."""
    if observable == "loss":
        return "E loss"
    square = re.fullmatch(r"(\w+)_sq", observable)
    return f"E |{square[1]}|²" if square else f"E {observable}"


def _by_observable(parts: Sequence) -> list[list]:
    names = dict.fromkeys(part.observable for part in parts)
    return [[part for part in parts if part.observable == name] for name in names]


def _errors(rows: list[Judged], style: dict[str, int]) -> Figure:
    """Weak error against time step on log-log axes."""
    lines = [_error_line(row, style.get(row.model, 0)) for row in rows]
    claims = {row.claimed_order: line for row, line in zip(rows, lines, strict=True)}
    observable = rows[0].observable
    return Figure(
        f"weak-error-{observable}",
        f"Weak error of {observable}",
        f"|{mean_of(observable)} of the model − of the optimizer| with 95 % intervals; "
        "a hollow point is not distinguishable from 0, across a gap the error changes sign.",
        "time step h",
        (_log_panel("weak error", lines, _guides(claims, (1, 2))),),
        logarithmic=True,
        ticks=tuple(sorted({rung.time_step for row in rows for rung in row.rungs})),
    )


def _error_line(row: Judged, style: int) -> Line:
    rungs = [rung for rung in row.rungs if math.isfinite(rung.weak_error) and rung.weak_error != 0]
    points: list[tuple[float, float, float, str]] = []
    for rung, before in zip(rungs, [None, *rungs], strict=False):
        if before is not None and rung.weak_error * before.weak_error < 0:
            points.append((math.sqrt(rung.time_step * before.time_step), math.nan, math.nan, ""))
        half = Z95 * rung.standard_error if math.isfinite(rung.standard_error) else 0.0
        note = with_error(rung.weak_error, rung.standard_error)
        points.append((rung.time_step, abs(rung.weak_error), half, note))
    return Line(
        row.model,
        style,
        tuple(x for x, _, _, _ in points),
        tuple(y for _, y, _, _ in points),
        tuple(y - half for _, y, half, _ in points),
        tuple(y + half for _, y, half, _ in points),
        notes=tuple(note for _, _, _, note in points),
        hollow=tuple(y <= half for _, y, half, _ in points),
    )


def _guides(claims: dict[int, Line], slopes: tuple[int, ...]) -> list[Guide]:
    """A dotted line per slope, half as high as the line that claims it."""
    guides = []
    for slope in slopes:
        line = claims.get(slope, next(iter(claims.values()), None))
        points = [(x, y) for x, y in zip(line.x, line.y, strict=True) if y > 0] if line else []
        if len(points) < 2:
            continue
        level = sum(math.log(y) - slope * math.log(x) for x, y in points) / len(points)
        coarse, fine = points[0][0], points[-1][0]
        heights = (0.45 * math.exp(level) * coarse**slope, 0.45 * math.exp(level) * fine**slope)
        guides.append(Guide(f"slope {slope}", (coarse, fine), heights))
    return guides


def _log_panel(y_title: str, lines: list[Line], guides: list[Guide]) -> Panel:
    """A panel whose limits of 0 or less reach its lower edge."""
    heights = [y for line in lines for y in (*line.y, *line.low, *line.high) if y > 0]
    # A limit close to 0 would stretch the axis by decades; it may run out of the picture.
    points = [y for line in lines for y in line.y if y > 0]
    heights += [y for guide in guides for y in guide.y]
    low = max(min(heights, default=1e-3), 0.05 * min(points, default=1e-3)) / 2
    low = min([low, *(y / 2 for guide in guides for y in guide.y)])
    # In this order max() keeps a NaN.
    clipped = [replace(line, low=tuple(max(value, low) for value in line.low)) for line in lines]
    return Panel(y_title, tuple(clipped), tuple(guides), (low, 2 * max(heights, default=1.0)))


def _over_time(content: ReportContent, style: dict[str, int]) -> list[Figure]:
    """Means and differences over time, one figure per observable."""
    found = []
    for curves in _by_observable(content.curves):
        observable = curves[0].observable
        means = tuple(
            Line(
                c.model,
                style.get(c.model, 0),
                c.step,
                c.mean,
                tuple(m - Z95 * e for m, e in zip(c.mean, c.standard_error, strict=True)),
                tuple(m + Z95 * e for m, e in zip(c.mean, c.standard_error, strict=True)),
                c.standard_deviation,
                tuple(with_error(m, e) for m, e in zip(c.mean, c.standard_error, strict=True)),
                reference=c.model == OPTIMIZER,
            )
            for c in sorted(curves, key=lambda curve: curve.model != OPTIMIZER)
        )
        panels = [Panel(mean_of(observable), means)]
        differences = tuple(
            Line(
                d.model,
                style.get(d.model, 0),
                d.step,
                d.mean,
                tuple(m - Z95 * e for m, e in zip(d.mean, d.standard_error, strict=True)),
                tuple(m + Z95 * e for m, e in zip(d.mean, d.standard_error, strict=True)),
                notes=tuple(with_error(m, e) for m, e in zip(d.mean, d.standard_error, strict=True)),
            )
            for d in content.differences
            if d.observable == observable
        )
        if differences:
            panels.append(Panel("model − optimizer", differences, zero="optimizer"))
        h = content.time_step
        found.append(
            Figure(
                f"over-time-{observable}",
                f"{observable} over time",
                "Above: mean of the ensemble; the band is ± 1 standard deviation of a member, error bars are "
                "95 % limits of the mean. Below: model − optimizer with 95 % limits.",
                "step k",
                tuple(panels),
                top=_time_ticks(curves, h) if h else (),
                top_title=f"time t,  h = {short(h)}" if h else "",
            )
        )
    return found


def _time_ticks(curves: list[Curve], h: Number) -> tuple[tuple[float, str], ...]:
    """Round times as positions in steps, with labels."""
    # Steps count from where a study starts, time from where its optimizer started.
    origin = curves[0].time[0] - curves[0].step[0] * h if curves[0].time else 0.0
    steps = [step for curve in curves for step in curve.step]
    first, last = origin + min(steps) * h, origin + max(steps) * h
    if last <= first:
        return ((steps[0], short(first)),)
    spacing = _round_up((last - first) / 6)
    start = math.ceil(first / spacing - 1e-9)
    count = math.floor(last / spacing + 1e-9) - start + 1
    times = [(start + i) * spacing for i in range(count)]
    return tuple(((time - origin) / h, short(time)) for time in times)


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten."""
    decade = 10.0 ** math.floor(math.log10(value))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= value)


def _certificate(certified: tuple[Certified, ...], style: dict[str, int]) -> Figure:
    """One-step residuals against time step on log-log axes: the deciding monomial stands out."""
    lines: list[Line] = []
    context: list[Line] = []
    claims: dict[int, Line] = {}
    for certificate in certified:
        for monomial in certificate.monomials:
            points = [
                (h, abs(r))
                for h, r in zip(certificate.time_steps, monomial.residuals, strict=True)
                if math.isfinite(r) and r != 0
            ]
            known = [(order is not None) for order in monomial.local_orders]
            if not any(known):
                continue  # rounding error from the first rung on
            keep = min(len(points), max(i for i, k in enumerate(known) if k) + 2)
            x, y = zip(*points[:keep], strict=True)
            decides = monomial is certificate.worst
            line = Line(
                f"{certificate.model}: {monomial.name}",
                style.get(certificate.model, 0),
                x,
                y,
                notes=tuple(f"{value:.2e}" for value in y),
                faint=not decides,
            )
            (lines if decides else context).append(line)
            if decides:
                claims[certificate.claimed_order + 1] = line
    guides = _guides(claims, (2, 3))
    steps = tuple(sorted({step for certificate in certified for step in certificate.time_steps}))
    return Figure(
        "certificate",
        "One-step residuals",
        "|E f(one step) − its expansion by the equation| of the monomial that decides the order (bold) and "
        "of all others (thin): slope p + 1 certifies weak order p. No Monte Carlo.",
        "time step h",
        (_log_panel("residual", [*context, *lines], guides),),
        logarithmic=True,
        ticks=steps[:: math.ceil(len(steps) / 5)],
    )


def _unique(name: str, taken: dict[str, int]) -> str:
    """A file name no other figure has."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "-", name).strip("-")
    taken[plain] = taken.get(plain, 0) + 1
    return plain if taken[plain] == 1 else f"{plain}-{taken[plain]}"
