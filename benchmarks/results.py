"""What was measured, kept in driftax-out/bench so that a long run can be made in parts."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from pathlib import Path
from typing import NamedTuple

from driftax.cli.environment import cores

from .interleave import Ratio
from .row import Row

_FOLDER = Path(__file__).parents[1] / "driftax-out" / "bench"


class Result(NamedTuple):
    """The rows of one benchmark, and how they were come by."""

    rows: list[Row]
    quick: bool
    seconds: float
    date: str
    machine: str
    complete: bool = True


def save(key: str, rows: list[Row], quick: bool, seconds: float, complete: bool) -> None:
    _FOLDER.mkdir(parents=True, exist_ok=True)
    record = {
        "quick": quick,
        "seconds": seconds,
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{_processor()}, {cores()} cores",
        "complete": complete,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    (_FOLDER / f"{key}.json").write_text(json.dumps(record, indent=1))


def load(key: str) -> Result | None:
    """None if the benchmark has not run."""
    file = _FOLDER / f"{key}.json"
    if not file.exists():
        return None
    record = json.loads(file.read_text())
    found = [Row(**{**row, "ratio": Ratio(*row["ratio"])}) for row in record.pop("rows")]
    return Result(found, **record)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
