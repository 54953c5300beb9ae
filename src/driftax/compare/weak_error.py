"""Weak errors of every model on one rung, from an ensemble that can be grown leaf by leaf."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from driftax._types import Key
from driftax.compare.order_test import RungError
from driftax.simulate.ensemble import Rung, Start, run_leaves
from driftax.statistics.streaming import Moments, controlled, merge


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
        self.refinement: RungStudy | None = None  # a smaller study that measures the integrator's bias
        self.failed = np.zeros((len(record), 1 + len(rung.equations)), dtype=int)

    @property
    def moments(self) -> Moments:
        """Of all members so far."""
        if self._moments is None:
            raise ValueError("an ensemble without members: call `grow` first")
        return self._moments

    def grow(self, members: int) -> None:
        """Runs leaves until there are `members` members; the last leaf may count in part."""
        if members <= self.members:
            return
        if self.members % self.rung.leaf:
            raise ValueError("an ensemble whose last leaf is not whole cannot grow")
        leaf, first = self.rung.leaf, self.members // self.rung.leaf
        missing = members - self.members
        sizes = np.full(-(-missing // leaf), leaf)
        sizes[-1] = missing - leaf * (len(sizes) - 1)
        segments = np.diff(np.asarray([int(self.start.handover), *self.record]))
        block = run_leaves(self.rung, self.key, first, sizes, self.start, segments)
        for leaf_moments in _leaves(block.moments):  # in leaf order: sums of floats depend on it
            self._moments = merge(self._moments, leaf_moments)
        self.failed += block.failed.sum(axis=0)
        self.members = members

    def error(self, model: int, observable: int, record: int = -1) -> RungError:
        """The weak error of a model for an observable at one recorded step."""
        target = int(self.columns.difference[model, observable])
        mean, error = controlled(self.moments, target, self.columns.controls)
        bias, noise = (self.refinement or self).bias(model, observable, record)
        failed = int(self.failed[record, [0, 1 + model]].sum())
        return RungError(
            self.scale, float(mean[record]), float(error[record]), bias, noise, self.members, failed
        )

    def bias(self, model: int, observable: int, record: int = -1) -> tuple[float | None, float]:
        """A bound on what the integration of a model adds to its weak error, and the noise in it."""
        if not self.columns.refinement.size:
            return None, 0.0
        column = int(self.columns.refinement[model, observable])
        refined, noise = controlled(self.moments, column, np.arange(0))
        # Both integrations are of weak order 2: their difference is three times the finer one's bias.
        return float(abs(refined[record]) + noise[record]) / 3, float(noise[record]) / 3

    def means(self, model: int | None, observable: int) -> Means:
        """Means of the optimizer (model None) or of a model."""
        columns = self.columns.optimizer if model is None else self.columns.model[model]
        column = int(columns[observable])
        mean, error = controlled(self.moments, column, np.arange(0))
        deviation = np.sqrt(self.moments.covariance[..., column, column])
        return Means(mean, error, deviation)

    def failures(self, model: int | None) -> int:
        """Members of a process that left the domain by the last recorded step."""
        return int(self.failed[-1, 0 if model is None else 1 + model])


def _leaves(block: Moments) -> Iterator[Moments]:
    for leaf in range(len(block.members)):
        yield Moments(block.members[leaf], block.mean[leaf], block.comoment[leaf])


def rung_key(seed: int, position: int) -> Key:
    """The key of the rung at a position of the ladder."""
    return jax.random.fold_in(jax.random.key(seed), jnp.asarray(position))
