"""One row of a table: what was run, how much faster driftax was than a peer, and what else was measured."""

from __future__ import annotations

import dataclasses

from .interleave import Measured, Ratio, ratio


@dataclasses.dataclass
class Row:
    """A candidate beside driftax on one workload.

    Args:
        workload: what was computed.
        candidate: who computed it.
        ratio: its time (or whatever the table compares) over driftax's.
        first_run: seconds of its first run, compilation included.
        note: anything else, for the last column.
    """

    workload: str
    candidate: str
    ratio: Ratio
    first_run: float | None = None
    note: str = ""


def rows(workload: str, measured: list[Measured]) -> list[Row]:
    """Rows of a workload; the first candidate is driftax."""
    own = measured[0]
    return [Row(workload, each.name, ratio(each, own), each.first_run) for each in measured]
