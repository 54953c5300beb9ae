"""The ensembles of a study grow: chunks that are stored are read, the others computed and stored."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile
from typing import NamedTuple

from driftax.compare.weak_error import RungStudy
from driftax.study.chunks import Chunk, missing, whole_chunks
from driftax.study.executors import AbstractExecutor, Done, LocalExecutor
from driftax.study.store import AbstractStore, NoStore

Progress = Callable[[float, str], None]


class Workshop(NamedTuple):
    """Who computes chunks, and where they are kept."""

    executor: AbstractExecutor
    store: AbstractStore

    @classmethod
    def here(cls) -> "Workshop":
        """In this process, with nothing kept."""
        return cls(LocalExecutor(), NoStore())


def grow(
    workshop: Workshop,
    studies: Sequence[RungStudy],
    wanted: Sequence[int],
    progress: Progress,
    *,
    bias: bool,
    deadline: float = math.inf,
) -> float:
    """Brings the rungs of a study to their members.

    Args:
        workshop: who computes, and where chunks are kept.
        studies: of all rungs.
        wanted: members of each.
        progress: told the fraction done and what is being done.
        bias: whether the small ensembles that measure the integrator's bias are grown too.
        deadline: on the clock `time.monotonic`, after which nothing is begun but the first chunk of each rung;
            nor is anything else where a process has lost all its members on some rung.

    Returns:
        The work that was computed and not read, as `work` measures it.
    """
    chunks = missing(studies, wanted, bias, workshop.executor.together)
    total, done, computed = work(studies, wanted) or 1.0, 0.0, 0.0
    for (chunk, statistics), new in _finished(workshop, studies, chunks, deadline):
        ensemble = chunk.ensemble(studies[chunk.rung])
        ensemble.add(chunk.leaves, statistics)
        if not chunk.refinement:
            share = chunk.leaves.members / ensemble.scale
            done, computed = done + share, computed + (share if new else 0.0)
            progress(done / total, f"rung {ensemble.scale:g}: {ensemble.members:,} members")
    return computed


def part(progress: Progress, low: float, high: float) -> Progress:
    """The progress of a part of the whole."""
    return lambda fraction, message: progress(low + (high - low) * fraction, message)


def work(studies: Sequence[RungStudy], wanted: Sequence[int]) -> float:
    """Member-steps, in steps of rung 1, that are still missing."""
    return sum(max(0, w - s.members) / s.scale for w, s in zip(wanted, studies, strict=True))


def tell_of_stored(store: AbstractStore, chunks: Sequence[Chunk]) -> None:
    """Says how much of the work is done already, if any is."""
    there = sum(store.has(chunk) for chunk in chunks)
    if there:
        store.tell(f"resuming: {there} of {len(chunks)} chunks are there")


def stored_members(store: AbstractStore, study: RungStudy, rung: int) -> int:
    """The members of a rung whose chunks are stored, without a gap."""
    there = sum(1 for _ in takewhile(store.has, whole_chunks(study, rung)))
    return there * study.chunk * study.rung.leaf


def _finished(
    workshop: Workshop, studies: Sequence[RungStudy], chunks: Iterable[Chunk], deadline: float
) -> Iterator[tuple[Done, bool]]:
    """Chunks with their statistics, those of the store first; and whether each was computed now."""
    executor, store = workshop
    absent = []
    for chunk in chunks:
        statistics = store.read(chunk)
        if statistics is None:
            absent.append(chunk)
        else:
            yield Done(chunk, statistics), False
    with ThreadPoolExecutor(
        max_workers=1
    ) as writer:  # a disk is slow, and the next chunk need not wait for it
        writing: Future[None] | None = None
        for done in executor.run(studies, _due(studies, absent, deadline)):
            if writing is not None:
                writing.result()
            writing = writer.submit(store.write, *done)
            yield done, True
        if writing is not None:
            writing.result()


def _due(studies: Sequence[RungStudy], chunks: Sequence[Chunk], deadline: float) -> Iterator[Chunk]:
    """Those still to be begun: one at least, so that a command that is repeated always gets on.

    Where a process has lost all its members on some rung, nothing but the first chunk of the others.
    """
    for place, chunk in enumerate(chunks):
        in_time = place == 0 or time.monotonic() <= deadline
        if chunk.leaves.first == 0 or (in_time and not any(study.lost for study in studies)):
            yield chunk
