"""The chunks of a study on disk: what is finished stays, whatever happens to the process that made it.

A directory per identity (`chunks/NAME/`, so that a changed study touches nothing of the old one) holds

* `identity.json`: what decides the bits of these chunks, written first;
* `CHUNK.zarr.zip`: a zarr store with the statistics of the chunk's leaves, its name, its identity and a
  checksum; `xarray.open_zarr` reads it, and nothing in it is ever unpickled;
* `looks.json`: the members at which a verdict was looked at.

Every file is written whole or not at all.
"""

from __future__ import annotations

import abc
import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from driftax._errors import DriftaxError
from driftax.simulate.ensemble import LeafStatistics
from driftax.statistics.streaming import Moments
from driftax.study.chunks import Chunk
from driftax.study.files import remove_parts, write_whole
from driftax.study.identity import Identity, difference, name_of

_DIMENSIONS = {
    "members": ("leaf", "record"),
    "mean": ("leaf", "record", "column"),
    "comoment": ("leaf", "record", "column", "other_column"),
    "failed": ("leaf", "record", "process"),
}
_ENDING = ".zarr.zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in an archive: equal chunks are equal files

Looks = list[list[int]]


class AbstractStore(abc.ABC):
    """Where finished chunks are kept.

    Attributes:
        looks: the members of each rung at which a verdict was looked at.
        tell: is given one line for the user where something is worth saying.
    """

    looks: Looks
    tell: Callable[[str], None]

    @abc.abstractmethod
    def has(self, chunk: Chunk) -> bool:
        """Whether a chunk seems to be there."""

    @abc.abstractmethod
    def read(self, chunk: Chunk) -> LeafStatistics | None:
        """The statistics of a chunk; None if it is not there whole."""

    @abc.abstractmethod
    def write(self, chunk: Chunk, statistics: LeafStatistics) -> None:
        """Keeps a finished chunk."""

    @abc.abstractmethod
    def look(self, members: list[int]) -> None:
        """Remembers that a verdict is looked at with so many members on each rung."""


class NoStore(AbstractStore):
    """Keeps nothing."""

    def __init__(self) -> None:
        self.looks: Looks = []
        self.tell = lambda message: None

    def has(self, chunk: Chunk) -> bool:
        return False

    def read(self, chunk: Chunk) -> LeafStatistics | None:
        return None

    def write(self, chunk: Chunk, statistics: LeafStatistics) -> None:
        pass

    def look(self, members: list[int]) -> None:
        if members not in self.looks:
            self.looks.append(members)


