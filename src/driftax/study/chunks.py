"""Chunks of a study: whole leaves of one of its ensembles, the unit that is computed, sent and stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

from driftax.compare.weak_error import Leaves, RungStudy


class Chunk(NamedTuple):
    """Whole leaves of one ensemble of a study.

    Args:
        rung: the position on the ladder.
        refinement: whether the ensemble is the small one that measures the integrator's bias.
        leaves: which.
    """

    rung: int
    refinement: bool
    leaves: Leaves

    @property
    def name(self) -> str:
        """Of its file; a chunk whose last leaf counts in part is another chunk."""
        part = "bias" if self.refinement else "main"
        return f"rung{self.rung}-{part}-leaf{self.leaves.first:06d}-members{self.leaves.members}"

    def ensemble(self, study: RungStudy) -> RungStudy:
        """The one it belongs to, of the study of its rung."""
        if not self.refinement:
            return study
        assert study.refinement is not None
        return study.refinement


def whole_chunks(study: RungStudy, rung: int) -> Iterator[Chunk]:
    """All chunks of an ensemble that count in full, without end."""
    leaf, first = study.rung.leaf, 0
    while True:
        yield Chunk(rung, False, Leaves(first, study.chunk * leaf))
        first += study.chunk


def missing(
    studies: Sequence[RungStudy], wanted: Sequence[int], bias: bool, together: int = 1
) -> list[Chunk]:
    """The chunks that bring the ensembles of a study to their members, in the order they are to be run.

    The ensembles that measure a bias come first, then the rungs in turn, so that a deadline cuts all alike.

    Args:
        studies: of all rungs.
        wanted: members of each.
        bias: whether their bias is measured.
        together: leaves of a rung in a turn.
    """
    first = [
        Chunk(rung, True, leaves)
        for rung, study in enumerate(studies)
        if bias and study.refinement is not None
        for leaves in study.refinement.missing(study.refinement_members)
    ]
    turns = []
    for rung, (study, members) in enumerate(zip(studies, wanted, strict=True)):
        own = [Chunk(rung, False, leaves) for leaves in study.missing(members)]
        length = study.in_a_row(together)
        turns.append([own[i : i + length] for i in range(0, len(own), length)])
    in_turn = chain.from_iterable(chain.from_iterable(zip_longest(*turns, fillvalue=[])))
    return [*first, *in_turn]
