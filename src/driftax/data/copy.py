"""Copies the files of a data set into the cache."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from driftax._errors import DriftaxError
from driftax.data.checksums import verify
from driftax.data.names import entry
from driftax.data.places import cache, find_below, missing


def import_data(name: str, folder: str | Path) -> Path:
    """Copies a data set into the cache, if its checksums are right; each file is there whole or not at all.

    Args:
        name: of `driftax data list`.
        folder: that holds its files.

    Returns:
        The folder of the cache.

    Raises:
        DriftaxError: if there is no such data set, it needs no file, a file is missing or has a wrong checksum.
    """
    source = Path(folder).expanduser()
    asked = f"driftax data import {name} {folder}"
    known = entry(name, asked)
    if known.built_in:
        raise DriftaxError(asked, f'"{name}", which comes with scikit-learn', "nothing: it is there")
    found = find_below(known._replace(folders=(".", *known.folders)), source)
    if found is None:
        raise missing(known, asked, [source])
    target = cache() / known.folders[0]
    target.mkdir(parents=True, exist_ok=True)
    for file in found.edition.files:
        _copy(found.folder / file.name, target / file.name)
    verify(target, found.edition.files)
    return target


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
