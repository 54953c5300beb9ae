"""`driftax data`: the data sets driftax knows, and where they are on this machine."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, say, show_json, show_tables

if TYPE_CHECKING:
    from driftax.data._value import Entry

_COLUMNS = ["name", "examples", "input shape", "task", "licence", "found where"]
_KEYS = ["name", "title", "examples", "test_examples", "shape", "task", "licence", "folder", "error"]
Word = Annotated[str, Parameter(help="`list`, `path NAME`, or `import NAME FOLDER`.")]


def data(*words: Word, output: Output = OUTPUT) -> int:
    """The data sets, where they are (`data path NAME`), and how they get there (`data import NAME FOLDER`).

    Nothing is downloaded. Files are looked for in $DRIFTAX_DATA, the cache (~/.cache/driftax), ./data, ~/data,
    $TORCH_HOME and ~/.keras/datasets, and their checksums are verified.
    """
    if words in ((), ("list",)):
        _list(output)
    elif words[0] == "path" and len(words) == 2:
        _path(words[1], output)
    elif words[0] == "import" and len(words) == 3:
        _import(words[1], words[2], output)
    else:
        raise DriftaxError(
            shlex.join(["driftax", "data", *words]),
            "neither `list` nor `path NAME` nor `import NAME FOLDER`",
            "driftax data import mnist /path/to/folder",
        )
    return 0


def _list(output: Output) -> None:
    from driftax.data import SETS

    rows = [_row(entry) for entry in SETS.values()]
    if output.json:
        show_json({"data": rows})
        return
    table = [
        [
            row["name"],
            f"{row['examples']:,} + {row['test_examples']:,} test",
            " x ".join(map(str, row["shape"])),
            row["task"],
            row["licence"],
            _where(row),
        ]
        for row in rows
    ]
    note = "A missing set: driftax data import NAME FOLDER, where FOLDER holds its files."
    show_tables([Table("Data sets", _COLUMNS, table, [note])], output)


def _row(entry: Entry) -> dict[str, Any]:
    from driftax.data.places import find

    place, wrong = None, None
    try:
        place = find(entry)
    except DriftaxError as error:
        wrong = f"{error.asked}: {error.found}"
    edition = entry.editions[0] if place is None else place.edition
    folder = None if place is None else str(place.folder)
    values = (edition.title, edition.examples, edition.test, entry.shape, entry.task, entry.licence)
    return dict(zip(_KEYS, (entry.name, *values, folder, wrong), strict=True))


def _where(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"wrong checksum: {row['error']}"
    if row["folder"] is None:
        return "not found"
    return "scikit-learn" if "scikit-learn" in row["title"] else row["folder"]


def _path(name: str, output: Output) -> None:
    from driftax.data.names import entry
    from driftax.data.places import found

    asked = f"driftax data path {name}"
    place = found(entry(name, asked), asked)
    if output.json:
        files = [file.name for file in place.edition.files]
        show_json({"name": name, "title": place.edition.title, "folder": str(place.folder), "files": files})
    else:
        print(place.folder)


def _import(name: str, folder: str, output: Output) -> None:
    from driftax.data.copy import import_data

    target = import_data(name, Path(folder))
    if output.json:
        show_json({"name": name, "folder": str(target)})
    else:
        say(f"copied to {target}", output)
