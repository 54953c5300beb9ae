"""A figure as the JSON of plotly.js. Colours are indices: the page paints them for a light or dark screen."""

from __future__ import annotations

import html
import math
from typing import Any

from driftax.report.figures import DASHES, MARKERS, Figure, Guide, Line, Panel

_MANY = 24  # points from which limits are a band and markers are left out
_HEIGHTS = {1: (1.0,), 2: (0.54, 0.46)}
_GAP = 0.07


def figure_json(figure: Figure) -> dict[str, Any]:
    """`data` and `layout` of a figure; `meta` of a trace tells the page how to paint it."""
    heights = _HEIGHTS[len(figure.panels)]
    data: list[dict[str, Any]] = []
    layout: dict[str, Any] = {
        "height": 400 if len(figure.panels) == 1 else 620,
        "margin": {"l": 70, "r": 18, "t": 58 if figure.top else 16, "b": 84},
        "hovermode": "closest",
        "showlegend": True,
        "legend": {"orientation": "h", "x": 0, "yref": "container", "y": 0, "yanchor": "bottom"},
    }
    shown: set[str] = set()
    top = 1.0
    for number, (panel, height) in enumerate(zip(figure.panels, heights, strict=True)):
        suffix = "" if number == 0 else str(number + 1)
        usable = height * (1 - _GAP * (len(heights) - 1))
        layout[f"yaxis{suffix}"] = {**_y_axis(figure, panel), "domain": [max(top - usable, 0), top]}
        top -= usable + _GAP
        traces = _panel(panel, figure)
        for trace in traces:
            trace |= {"xaxis": "x", "yaxis": f"y{suffix}"}
            if trace.get("showlegend", True):
                trace["showlegend"] = trace["name"] not in shown
                shown.add(trace["name"])
        data += traces
    layout["xaxis"] = _x_axis(figure, f"y{len(heights) if len(heights) > 1 else ''}")
    if figure.top:
        layout["xaxis2"] = _top_axis(figure)
        # An axis without a trace is not drawn.
        data.append(_silent([figure.top[0][0]], [None]) | {"xaxis": "x2", "yaxis": "y"})
    return {"data": data, "layout": layout}


def _x_axis(figure: Figure, anchor: str) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": _title(figure.x_title), "anchor": anchor}
    if figure.logarithmic:
        axis |= {"type": "log"}
    if figure.ticks:
        axis |= {"tickvals": list(figure.ticks), "ticktext": [f"{tick:.3g}" for tick in figure.ticks]}
    return axis


def _top_axis(figure: Figure) -> dict[str, Any]:
    return {
        "overlaying": "x",
        "matches": "x",
        "side": "top",
        "anchor": "y",
        "showgrid": False,
        "title": _title(figure.top_title),
        "tickvals": [position for position, _ in figure.top],
        "ticktext": [label for _, label in figure.top],
    }


def _y_axis(figure: Figure, panel: Panel) -> dict[str, Any]:
    axis: dict[str, Any] = {"title": _title(panel.y_title), "exponentformat": "power"}
    if figure.logarithmic:
        axis |= {"type": "log"}
    if panel.y_range:
        low, high = (math.log10(end) for end in panel.y_range)
        axis |= {"range": [low, high]}
        if high - low > 2:
            axis |= {"dtick": math.ceil((high - low) / 8)}
    if panel.zero:
        axis |= {"zeroline": True}
    return axis


def _title(text: str) -> dict[str, Any]:
    return {"text": html.escape(text, quote=False), "standoff": 8, "font": {"size": 13}}


def _panel(panel: Panel, figure: Figure) -> list[dict[str, Any]]:
    bands = [trace for line in panel.lines for trace in _bands(line)]
    guides = [_guide(guide) for guide in panel.guides]
    return [*bands, *guides, *(_line(line, figure) for line in panel.lines)]


def _line(line: Line, figure: Figure) -> dict[str, Any]:
    name = html.escape(line.label, quote=False)
    few = len(line.x) <= _MANY
    hollow = line.hollow or (False,) * len(line.x)
    marker = MARKERS[line.style]
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if few and not (line.faint or line.reference) else "lines",
        "name": name,
        "legendgroup": name,
        "showlegend": not line.faint,
        "x": list(line.x),
        "y": _known(line.y),
        "line": {"dash": DASHES[line.style], "width": _width(line)},
        "marker": {"size": 8, "symbol": [marker + ("-open" if h else "") for h in hollow]},
        "text": list(line.notes),
        "hovertemplate": f"{name}<br>{html.escape(figure.x_title)} %{{x}}<br>%{{text}}<extra></extra>",
        "meta": {"style": line.style, "opacity": 0.35 if line.faint or line.reference else 1},
    }
    if line.high and few:
        trace["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": _known([high - y for high, y in zip(line.high, line.y, strict=True)]),
            "arrayminus": _known([y - low for low, y in zip(line.low, line.y, strict=True)]),
            "thickness": 1.5,
            "width": 4,
        }
    return trace


def _width(line: Line) -> float:
    return 1.0 if line.faint else 8.0 if line.reference else 2.0


def _bands(line: Line) -> list[dict[str, Any]]:
    bands = []
    if line.spread and len(line.x) > 1:
        low = [y - s for y, s in zip(line.y, line.spread, strict=True)]
        high = [y + s for y, s in zip(line.y, line.spread, strict=True)]
        bands.append(_band(line, low, high, 0.12))
    if line.high and len(line.x) > _MANY:
        bands.append(_band(line, line.low, line.high, 0.35))
    return bands


def _band(line: Line, low, high, opacity: float) -> dict[str, Any]:
    points = [
        (x, a, b) for x, a, b in zip(line.x, low, high, strict=True) if math.isfinite(a) and math.isfinite(b)
    ]
    x = [p[0] for p in points]
    return _silent(x + x[::-1], [p[2] for p in points] + [p[1] for p in points][::-1]) | {
        "fill": "toself",
        "legendgroup": html.escape(line.label, quote=False),
        "meta": {"style": line.style, "band": opacity},
    }


def _guide(guide: Guide) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+text",
        "name": guide.label,
        "x": list(guide.x),
        "y": list(guide.y),
        "text": ["", f"\N{NO-BREAK SPACE}\N{NO-BREAK SPACE}{guide.label}"],
        "textposition": "bottom right",
        "line": {"dash": "dot", "width": 1.2},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {"guide": True},
    }


def _silent(x: list, y: list) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "",
        "x": x,
        "y": y,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "showlegend": False,
        "meta": {},
    }


def _known(values) -> list[float | None]:
    """JSON has no NaN."""
    return [value if math.isfinite(value) else None for value in values]
