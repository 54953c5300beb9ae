"""Where data sets are looked up, and how one is taken into the cache."""

from __future__ import annotations

import difflib
import gzip
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.data.catalogue import CATALOGUE, Entry, File, Form


class Found(NamedTuple):
    """A data set on this machine."""

    folder: Path
    form: Form

    def content(self, file: File) -> bytes:
        """A file, uncompressed and checked.

        Raises:
            DriftaxError: if it cannot be read, or is not what it is called.
        """
        return checked(_stored(self.folder, file), file)


def entry(name: str) -> Entry:
    """What is known of a data set.

    Raises:
        DriftaxError: for an unknown name.
    """
    if name not in CATALOGUE:
        near = difflib.get_close_matches(name, CATALOGUE, 1, 0.5)
        raise DriftaxError(f"the data set {name!r}", "no such data set", ", ".join(near or CATALOGUE))
    return CATALOGUE[name]


def cache() -> Path:
    """The folder that `driftax data import` fills."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "driftax"


def find(name: str) -> Found:
    """The first place where all files of a data set are.

    Raises:
        DriftaxError: if there is none; it says where was looked for what, and how to make it known.
    """
    known = entry(name)
    for folder in _folders(known):
        found = _in_folder(known, folder)
        if found is not None:
            return found
    wanted = "; or ".join(
        ", ".join(f"{file.name} (md5 {file.md5})" if file.md5 else file.name for file in form.files)
        for form in known.forms
    )
    looked = ", ".join(str(root) for root in _roots())
    pickled = _pickled(known)
    raise DriftaxError(
        f"the data set {name}",
        f"no folder with its files under {looked}{pickled}; nothing is downloaded unasked",
        f"`driftax data import {name} /path/to/folder` with {wanted}; or $DRIFTAX_DATA",
    )


def keep(name: str, folder: Path) -> Path:
    """Copies a data set into the cache, once its files are checked.

    Returns:
        The folder of the cache.

    Raises:
        DriftaxError: if the folder lacks files, or one of them is not what it is called.
    """
    known = entry(name)
    if not known.forms:
        raise DriftaxError(
            f"`driftax data import {name}`", "a data set that comes with scikit-learn", "nothing: it is there"
        )
    found = _in_folder(known, folder)
    if found is None:
        wanted = "; or ".join(", ".join(file.name for file in form.files) for form in known.forms)
        raise DriftaxError(
            f"`driftax data import {name} {folder}`",
            f"a folder without {wanted}",
            "the folder with its files",
        )
    place = cache() / name
    place.mkdir(parents=True, exist_ok=True)
    for file in found.form.files:
        source = _stored(found.folder, file)
        checked(source, file)
        handle, unfinished = tempfile.mkstemp(dir=place, prefix=f".{source.name}.")
        os.close(handle)
        try:
            shutil.copyfile(source, unfinished)
            os.replace(unfinished, place / source.name)
        except BaseException:
            os.unlink(unfinished)
            raise
    return place


def checked(path: Path, file: File) -> bytes:
    """The content of a file, uncompressed.

    Raises:
        DriftaxError: if its checksum, or where none is known its size, is another.
    """
    asked = f"the data file {path}"
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise DriftaxError(asked, f"a file that cannot be read: {error}", "a complete copy of it") from None
    if file.md5 is None:
        found, wanted = f"{len(content):,} bytes", f"{file.size:,} bytes"
    else:
        found, wanted = f"md5 {hashlib.md5(content).hexdigest()}", f"md5 {file.md5}"
    if found != wanted:
        raise DriftaxError(asked, found, f"the file whose content has {wanted}")
    return content


def _roots() -> list[Path]:
    """The user's own folder, the cache, and where torchvision's examples and Keras keep theirs."""
    home, given = Path.home(), os.environ.get("DRIFTAX_DATA")
    roots = [cache(), Path("data"), home / "data", home / ".keras" / "datasets"]
    return [Path(given), *roots] if given else roots


def _folders(known: Entry) -> Iterator[Path]:
    for root in _roots():
        for name in known.folders:
            yield root / name
        yield root


def _in_folder(known: Entry, folder: Path) -> Found | None:
    for form in known.forms:
        if all(_stored(folder, file).is_file() for file in form.files):
            return Found(folder, form)
    return None


def _stored(folder: Path, file: File) -> Path:
    """The file as it is stored: as it is, or compressed."""
    plain = folder / file.name
    packed = plain.with_name(f"{file.name}.gz")
    return packed if not plain.is_file() and packed.is_file() else plain


def _pickled(known: Entry) -> str:
    """A word on batches that only pickle can read."""
    for folder in _folders(known):
        if (folder / "cifar-10-batches-py").is_dir() and "cifar10" in known.folders:
            return f"; {folder / 'cifar-10-batches-py'} holds pickles, which could run code: the binary version does"
    return ""
