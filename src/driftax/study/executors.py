"""Who computes the chunks of a study."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import jax

from driftax.compare.weak_error import Leaves, RungStudy
from driftax.simulate.ensemble import LeafStatistics
from driftax.study.chunks import Chunk
from driftax.study.identity import arithmetic

_LEAVES = 16  # computed at once at least: a call has a price of its own


class Done(NamedTuple):
    """A chunk and what came of it."""

    chunk: Chunk
    statistics: LeafStatistics


class AbstractExecutor(abc.ABC):
    """Computes chunks.

    Attributes:
        together: leaves of a rung that are best handed over in a row.
        arithmetic: what rounds where they are computed.
        words: who computes, for the provenance.
    """

    together: int
    arithmetic: str
    words: str

    @abc.abstractmethod
    def run(self, studies: Sequence[RungStudy], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Computes chunks, which are taken as they are needed; they come back in any order."""


class LocalExecutor(AbstractExecutor):
    """Computes in this process, on all its devices: several accelerators share the leaves of a chunk."""

    words = "this process"

    def __init__(self) -> None:
        self.arithmetic = arithmetic()
        self.together = max(_LEAVES, len(jax.devices()))

    def run(self, studies: Sequence[RungStudy], chunks: Iterable[Chunk]) -> Iterator[Done]:
        """Computes chunks in the order given, but for those that measure a bias, which run beside the others.

        They are programs of their own, and compiling is most of the work in a small study.
        """
        beside = ThreadPoolExecutor(max_workers=1)
        small: list[tuple[Chunk, Future]] = []
        try:
            for row in _rows(studies, chunks, self.together):
                first = row[0]
                ensemble = first.ensemble(studies[first.rung])
                if first.refinement:
                    small += [(chunk, beside.submit(ensemble.run, chunk.leaves)) for chunk in row]
                    continue
                yield from self._together(ensemble, row)
            for chunk, future in small:
                yield Done(chunk, future.result())
        finally:
            beside.shutdown(wait=False, cancel_futures=True)

    def _together(self, ensemble: RungStudy, row: list[Chunk]) -> Iterator[Done]:
        members = sum(chunk.leaves.members for chunk in row)
        block = ensemble.run(Leaves(row[0].leaves.first, members), room=ensemble.in_a_row(self.together))
        for place, chunk in enumerate(row):
            yield Done(chunk, block.part(place * ensemble.chunk, (place + 1) * ensemble.chunk))


def _rows(studies: Sequence[RungStudy], chunks: Iterable[Chunk], leaves: int) -> Iterator[list[Chunk]]:
    """Chunks that follow each other in one ensemble."""
    row: list[Chunk] = []
    for chunk in chunks:
        study = studies[chunk.rung]
        follows = (
            row and row[-1][:2] == chunk[:2] and row[-1].leaves.first + study.chunk == chunk.leaves.first
        )
        if row and not follows:
            yield row
            row = []
        row.append(chunk)
        if len(row) == study.in_a_row(leaves):  # before the next is taken: it may not be due after this row
            yield row
            row = []
    if row:
        yield row
