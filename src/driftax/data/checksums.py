"""Files are what they are taken for: their checksums are compared before they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from driftax._errors import DriftaxError
from driftax.data._value import File


def verify(folder: Path, files: Iterable[File]) -> None:
    """Compares the checksums of files.

    Raises:
        DriftaxError: if one differs; it names the file, what was found and what is wanted.
    """
    for file in files:
        path = folder / file.name
        checksum = hashlib.new(file.algorithm, path.read_bytes(), usedforsecurity=False).hexdigest()
        if checksum != file.checksum:
            raise DriftaxError(
                f"the data file {path}",
                f"{file.algorithm} {checksum}",
                f"the file {file.name} with {file.algorithm} {file.checksum}, or another folder",
            )
