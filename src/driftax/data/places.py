"""Where the files of a data set are looked for on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.data import built_in
from driftax.data._value import Edition, Entry
from driftax.data.checksums import verify

_PICKLE = "data_batch_1"
_PICKLES = (
    ".",
    "cifar-10-batches-py",
    "cifar10/cifar-10-batches-py",
    "cifar-10-batches-py-target/cifar-10-batches-py",
)


class Found(NamedTuple):
    """An edition of a data set and the folder its files stand in."""

    edition: Edition
    folder: Path


def cache() -> Path:
    """The folder `driftax data import` copies to."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "driftax"


def roots() -> list[Path]:
    """Folders of data sets, in the order they are looked through."""
    own = os.environ.get("DRIFTAX_DATA")
    torch = os.environ.get("TORCH_HOME")
    keras = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "datasets"
    named = [Path(own).expanduser()] if own else []
    torchvision = [Path("data"), Path.home() / "data", *([Path(torch)] if torch else [])]
    return [*named, cache(), *torchvision, keras]


def find(entry: Entry) -> Found | None:
    """The first place with all files of an edition, whose checksums are then verified.

    Raises:
        DriftaxError: if a checksum is wrong.
    """
    if entry.built_in:
        return Found(entry.editions[0], built_in.folder())
    for root in roots():
        found = find_below(entry, root)
        if found is not None:
            return found
    return None


def find_below(entry: Entry, root: Path) -> Found | None:
    """The files of a data set in the usual folders below one, verified.

    Raises:
        DriftaxError: if a checksum is wrong.
    """
    for edition in entry.editions:
        for folder in (root / part for part in entry.folders):
            if all((folder / file.name).is_file() for file in edition.files):
                verify(folder, edition.files)
                return Found(edition, folder)
    return None


def found(entry: Entry, asked: str) -> Found:
    """Where the data set is.

    Raises:
        DriftaxError: if it is nowhere, naming the places and the files, or if a checksum is wrong.
    """
    place = find(entry)
    if place is None:
        raise missing(entry, asked, roots())
    return place


def missing(entry: Entry, asked: str, looked: list[Path]) -> DriftaxError:
    """The error about a data set that is in none of the folders `looked` at."""
    where = ", ".join(str(root) for root in looked)
    choices = " or ".join(
        ", ".join(f"{file.name} ({file.algorithm} {file.checksum})" for file in edition.files)
        for edition in entry.editions
    )
    pickles = [root / part for root in looked for part in _PICKLES if (root / part / _PICKLE).is_file()]
    only = ""
    if entry.name == "cifar10" and pickles:
        only = f"; {pickles[0]} holds pickles, which can run code and are not read"
        only += ": take the binary version, cifar-10-batches-bin"
    below = ", ".join(part for part in entry.folders if part != ".")
    return DriftaxError(
        asked,
        f"not in {where} (nor below them in {below}){only}",
        f"driftax data import {entry.name} /path/to/folder, with the files {choices}",
    )
