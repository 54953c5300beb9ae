"""The report of a study: errors, curves, certificate and equations on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driftax.report import numbers
from driftax.report.content import Equation, Judged, ReportContent, Rows
from driftax.report.figures import GLYPHS, figures, styles
from driftax.report.page import write_page

SYMBOLS = {"consistent": "✓", "refuted": "✗", "inconclusive": "?"}
_KEY_LINES = ("Equation", "Drift", "Covariance")


def write_report(directory: Path, content: ReportContent) -> Path:
    """Writes `report.html` and `figures/*.png` into a directory, and returns the path of the page.

    Args:
        directory: made if it is not there.
        content: what the page says.

    Raises:
        DriftaxError: if the extra `report` is not installed.
    """
    common, own = _shared_lines(content.equations)
    key_lines = [
        (equation, [latex for label, latex in equation.lines if label in _KEY_LINES])
        for equation in content.equations
    ]
    values = {
        "verdict": _overall(content.judged),
        "symbols": SYMBOLS,
        "style": styles(content.models),
        "glyphs": GLYPHS,
        "key_lines": key_lines,
        "common": common,
        "own": own,
        "table": _error_table(content.judged),
        "ensembles": list({curve.model: curve for curve in content.curves}.values()),
        "with_error": numbers.with_error,
    }
    return write_page(directory, "study.html", figures(content), {"content": content, **values})


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
