"""results.json: the answer to one request, in the directory of its command."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from driftax._errors import DriftaxError
from driftax.study.files import write_whole
from driftax.study.identity import digest, named_files, sources

_FILE = "results.json"


def directory_for(verb: str, name: str, out: Path | None) -> Path:
    """The directory of a command's results; nothing is created yet.

    Raises:
        DriftaxError: if it cannot be a directory.
    """
    directory = Path("driftax-out") / f"{verb}-{name}" if out is None else out
    existing = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        found = "not a directory" if not existing.is_dir() else "not writable"
        raise DriftaxError(
            f"results in {directory}", f"{existing} is {found}", "--out DIR, a directory to write in"
        )
    return directory


def request(text: str, folder: Path, **flags: Any) -> dict[str, Any]:
    """What decides the results of a command.

    Args:
        text: of the study file.
        folder: where the files it names are.
        flags: of the command.
    """
    return {
        "study": digest(text.encode()),
        "files": digest(*(path.read_bytes() for path in named_files(text, folder))),
        "driftax": sources(),
        **flags,
    }


def stored(directory: Path, wanted: dict[str, Any], grows: bool) -> dict[str, Any] | None:
    """The results of this very request, where the directory has them and more time would add nothing.

    Args:
        directory: of the results.
        wanted: the request.
        grows: whether the number of members is open, so that an undecided row may be decided next time.
    """
    try:
        found = json.loads((directory / _FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.pop("request", None) != plain(wanted):
        return None
    undecided = grows and any(row.get("verdict") == "inconclusive" for row in found.get("results", []))
    cut_short = found.get("provenance", {}).get("complete") is False
    return None if undecided or cut_short else found


def write(directory: Path, results: dict[str, Any], wanted: dict[str, Any]) -> Path:
    """Writes the results with the request they answer."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _FILE
    text = json.dumps({**plain(results), "request": plain(wanted)}, allow_nan=False, indent=1)
    write_whole(path, (text + "\n").encode())
    return path


def plain(value: Any) -> Any:
    """A copy that JSON can write: null for a number that is not finite, lists for tuples and arrays."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # numpy and JAX arrays and scalars
        return plain(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
