"""Where the results of a command go, and whether they are there already."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import driftax
from driftax._errors import DriftaxError
from driftax.cli.show import finite

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


def request(study: Path, **flags: Any) -> dict[str, Any]:
    """What decides the results of a command: the study file, the files it names, the flags and driftax itself."""
    return {
        "study": hashlib.sha256(study.read_bytes()).hexdigest(),
        "files": _digest_of_named(study),
        "driftax": _digest_of_sources(),
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
    if not isinstance(found, dict) or found.pop("request", None) != finite(wanted):
        return None
    undecided = grows and any(row.get("verdict") == "inconclusive" for row in found.get("results", []))
    return None if undecided else found


def write(directory: Path, results: dict[str, Any], wanted: dict[str, Any]) -> Path:
    """Writes the results at once or not at all: a reader never sees half a file."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / _FILE
    temporary = directory / f".{_FILE}.{os.getpid()}"
    text = json.dumps({**finite(results), "request": finite(wanted)}, allow_nan=False, indent=1)
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _digest_of_named(study: Path) -> str:
    """A digest of the files a study names: the code of its loss, its recorded gradients."""
    table = tomllib.loads(study.read_text(encoding="utf-8"))
    code = table.get("objective", {}).get("entry", "").rpartition(":")[0]
    digest = hashlib.sha256()
    for name in (code, table.get("noise", {}).get("file", "")):
        path = study.parent / name
        if name and path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _digest_of_sources() -> str:
    """A digest of driftax itself, so that results never outlive the code they came from."""
    root = Path(driftax.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
