"""`driftax data`: what there is, where it is, and taking it into the cache."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from driftax._errors import DriftaxError
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, show_json, show_tables

data = App(name="data", help="Data sets: where they are looked up. Nothing is downloaded.")


@data.command(name="list")
def list_(*, output: Output = OUTPUT) -> int:
    """The data sets, and where each was found."""
    from driftax.data import CATALOGUE

    rows = []
    for name, entry in CATALOGUE.items():
        title, place = _place(name)
        rows.append([name, entry.task.value, entry.shape, entry.size, entry.licence, title, place])
    columns = ["name", "task", "input", "examples", "licence", "found", "where"]
    if output.json:
        show_json([dict(zip(columns, row, strict=True)) for row in rows])
        return 0
    show_tables([Table("Data sets", columns, rows)], output)
    return 0


@data.command
def path(name: str, *, output: Output = OUTPUT) -> int:
    """The folder a data set was found in.

    Args:
        name: of the data set, as `driftax data list` has it.
    """
    from driftax.data.find import entry, find

    place = "scikit-learn" if not entry(name).forms else str(find(name).folder)
    if output.json:
        show_json({"name": name, "folder": place})
    else:
        print(place)
    return 0


@data.command(name="import")
def import_(name: str, folder: Path, *, output: Output = OUTPUT) -> int:
    """Checks the files of a data set and copies them into the cache.

    Args:
        name: of the data set, as `driftax data list` has it.
        folder: that holds its files.
    """
    from driftax.data import keep

    place = keep(name, folder)
    if output.json:
        show_json({"name": name, "folder": str(place)})
    else:
        print(place)
    return 0


def _place(name: str) -> tuple[str, str]:
    """What was found of a data set, and where."""
    from driftax.data.find import entry, find

    if not entry(name).forms:
        return "yes", "scikit-learn"
    try:
        found = find(name)
    except DriftaxError:
        return "not found", ""
    return found.form.title, str(found.folder)
