"""The results of a command as a page: `report.html` beside `results.json`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from driftax._errors import DriftaxError


def need_report(asked: str) -> None:
    """Refuses what needs the extra `report` where it is not installed."""
    if importlib.util.find_spec("plotly") is None:
        raise DriftaxError(asked, "plotly is not installed", "pip install 'driftax[report]'")


def write_page(directory: Path, title: str, results: dict[str, Any], headline: str | None = None) -> Path:
    """Writes report.html from the results of `simulate`, `verify` or `demo`.

    Args:
        directory: of the page.
        title: of the page.
        results: the JSON of the command.
        headline: the verdict in one sentence; left out, verdicts are counted.
    """
    from driftax.report import write_report
    from driftax.report.of_results import content

    return write_report(directory, content(title, results, headline))
