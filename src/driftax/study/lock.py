"""One process at a time in a directory of results."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from driftax._errors import DriftaxError

try:
    import fcntl
except ImportError:  # Windows: chunks are still written whole, and each says what it is of
    fcntl = None  # type: ignore[assignment]

_FILE = ".lock"


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds a directory, which is made if it is not there.

    The system drops the lock with the process that holds it, however that ends; the file stays.

    Raises:
        DriftaxError: if another process holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / _FILE).open("a+", encoding="utf-8") as file:
        if not _take(file):
            file.seek(0)
            raise DriftaxError(
                f"results in {directory}",
                f"another process is writing there: {file.read().strip() or 'it has just begun'}",
                "wait until it has ended, or --out DIR, another directory",
            )
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        with contextlib.suppress(OSError):  # a disk that is full has no room for courtesies
            os.ftruncate(file.fileno(), 0)
            os.write(
                file.fileno(), f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode()
            )
        yield


def _take(file: IO[str]) -> bool:
    """Whether the lock is ours; a file system without locks refuses nobody."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True
