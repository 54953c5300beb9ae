"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from driftax._errors import DriftaxError

_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG}
_TEMPORARY = re.compile(r"\.(.+)\.\d+\.part")


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file at once or not at all: a reader never sees half of it, nor does a machine that lost power.

    Raises:
        DriftaxError: if it cannot be written; nothing of it is left, and the file it was to replace stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_directory(path.parent)
    except OSError as error:
        instead = "free some space" if error.errno in _FULL else "a disk that can be written to"
        raise DriftaxError(
            f"{path}, {len(content):,} bytes",
            f"{(error.strerror or str(error)).lower()}; what was finished before is kept",
            f"{instead}, and the same command again, which goes on from there; or --out DIR on another disk",
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(directory: Path) -> None:
    """Removes what killed processes have left half written."""
    for path in directory.glob(".*.part"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    """Makes a new name last; what cannot be opened as a file (Windows) keeps its names by itself."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
