"""The phase diagram of limiting dynamics as PNG and PDF."""

from __future__ import annotations

import io
import textwrap
from typing import Any

from driftax.limits._value import Limit, Motion, Row
from driftax.limits.diagram import Diagram, Line, Region

_TINTS = {
    Row.VANISHING_NOISE: "#e8eef5",
    Row.NOISE_NORMALISED: "#e3f1ea",
    Row.NOISE_DOMINATED: "#fbeadd",
    Row.EPS_ODE: "#f3e9f3",
    Row.EPS_NOISE: "#f6efe0",
}
_SMALLEST = 6.5  # points
_GAP = 12.0  # between the star's words and others, in dots
_WIDEST = 36  # letters of a line beside the star
_INK, _GREY = "#20242a", "#6b7280"
_MEMORY, _NOISE, _HERE = "#0072b2", "#d55e00", "#aa4499"
_STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "mathtext.fontset": "dejavusans",
    "axes.edgecolor": _GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}


def limits_figure(diagram: Diagram, here: str) -> dict[str, bytes]:
    """The diagram as files, by ending.

    Args:
        diagram: the plane of noise and memory.
        here: what the marked point is, in words.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas
    from matplotlib.path import Path

    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(9.2, 6.0), layout="constrained")
        ax = canvas.subplots()
        words = [_region(ax, region) for region in diagram.regions]
        for line in diagram.lines:
            _line(ax, line)
        for corner in diagram.corners:
            ax.plot(*corner.at, "o", color=_INK, markersize=6, zorder=5)
        _axes(ax, diagram)
        headings = _headings(ax, diagram)
        _key(canvas)
        canvas.draw_without_rendering()
        _fit(ax, words + headings)
        own = next(
            (region for region in diagram.regions if Path(region.corners).contains_point(diagram.here)), None
        )
        others = [entry for entry in words if own is None or entry[0].get_gid() != _gid(own)]
        _clear(ax, words, own, _mark(ax, diagram, here, others))
        return {ending: _bytes(canvas, ending) for ending in ("png", "pdf")}


def _bytes(canvas: Any, ending: str) -> bytes:
    target = io.BytesIO()
    metadata = {"CreationDate": None} if ending == "pdf" else None
    canvas.savefig(target, format=ending, dpi=160, metadata=metadata)
    return target.getvalue()


def _region(ax: Any, region: Region) -> tuple[Any, float, float]:
    """Draws a region; returns its words and the ends of the place they have."""
    from matplotlib.patches import Polygon

    below = region.corners[0][1] == 0.0  # the words of a slaved second moment stay clear of the line q = r
    faint = region.limit.nu in (Motion.FROZEN, Motion.RUNNING_MEAN) and not region.limit.row.eps_dominates
    colour = _TINTS.get(region.limit.row, "#f1f1f1")
    ax.add_patch(Polygon(region.corners, facecolor=colour, alpha=0.55 if faint else 1.0, linewidth=0))
    left, right = region.corners[0][0], region.corners[1][0]
    foot = (region.corners[0][1] + region.corners[1][1]) / 2
    head = (region.corners[2][1] + region.corners[3][1]) / 2
    y = foot + (head - foot) * (0.42 if below else 0.55)
    text = ax.text(
        (left + right) / 2, y, _words(region.limit), ha="center", va="center", color=_INK, linespacing=1.75
    )
    text.set_gid(_gid(region))
    return text, left, right


def _words(limit: Limit) -> str:
    """What the second moment does, and the equations."""
    if limit.row.eps_dominates:
        head, lines = "second moment negligible", limit.latex
    else:
        flow = limit.name.startswith("sign-gradient flow")
        head = "sign-gradient flow" if flow else f"second moment {limit.nu.value}"
        lines = tuple(line for line in limit.latex if not line.startswith("D ="))
    return "\n".join([head, *(f"${line}$" for line in lines)])


def _fit(ax: Any, placed: list[tuple[Any, float, float]]) -> None:
    """Words that are wider than their region are made smaller, or taken away where that is not enough."""
    for text, left, right in placed:
        room = ax.transData.transform((right, 0))[0] - ax.transData.transform((left, 0))[0]
        width = text.get_window_extent().width
        if width > 0.94 * room:
            text.set_fontsize(text.get_fontsize() * max(0.94 * room / width, 0.1))
            text.set_visible(text.get_fontsize() >= _SMALLEST)


def _clear(ax: Any, words: list[tuple[Any, float, float]], region: Region | None, taken: Any) -> None:
    """The words of the star's own region move above or below what the star and its words take."""
    if region is None:
        return
    text = next(text for text, _, _ in words if text.get_gid() == _gid(region))
    box = text.get_window_extent()
    if not box.overlaps(taken):
        return
    heights = [ax.transData.transform(corner)[1] for corner in region.corners]
    away = _GAP + 0.5 * box.height
    above = max(heights) - taken.y1 > taken.y0 - min(heights)
    middle = taken.y1 + away if above else taken.y0 - away
    text.set_y(ax.transData.inverted().transform((box.x0, middle))[1])


def _gid(region: Region) -> str:
    return str(region.corners)


def _line(ax: Any, line: Line) -> None:
    (x0, y0), (x1, y1) = line.ends
    colour = _NOISE if line.kind == "noise" else _MEMORY
    dashes = (0, (4, 2)) if line.kind == "fixed" else "-"
    width = 4.0 if line.kind == "fixed" else 2.2
    ax.plot([x0, x1], [y0, y1], color=colour, linewidth=width, linestyle=dashes, zorder=4, clip_on=False)


