"""A figure as a PNG file: for slides, for paper, and for the page where no script runs."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from driftax.report.figures import DASHES, LIGHT, MARKERS, Figure, Guide, Line, Panel
from driftax.report.numbers import short

_LINES = {"solid": "-", "dash": (0, (5, 2)), "dot": (0, (1, 1.5)), "dashdot": "-."}
_MARKS = {
    "circle": "o",
    "square": "s",
    "diamond": "D",
    "triangle-up": "^",
    "triangle-down": "v",
    "cross": "P",
    "x": "X",
    "star": "*",
}
_MANY = 24
_GREY = "#6b7280"
_STYLE: Any = {
    "font.size": 10,
    "font.family": "sans-serif",
    "text.parse_math": False,  # names are not formulas
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GREY,
    "axes.grid": True,
    "grid.color": "#e5e7eb",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "legend.frameon": False,
}


def figure_png(figure: Figure) -> bytes:
    """The figure on white, 160 dots per inch."""
    return figure_bytes(figure, "png")


def figure_bytes(figure: Figure, form: str) -> bytes:
    """The figure on white as `png` (160 dots per inch) or `pdf`."""
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    rows = len(figure.panels)
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(7.2, 4.4 if rows == 1 else 6.8), layout="constrained")
        axes = canvas.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        for ax, panel in zip(axes, figure.panels, strict=True):
            _draw(ax, panel, figure)
        axes[-1].set_xlabel(figure.x_title)
        _top_axis(axes[0], figure)
        _legend(canvas, figure)
        target = io.BytesIO()
        canvas.savefig(target, format=form, dpi=160)
    return target.getvalue()


def _draw(ax, panel: Panel, figure: Figure) -> None:
    ax.set_ylabel(panel.y_title)
    if figure.logarithmic:
        ax.set_xscale("log")
        ax.set_yscale("log")
        _log_ticks(ax.yaxis, panel.y_range or (1.0, 1e3))
    if panel.zero:
        ax.axhline(0, color=LIGHT[0], linewidth=1)
    for guide in panel.guides:
        _guide(ax, guide)
    for line in panel.lines:
        _line(ax, line)
    if panel.y_range:
        ax.set_ylim(*panel.y_range)
    if figure.ticks:
        ax.set_xticks(figure.ticks, [f"{tick:.3g}" for tick in figure.ticks])
        ax.set_xticks([], minor=True)


def _log_ticks(axis, ends: tuple[float, float]) -> None:
    """Powers of ten; numbers between them too where the axis spans less than two decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if ends[1] < 100 * ends[0]:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(lambda value, _: short(value))
    else:
        axis.set_major_formatter(lambda value, _: _power_of_ten(value))


def _power_of_ten(value: float) -> str:
    return "10" + str(round(np.log10(value))).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def _line(ax, line: Line) -> None:
    colour, x, y = LIGHT[line.style], np.asarray(line.x), np.asarray(line.y)
    few = len(x) <= _MANY
    if line.spread and len(x) > 1:
        spread = np.asarray(line.spread)
        ax.fill_between(x, y - spread, y + spread, color=colour, alpha=0.10, linewidth=0)
    look = {"color": colour, "linestyle": _LINES[DASHES[line.style]]}
    if line.faint:
        ax.plot(x, y, linewidth=0.6, alpha=0.35, **look)
        return
    if line.high and few:
        size = np.abs(np.stack([y - np.asarray(line.low), np.asarray(line.high) - y]))
        ax.errorbar(x, y, yerr=size, fmt="none", ecolor=colour, elinewidth=1.2, capsize=3)
    elif line.high:
        ax.fill_between(x, line.low, line.high, color=colour, alpha=0.35, linewidth=0)
    wide = {"linewidth": 6.5, "alpha": 0.35} if line.reference else {"linewidth": 1.7}
    ax.plot(x, y, label=line.label, **wide, **look)
    if few and not line.reference:
        marker = _MARKS[MARKERS[line.style]]
        hollow = np.asarray(line.hollow or (False,) * len(x), dtype=bool)
        for mask, face in ((~hollow, colour), (hollow, "white")):
            ax.plot(x[mask], y[mask], marker, color=colour, markerfacecolor=face, markersize=5.5)


def _guide(ax, guide: Guide) -> None:
    ax.plot(guide.x, guide.y, color=_GREY, linestyle=":", linewidth=1.1)
    ax.annotate(
        guide.label,
        (guide.x[1], guide.y[1]),
        xytext=(6, -4),
        textcoords="offset points",
        va="top",
        color=_GREY,
        fontsize=9,
    )


def _top_axis(ax, figure: Figure) -> None:
    if not figure.top:
        return
    top = ax.secondary_xaxis("top")
    top.set_xticks([position for position, _ in figure.top], [label for _, label in figure.top])
    top.set_xlabel(figure.top_title)


def _legend(canvas, figure: Figure) -> None:
    """One entry per line, with its marker."""
    lines = [line for panel in figure.panels for line in panel.lines if not line.faint]
    marks = {line.label: "" if line.reference else _MARKS[MARKERS[line.style]] for line in reversed(lines)}
    entries = {}
    for ax in canvas.axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            if label not in entries:
                entries[label] = type(handle)([], [])
                entries[label].update_from(handle)
                entries[label].set(marker=marks[label], markersize=5.5)
    if entries:
        columns = min(3, len(entries))
        place = "outside lower center"
        canvas.legend(entries.values(), entries.keys(), loc=place, ncols=columns, handlelength=3)
