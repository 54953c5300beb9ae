"""The report: one HTML file that needs no network, and its figures as PNG files."""

from __future__ import annotations

import base64
import importlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from driftax._errors import DriftaxError
from driftax.report import numbers
from driftax.report._matplotlib import figure_png
from driftax.report._plotly import figure_json
from driftax.report.content import Equation, Judged, ReportContent, Rows
from driftax.report.figures import GLYPHS, Figure, figures, styles
from driftax.report.mathml import mathml

SYMBOLS = {"consistent": "✓", "refuted": "✗", "inconclusive": "?"}
_KEY_LINES = ("Equation", "Drift", "Covariance")


def write_report(directory: Path, content: ReportContent) -> Path:
    """Writes `report.html` and `figures/*.png` into a directory, and returns the path of the page.

    Files appear whole or not at all; the page alone is enough to pass on.

    Args:
        directory: made if it is not there.
        content: what the page says.

    Raises:
        DriftaxError: if the extra `report` is not installed.
    """
    plotly_js = _plotly_js()
    sections = figures(content)
    pictures = {figure.name: figure_png(figure) for found in sections.values() for figure in found}
    page = _render(content, sections, pictures, plotly_js)
    for name, picture in pictures.items():
        _write(directory / "figures" / f"{name}.png", picture)
    return _write(directory / "report.html", page.encode())


def _plotly_js() -> str:
    """The text of plotly.js; every module of the extra `report` is asked for first."""
    for name in ("plotly", "latex2mathml"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise DriftaxError(
                "a report", f"no {name}: the extra `report` is not installed", 'pip install "driftax[report]"'
            ) from None
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _render(
    content: ReportContent,
    sections: dict[str, tuple[Figure, ...]],
    pictures: dict[str, bytes],
    plotly_js: str,
) -> str:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {
        "math": lambda latex: Markup(mathml(latex)),
        "order": numbers.order,
        "interval": numbers.interval,
        "short": numbers.short,
    }
    style = styles(content.models)
    common, own = _shared_lines(content.equations)
    shown = {
        figure.name: {
            "figure": figure,
            "picture": base64.b64encode(pictures[figure.name]).decode(),
            "json": _script_json(figure_json(figure)),
        }
        for found in sections.values()
        for figure in found
    }
    return environment.from_string(_text("template.html")).render(
        content=content,
        sections={name: [shown[figure.name] for figure in found] for name, found in sections.items()},
        verdict=_overall(content.judged),
        symbols=SYMBOLS,
        style=style,
        glyphs=GLYPHS,
        key_lines=[
            (equation, [latex for label, latex in equation.lines if label in _KEY_LINES])
            for equation in content.equations
        ],
        common=common,
        own=own,
        table=_error_table(content.judged),
        ensembles=list({curve.model: curve for curve in content.curves}.values()),
        pictures=bool(pictures),
        with_error=numbers.with_error,
        css=Markup(_text("style.css")),
        script=Markup(_text("page.js")),
        plotly_js=Markup(plotly_js),
    )


def _overall(judged: tuple[Judged, ...]) -> str | None:
    """One verdict for all: the worst, where refuted is worse than inconclusive."""
    found = {row.verdict for row in judged}
    return next((verdict for verdict in ("refuted", "inconclusive", "consistent") if verdict in found), None)


def _error_table(judged: tuple[Judged, ...]) -> dict[str, Any]:
    """A column per time step; in a cell the rung there and the local order that ends at it."""
    time_steps = sorted({rung.time_step for row in judged for rung in row.rungs}, reverse=True)
    rows = []
    for row in judged:
        found = {
            rung.time_step: (rung, local)
            for rung, local in zip(row.rungs, (None, *row.local_orders), strict=True)
        }
        rows.append((row, [found.get(step, (None, None)) for step in time_steps]))
    return {"time_steps": time_steps, "rows": rows}


def _shared_lines(equations: tuple[Equation, ...]) -> tuple[Rows, list[tuple[Equation, Rows]]]:
    """Lines that all equations have, and those of each alone; labels are written once."""
    common: Rows = ()
    if len(equations) > 1:
        common = tuple(
            line for line in equations[0].lines if all(line in other.lines for other in equations[1:])
        )
    own = [
        (equation, _label_once(tuple(line for line in equation.lines if line not in common)))
        for equation in equations
    ]
    return _label_once(common), own


def _label_once(lines: Rows) -> Rows:
    before = ["", *(label for label, _ in lines)]
    return tuple(
        ("" if label == last else label, latex) for last, (label, latex) in zip(before, lines, strict=False)
    )


def _script_json(value: dict[str, Any]) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _text(name: str) -> str:
    return resources.files("driftax.report").joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, data: bytes) -> Path:
    """Writes a file that is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as target:
            target.write(data)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path
