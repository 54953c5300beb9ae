"""The tables of stationary laws: every number recomputed in closed form, beside the one that is known."""

from __future__ import annotations

from decimal import Decimal
from functools import cache, partial
from typing import Any

from driftax.predict.tables import RecomputedTable, tables
from driftax.reproduce._value import Answer, Experiment, Results, Row

_KNOWN, _MEASURED = "known: ", "measured loss"
_TABLES = {
    # id: title, source, which table
    "table-sign": (
        "Stationary variance of SignSGD",
        "compagnoni2025, Lemma 3.7; the exact lattice law is re-derived",
    ),
    "table-student": (
        "Stationary variance of SignSGD under Student-t noise",
        "compagnoni2025, Corollary 3.4; the exact lattice law is re-derived",
    ),
    "table-adam-variants": (
        "Which equation of Adam(W) has the right stationary variance",
        "compagnoni2025, AdamW SDE; Lyapunov equations re-derived",
    ),
    "table-adaptive-loss": (
        "Stationary loss of RMSpropW and AdamW",
        "compagnoni2025, Lemma C.57; the refined law is re-derived",
    ),
    "table-batch-rule": (
        "Stationary loss after a change of the batch size",
        "compagnoni2025, Lemma 3.13",
    ),
}


@cache
def _recomputed() -> list[RecomputedTable]:
    return list(tables())


def _rows(place: int, found: Results) -> list[Row]:
    """A row per known number: equal to ours within the digits it is given with."""
    table = _recomputed()[place]
    header = table.header
    pairs = [i for i, name in enumerate(header[1:]) if name.startswith(_KNOWN)]
    said = []
    for cells in table.rows:
        label = ", ".join(f"{header[i]} {_word(cells[i])}" for i in range(pairs[0]))
        for i in pairs:
            if cells[i + 1] is not None:
                rounded = _rounded_percent(header, cells) if header[i].endswith("%") else 0.0
                said.append(_row(f"{label}: {header[i]}", cells[i + 1], cells[i], rounded))
    return said


def _rounded_percent(header: list[str], cells: list[Any]) -> float:
    """What the rounding of a measured loss does to percents of it."""
    if _MEASURED not in header:
        return 0.0
    measured = float(cells[header.index(_MEASURED)])
    return 50 * _last_digit(measured) / measured


def _row(statement: str, known: Any, ours: Any, slack: float) -> Row:
    close = abs(float(ours) - float(known)) <= 0.51 * _last_digit(float(known)) + slack
    return Row(statement, f"{known:.12g}", f"{ours:.6g}", Answer.AGREES if close else Answer.DISAGREES)


def _last_digit(value: float) -> float:
    """The size of the last digit a number is given with."""
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return 10.0 ** int(exponent)


def _word(cell: Any) -> str:
    return cell if isinstance(cell, str) else f"{cell:g}"


EXPERIMENTS = tuple(
    Experiment(id, title, source, (), partial(_rows, place), lambda found: [])
    for place, (id, (title, source)) in enumerate(_TABLES.items())
)
