"""The outcome of the battery as a value that prints as a table."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """One check: what was looked at, what was found, and the number it was judged by, if there is one."""

    check: str
    outcome: str
    number: float | None = None


class Report(NamedTuple):
    """Every check an optimizer passed, in the order in which they were made."""

    optimizer: str
    rows: tuple[Row, ...]

    def row(self, check: str) -> Row:
        """The row of the check of that name."""
        return next(row for row in self.rows if row.check == check)

    def __str__(self) -> str:
        numbers = ["" if row.number is None else f"{row.number:.3g}" for row in self.rows]
        wide = max(len(row.check) for row in self.rows)
        right = max(len(number) for number in numbers)
        lines = [
            f"{row.check:<{wide}}  {number:>{right}}  {row.outcome}".rstrip()
            for row, number in zip(self.rows, numbers, strict=True)
        ]
        return "\n".join([f"{self.optimizer}: {len(self.rows)} checks", *lines])
