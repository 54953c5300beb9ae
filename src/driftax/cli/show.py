"""How answers are printed: tables, JSON and progress."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from driftax.cli.options import Output

_WIDTH = 160  # of a table that goes to a file or a pipe

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Table:
    """A titled table of words."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str] = field(default_factory=list)


def show_tables(tables: list[Table], output: Output) -> None:
    """Prints tables on standard output, in rich's form or as markdown."""
    for table in tables:
        if output.md:
            print(_markdown(table))
        else:
            _print_rich(table)


def show_json(value: Any) -> None:
    """Prints one JSON object; what is not a finite number is null."""
    from driftax.study.results import plain

    print(json.dumps(plain(value), allow_nan=False))


def say(message: str, output: Output) -> None:
    """A line beside the answer: on standard error where standard output is for JSON."""
    if not output.quiet:
        print(message, file=sys.stderr if output.json else sys.stdout)


def note(message: str, output: Output) -> None:
    """A line on how a run goes: on standard error, beside the progress bar."""
    if not output.quiet:
        print(message, file=sys.stderr)


@contextmanager
def progress(output: Output) -> Iterator[Progress | None]:
    """A bar with the time left on standard error, where that is a terminal; else None."""
    if output.quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda fraction, message: bar.update(task, completed=fraction, description=message)


def _markdown(table: Table) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    head = [f"### {table.title}", "", line(table.columns), line(["---"] * len(table.columns))]
    notes = ["", *table.notes] if table.notes else []
    return "\n".join([*head, *map(line, table.rows), *notes, ""])


def _print_rich(table: Table) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    drawn = RichTable(box=box.SIMPLE_HEAD)
    for position, column in enumerate(table.columns):
        drawn.add_column(column, justify="left" if position == 0 else "right")
    for row in table.rows:
        drawn.add_row(*(cell.replace("[", r"\[") for cell in row))
    with console.capture() as capture:  # rich would leave with exit code 1 where the reader has gone
        console.print(table.title, style="bold", markup=False, soft_wrap=True)
        console.print(drawn)
        for note in table.notes:
            console.print(note, markup=False, soft_wrap=True)
    print(capture.get(), end="")