class ChunkStore(AbstractStore):
    """The chunks of one identity in a directory of results.

    Args:
        results: the directory of results.
        identity: what decides the bits of the chunks.
        tell: is given one line for the user where something is worth saying.
        fresh: removes the chunks of this identity first.
    """

    def __init__(
        self, results: Path, identity: Identity, tell: Callable[[str], None], fresh: bool = False
    ) -> None:
        self.tell, self._identity = tell, identity
        self.directory = results / "chunks" / name_of(identity)
        if fresh:
            self._remove()
        elif not self.directory.exists():
            self._tell_of_others()
        self.directory.mkdir(parents=True, exist_ok=True)
        remove_parts(self.directory)
        write_whole(self.directory / "identity.json", _json(identity))
        self.looks = self._read_looks()

    def __len__(self) -> int:
        return len(list(self.directory.glob("*" + _ENDING)))

    def has(self, chunk: Chunk) -> bool:
        return self._path(chunk).exists()

    def read(self, chunk: Chunk) -> LeafStatistics | None:
        """The statistics of a chunk; None if it is not there, or not whole: it is then set aside and told."""
        path = self._path(chunk)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            arrays, attributes = _unpack(content)
            problem = self._problem(chunk, arrays, attributes)
        except Exception as error:  # a damaged archive fails in as many ways as there are bytes in it
            problem = f"damaged ({type(error).__name__}: {error})"
        if problem is None:
            return LeafStatistics(
                Moments(*(arrays[key] for key in ("members", "mean", "comoment"))), arrays["failed"]
            )
        aside = path.with_name(path.name + ".corrupt")
        os.replace(path, aside)
        self.tell(f"a stored chunk is {problem}: kept as {aside}, and computed again")
        return None

    def write(self, chunk: Chunk, statistics: LeafStatistics) -> None:
        """Keeps a finished chunk.

        Raises:
            DriftaxError: if the disk is full, say; what was kept before stays.
        """
        moments, failed = statistics
        arrays = {
            "members": moments.members,
            "mean": moments.mean,
            "comoment": moments.comoment,
            "failed": failed,
        }
        attributes = {
            "chunk": chunk.name,
            "identity": json.dumps(self._identity, sort_keys=True),
            "checksum": _checksum(arrays),
        }
        write_whole(self._path(chunk), _pack(arrays, attributes))

    def look(self, members: list[int]) -> None:
        """Remembers, before its verdict is known, that one is looked at with so many members on each rung."""
        if members not in self.looks:
            self.looks.append(members)
            write_whole(self.directory / "looks.json", _json(self.looks))

    def _path(self, chunk: Chunk) -> Path:
        return self.directory / (chunk.name + _ENDING)

    def _problem(self, chunk: Chunk, arrays: dict[str, np.ndarray], attributes: dict[str, Any]) -> str | None:
        """What is wrong with a chunk that could be read."""
        if attributes.get("checksum") != _checksum(arrays):
            return "damaged (its checksum differs)"
        if attributes.get("chunk") != chunk.name:
            return f"another one ({attributes.get('chunk')})"
        if attributes.get("identity") != json.dumps(self._identity, sort_keys=True):
            return "of another request"
        return None

    def _read_looks(self) -> Looks:
        path = self.directory / "looks.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        except ValueError:
            raise DriftaxError(
                f"the looks of earlier runs in {path}",
                "a file that is not JSON; without it the false alarm of a verdict is not known",
                "--fresh, which starts over",
            ) from None

    def _tell_of_others(self) -> None:
        """Says that the chunks of the last request do not serve this one, and why."""
        others = [
            path for path in self.directory.parent.glob("*/identity.json") if any(path.parent.glob("*.zip"))
        ]
        if not others:
            return
        last = max(others, key=lambda path: path.stat().st_mtime)
        try:
            why = difference(json.loads(last.read_text(encoding="utf-8")), self._identity)
        except ValueError:
            why = "its identity cannot be read"
        count = len(list(last.parent.glob("*" + _ENDING)))
        self.tell(
            f"{why}: {count} finished chunks of the earlier request stay in {last.parent}; starting afresh"
        )

    def _remove(self) -> None:
        for path in self.directory.glob("*"):
            path.unlink()


def _pack(arrays: dict[str, np.ndarray], attributes: dict[str, str]) -> bytes:
    """A zarr store in one archive, the same bytes for the same content."""
    import xarray
    from zarr.storage import MemoryStore

    dataset = xarray.Dataset(
        {key: (_DIMENSIONS[key], array) for key, array in arrays.items()}, attrs=attributes
    )
    files: dict[str, Any] = {}
    plainly = {key: {"compressors": None} for key in arrays}  # digits of random numbers do not compress
    dataset.to_zarr(MemoryStore(files), zarr_format=3, consolidated=False, encoding=plainly)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), files[name].to_bytes())
    return packed.getvalue()


def _unpack(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    import xarray
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    buffer = default_buffer_prototype().buffer
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: buffer.from_bytes(archive.read(name)) for name in archive.namelist()}
    with xarray.open_zarr(MemoryStore(files), consolidated=False, chunks=None) as dataset:
        return {key: dataset[key].to_numpy() for key in _DIMENSIONS}, dict(dataset.attrs)


def _checksum(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for key in _DIMENSIONS:
        digest.update(f"{key} {arrays[key].dtype.str} {arrays[key].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[key]).tobytes())
    return digest.hexdigest()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
