"""The mean of a batch picked from finitely many vectors: its exact moments to order 4, and how it is drawn."""

from __future__ import annotations

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise._base import FROZEN, AbstractDraws, AbstractSampledNoise, batch_weights, whole_batch
from driftax.noise.moments import TINY, PairMoments, Shape, moment_gram, moment_rule, shape_of_moments
from driftax.noise.rule import CoordinateRule, JointRule
from driftax.objective import AbstractObjective

_LONGEST = 128  # picks of a frozen batch; longer ones have its shape and their own covariance


class Picks(eqx.Module):
    """The law of the mean of `batch_size` vectors picked from `centred`, minus their mean 0.

    Source: re-derived from inclusion probabilities.

    Args:
        centred: vectors of mean 0.
        batch_size: how many are picked; formally any number.
        replacement: whether one may be picked twice; without it the finite-population factor (n - B)/(n - 1)
            and its analogues of orders 3 and 4 apply.
    """

    centred: Float[Array, "size dim"]
    batch_size: Scalar
    replacement: bool = eqx.field(static=True)

    @property
    def _factors(self) -> _Factors:
        """Factors that turn power sums over all vectors into moments of the mean of the batch."""
        batch, size = self.batch_size, len(self.centred)
        if self.replacement:
            one, two = batch / size, batch * (batch - 1) / size**2
            return _Factors(one / batch**2, one / batch**3, one / batch**4, two / batch**4)
        # Inclusion probabilities of 1 to 4 given examples; P_k is a sum of k-th powers and P_1 = 0.
        pi1 = batch / size
        # For up to 3 examples the later ones are 0 through their numerators.
        pi2 = pi1 * (batch - 1) / max(size - 1, 1)
        pi3 = pi2 * (batch - 2) / max(size - 2, 1)
        pi4 = pi3 * (batch - 3) / max(size - 3, 1)
        return _Factors(
            (pi1 - pi2) / batch**2,
            (pi1 - 3 * pi2 + 2 * pi3) / batch**3,
            (pi1 - 7 * pi2 + 12 * pi3 - 6 * pi4) / batch**4,
            (pi2 - 2 * pi3 + pi4) / batch**4,
        )

    @property
    def covariance(self) -> Float[Array, "dim dim"]:
        return self._factors.second * (self.centred.T @ self.centred)

    def _standard(self) -> tuple[Float[Array, " dim"], Float[Array, "size dim"]]:
        second = self._factors.second * jnp.sum(self.centred**2, axis=0)
        return second, self.centred / jnp.sqrt(second + TINY)[None, :]

    @property
    def shape(self) -> Shape:
        """The law of every coordinate to order 4."""
        second, standard = self._standard()
        factor, square = self._factors, jnp.sum(standard**2, axis=0)
        skewness = factor.third * jnp.sum(standard**3, axis=0)
        kurtosis = factor.fourth * jnp.sum(standard**4, axis=0) + 3 * factor.pair * square**2
        return shape_of_moments(second, skewness, kurtosis)

    @property
    def pairs(self) -> PairMoments:
        """Cross moments of the standardised coordinates."""
        _, standard = self._standard()
        factor, pair, square = self._factors, standard.T @ standard, jnp.sum(standard**2, axis=0)
        m22 = factor.fourth * (standard**2).T @ standard**2
        m22 = m22 + factor.pair * (square[:, None] * square[None, :] + 2 * pair**2)
        return PairMoments(factor.second * pair, factor.third * (standard.T @ standard**2), m22)

    def joint(self) -> JointRule:
        """Frozen batches, the same ones at all params; of the exact covariance where they are cut short."""
        size = len(self.centred)
        longest = _LONGEST if self.replacement else min(size, _LONGEST)
        index = PickDraws(size, longest, self.replacement).draw(jax.random.key(0), (), FROZEN, None)
        weights = batch_weights(self.batch_size, longest)

        def add(total, pick):
            weight, which = pick
            return total + weight * self.centred[which], None

        start = jnp.zeros((FROZEN, self.centred.shape[1]), self.centred.dtype)
        nodes, _ = jax.lax.scan(add, start, (weights.astype(start.dtype), index))
        second = jnp.sum(weights**2)
        if not self.replacement:
            second = (size * second - 1) / max(size - 1, 1)
        nodes = nodes * jnp.sqrt(self._factors.second * size / jnp.maximum(second, TINY))
        return JointRule(nodes, jnp.full(FROZEN, 1 / FROZEN, nodes.dtype), None, 0)


class _Factors(eqx.Module):
    second: Scalar
    third: Scalar
    fourth: Scalar
    pair: Scalar


class PickDraws(AbstractDraws):
    """Which vectors are picked: `batch_size` of the numbers below `size`."""

    size: int = eqx.field(static=True)
    batch_size: int = eqx.field(static=True)
    replacement: bool = eqx.field(static=True)

    def draw(
        self, key: Key, shape: tuple[int, ...], members: int, dtype: Any
    ) -> Int[Array, "*shape batch member"]:
        if self.replacement:
            return jax.random.randint(key, (*shape, self.batch_size, members), 0, self.size)

        def one(own):
            return jax.random.choice(own, self.size, (self.batch_size,), replace=False)

        keys = jax.random.split(key, (members, *shape))
        for _ in range(keys.ndim):
            one = jax.vmap(one)
        return jnp.moveaxis(one(keys), 0, -1)


class AbstractPickedNoise(AbstractSampledNoise):
    """A law whose draws are means of vectors picked from finitely many."""

    replacement: eqx.AbstractVar[bool]

    @abc.abstractmethod
    def picks(self, objective: AbstractObjective, params: Vector) -> Picks:
        """The vectors picked from, and how many are."""

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self.picks(objective, params).covariance

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        return moment_rule(self.picks(objective, params).shape, nodes)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array:
        picks = self.picks(objective, params)
        return moment_gram(picks.shape, picks.pairs, nodes)

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        return self.picks(objective, params).joint()

    def _draws_from(self, size: int) -> PickDraws:
        return PickDraws(size, whole_batch(self.batch_size), self.replacement)


def check_picks(asked: str, batch_size: Scalar, size: int, replacement: bool) -> None:
    """Refuses batches that are larger than what they are picked from."""
    if not replacement and batch_size > size:
        raise DriftaxError(
            asked,
            f"batch_size = {batch_size} for {size} examples",
            f"batch_size up to {size}, or replacement = true",
        )
