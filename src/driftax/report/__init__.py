"""What a study found, as one offline page. Names are imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from driftax.report.content import Certified as Certified
    from driftax.report.content import Curve as Curve
    from driftax.report.content import Difference as Difference
    from driftax.report.content import Equation as Equation
    from driftax.report.content import Judged as Judged
    from driftax.report.content import ReportContent as ReportContent
    from driftax.report.study_page import write_report as write_report

_CONTENT = ("ReportContent", "Equation", "Curve", "Difference", "Judged", "Certified")
_HOME = {**dict.fromkeys(_CONTENT, "content"), "write_report": "study_page"}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'driftax.report' has no attribute {name!r}")
    return getattr(importlib.import_module(f"driftax.report.{_HOME[name]}"), name)
