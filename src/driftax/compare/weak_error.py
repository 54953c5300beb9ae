"""Weak errors of every model on one rung, from an ensemble that can be grown leaf by leaf."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from driftax._types import Key
from driftax.compare.order_test import RungError
from driftax.simulate.ensemble import LeafStatistics, Rung, Start, run_leaves
from driftax.statistics.streaming import Moments, as_one_value, controlled, merge

_ENOUGH = 4  # members that all leave their domain, and no more are tried


class Leaves(NamedTuple):
    """Consecutive leaves: `members` members from the leaf `first` on; the last leaf may count in part."""

    first: int
    members: int


class Means(NamedTuple):
    """Means over members at the recorded steps, with standard errors and standard deviations [record]."""

    mean: np.ndarray
    standard_error: np.ndarray
    standard_deviation: np.ndarray


class RungStudy:
    """A growing ensemble on one rung.

    Args:
        rung: what runs.
        key: of the study; the rung's own key is folded from its scale's position on the ladder.
        scale: the factor on the time step of rung 1.
        start: where members start.
        record: optimizer steps of this rung at which statistics are taken, counted from `start.number`.
    """

    def __init__(self, rung: Rung, key: Key, scale: float, start: Start, record: tuple[int, ...]):
        self.rung, self.key, self.scale, self.start, self.record = rung, key, scale, start, record
        self.columns = rung.columns(start.state.size)
        self.members = 0
        self._moments: Moments | None = None
        self._spread: Moments | None = None
        self._waiting: dict[int, tuple[Leaves, LeafStatistics]] = {}
        self.refinement: RungStudy | None = None  # a smaller study that measures the integrator's bias
        self.refinement_members = 0  # that it is to have
        self.failed = np.zeros((len(record), 1 + len(rung.equations)), dtype=int)

    @property
    def chunk(self) -> int:
        """Leaves that are run, sent and stored together."""
        return self.rung.chunk

    def in_a_row(self, leaves: int) -> int:
        """How many chunks are best run in a row where so many leaves are; of chunks that are dear one per device."""
        return len(jax.devices()) if self.chunk == 1 else -(-leaves // self.chunk)

    @property
    def moments(self) -> Moments:
        """Of all independent values so far: of members, or of leaves whose members depend on each other."""
        if self._moments is None:
            raise ValueError("an ensemble without members: call `grow` first")
        return self._moments

    def grow(self, members: int) -> None:
        """Runs leaves until there are `members` members; the last leaf may count in part."""
        for leaves in self.missing(members):
            self.add(leaves, self.run(leaves))

    def missing(self, members: int) -> list[Leaves]:
        """The leaves that bring the ensemble to `members` members, cut where their number is a multiple of `chunk`."""
        if members <= self.members:
            return []
        if self.members % self.rung.leaf:
            raise ValueError("an ensemble whose last leaf is not whole cannot grow")
        whole = self.chunk * self.rung.leaf
        cuts = [self.members, *range((self.members // whole + 1) * whole, members, whole), members]
        return [
            Leaves(begin // self.rung.leaf, end - begin) for begin, end in zip(cuts, cuts[1:], strict=False)
        ]

    def run(self, leaves: Leaves, room: int = 1) -> LeafStatistics:
        """The statistics of leaves, which do not depend on what else was run.

        Args:
            leaves: which.
            room: of how many chunks the number that is compiled is a multiple.
        """
        leaf = self.rung.leaf
        sizes = np.full(-(-leaves.members // leaf), leaf)
        sizes[-1] = leaves.members - leaf * (len(sizes) - 1)
        padded = np.pad(sizes, (0, -len(sizes) % (room * self.chunk)))
        segments = np.diff(np.asarray([int(self.start.handover), *self.record]))
        return run_leaves(self.rung, self.key, leaves.first, padded, self.start, segments).part(0, len(sizes))

    def add(self, leaves: Leaves, statistics: LeafStatistics) -> None:
        """Takes the statistics of leaves; those that come before their turn wait for it.

        Sums of floats depend on their order, and this one is the leaves' own.
        """
        self._waiting[leaves.first] = leaves, statistics
        while found := self._waiting.pop(self.members // self.rung.leaf, None):
            (_, members), (moments, failed) = found
            for leaf in range(len(failed)):
                own = Moments(moments.members[leaf], moments.mean[leaf], moments.comoment[leaf])
                self._spread = merge(self._spread, own)
                value = own if self.rung.driver.independent else as_one_value(own)
                self._moments = merge(self._moments, value)
            self.failed += failed.sum(axis=0)
            self.members += members

    def error(self, model: int, observable: int, record: int = -1) -> RungError:
        """The weak error of a model for an observable at one recorded step."""
        target = int(self.columns.difference[model, observable])
        members = None if self.rung.driver.independent else self._spread
        mean, error = controlled(self.moments, target, self.columns.controls, members)
        bias, noise = self.bias(model, observable, record)
        failed = int(self.failed[record, [0, 1 + model]].sum())
        randomisations = None if self.rung.driver.independent else int(self.moments.members[record])
        return RungError(
            self.scale,
            float(mean[record]),
            float(error[record]),
            bias,
            noise,
            self.members,
            failed,
            randomisations,
        )

    def bias(self, model: int, observable: int, record: int = -1) -> tuple[float | None, float]:
        """A bound on what the integration of a model adds to its weak error, and the noise in it."""
        study = self.refinement or self
        if not study.columns.refinement.size:
            return None, 0.0
        column = int(study.columns.refinement[model, observable])
        refined, noise = controlled(study.moments, column, np.arange(0))
        # The finer integration is bounded as if nothing were extrapolated; the coarser one differs by the change.
        share = study.rung.remainder(model) + (0 if study is self else 1)
        change, spread = float(abs(refined[record])), float(noise[record])
        if math.isnan(change):  # every member was lost
            return math.inf, 0.0
        return share * (change + spread), share * spread

    def means(self, model: int | None, observable: int) -> Means:
        """Means of the optimizer (model None) or of a model."""
        columns = self.columns.optimizer if model is None else self.columns.model[model]
        column = int(columns[observable])
        mean, error = controlled(self.moments, column, np.arange(0))
        assert self._spread is not None  # as there are moments
        deviation = np.sqrt(self._spread.covariance[..., column, column])
        deviation = np.where(self._spread.members > 0, deviation, np.nan)
        return Means(mean, error, deviation)

    def failures(self, model: int | None) -> int:
        """Members of a process that left the domain by the last recorded step."""
        return int(self.failed[-1, 0 if model is None else 1 + model])

    @property
    def lost(self) -> bool:
        """Whether every member of some process left its domain, so that more members would add nothing."""
        return self.members >= _ENOUGH and bool(np.any(self.failed[-1] == self.members))


def rung_key(seed: int, position: int) -> Key:
    """The key of the rung at a position of the ladder."""
    return jax.random.fold_in(jax.random.key(seed), jnp.asarray(position))