def _axes(ax: Any, diagram: Diagram) -> None:
    ax.set_xlim(*diagram.s_range)
    ax.set_ylim(*diagram.q_range)
    e = diagram.exponents
    ax.set_xlabel(r"$s$:  gradient noise $\sim \tau^{-s}$")
    ax.set_ylabel(r"$q$:  memory of the second moment, $1-\beta_2 \sim \tau^{q}$")
    others = [rf"learning rate $\sim {_power(e.learning_rate)}$"]
    if e.momentum is not None:
        others.append(rf"$1-\beta_1 \sim {_power(e.momentum)}$")
    if e.eps is not None:
        others.append(rf"$\epsilon \sim {_power(-e.eps)}$")
    limits = [region.limit for region in diagram.regions] + [line.limit for line in diagram.lines]
    eps = any(limit.eps_enters for limit in limits)
    others.append(r"$D = 1/(\sqrt{\nu} + \epsilon)$" if eps else r"$D = 1/\sqrt{\nu}$")
    ax.set_title(",   ".join(others), pad=38, loc="left", color=_INK)


def _power(exponent: float) -> str:
    return r"\tau" if exponent == 1 else rf"\tau^{{{exponent:.3g}}}"


def _headings(ax: Any, diagram: Diagram) -> list[tuple[Any, float, float]]:
    """Names of the columns, and above them those of the lines between; returns the former with their places."""
    on_lines = {line.ends[0][0]: line.limit for line in diagram.lines if line.kind == "noise"}
    cuts, place = sorted(on_lines), {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
    columns = []
    for left, right in zip([diagram.s_range[0], *cuts], [*cuts, diagram.s_range[1]], strict=True):
        row = next(r.limit.row for r in diagram.regions if _spans(r, left, right))
        text = ax.annotate(
            row.value, ((left + right) / 2, 1), xytext=(0, 5), ha="center", color=_GREY, **place
        )
        columns.append((text, left, right))
    close = len(cuts) == 2 and cuts[1] - cuts[0] < 0.3 * (diagram.s_range[1] - diagram.s_range[0])
    for i, cut in enumerate(cuts):
        beside = {r.limit.row for r in diagram.regions}
        row = on_lines[cut].row
        name = "eps as large as the noise" if row in beside else row.value
        ends = ("right", "left")[i] if close else "center"
        ax.annotate(name, (cut, 1), xytext=(0, 18), ha=ends, color=_NOISE, weight="bold", **place)
    return columns


def _spans(region: Region, left: float, right: float) -> bool:
    return region.corners[0][0] == left and region.corners[1][0] == right


def _mark(ax: Any, diagram: Diagram, here: str, words: list[tuple[Any, float, float]]) -> Any:
    """The star, and its words on the side where they cover least; returns the box that both take."""
    from matplotlib.transforms import Bbox

    folded = "\n".join(textwrap.fill(line, _WIDEST) for line in f"you are here: {here}".split("\n"))
    x, y = diagram.here
    ax.plot(x, y, "*", color=_HERE, markersize=19, markeredgecolor="white", zorder=7, clip_on=False)
    box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": _HERE, "linewidth": 0.8}
    tried: list[tuple[float, int, Any]] = []
    for right in (True, False):
        for up in (True, False):
            note = ax.annotate(
                folded,
                (x, y),
                xytext=(14 if right else -14, 14 if up else -14),
                textcoords="offset points",
                ha="left" if right else "right",
                va="bottom" if up else "top",
                color=_HERE,
                zorder=8,
                bbox=box,
            )
            tried.append((_covered(ax, note.get_window_extent(), diagram, words), len(tried), note))
    best = min(tried)[1]
    for _, place, note in tried:
        if place != best:
            note.remove()
    extent = tried[best][2].get_window_extent()
    star = ax.transData.transform((x, y))
    return Bbox.union([extent, Bbox.from_extents(*(star - _GAP), *(star + _GAP))])


def _covered(ax: Any, box: Any, diagram: Diagram, words: list[tuple[Any, float, float]]) -> float:
    """How much a box hides: other words, the line q = r, and above all what sticks out of the axes."""
    hidden = 0.0
    for text, _, _ in words:
        other = text.get_window_extent()
        wide = min(box.x1, other.x1) - max(box.x0, other.x0)
        high = min(box.y1, other.y1) - max(box.y0, other.y0)
        hidden += 2 * max(wide, 0.0) * max(high, 0.0) / (box.width * box.height)
    for line in diagram.lines:
        (x0, y0), (x1, y1) = line.ends
        on_it = ax.transData.transform(
            [(x0 + (x1 - x0) * i / 50, y0 + (y1 - y0) * i / 50) for i in range(51)]
        )
        hidden += sum(box.contains(*point) for point in on_it) / 50
    inside = ax.get_window_extent()
    outside = max(inside.x0 - box.x0, box.x1 - inside.x1, inside.y0 - box.y0, box.y1 - inside.y1, 0.0)
    return hidden + 10 * outside / inside.width


def _key(canvas: Any) -> None:
    from matplotlib.lines import Line2D

    entries = {
        "$q = r$: second moment dynamic": Line2D([], [], color=_MEMORY, linewidth=2.2),
        "$q = 0$: fixed $\\beta_2$": Line2D([], [], color=_MEMORY, linewidth=4, linestyle=(0, (2, 1))),
        "another size of the noise": Line2D([], [], color=_NOISE, linewidth=2.2),
        "both at once": Line2D([], [], color=_INK, marker="o", linestyle=""),
    }
    canvas.legend(
        entries.values(), entries.keys(), loc="outside lower center", ncols=4, frameon=False, handlelength=2.5
    )
