from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise.rule import CoordinateRule, JointRule, joint_normals, piecewise_normal
from driftax.objective import AbstractObjective
from driftax.regime import Regime

FROZEN = 1024  # draws of a sampled law that stand for its joint quadrature


class AbstractGradientNoise(eqx.Module):
    """The law of `stochastic gradient - gradient`, a function of the params."""

    @property
    @abc.abstractmethod
    def independent(self) -> bool:
        """Whether the coordinates of the noise are independent of each other."""

    @property
    @abc.abstractmethod
    def gaussian(self) -> bool:
        """Whether all cumulants beyond the second vanish."""

    @property
    @abc.abstractmethod
    def constant(self) -> bool:
        """Whether the law is the same at all params."""

    @property
    def complete(self) -> bool:
        """Whether the polynomials of `rule` carry the covariance of a smooth step to the order of its equation."""
        return True

    @property
    def dof(self) -> float:
        """The order below which absolute moments exist."""
        return math.inf

    @property
    def sampled(self) -> bool:
        """Whether ensembles draw it afresh, since it is no image of a few normals."""
        return False

    @abc.abstractmethod
    def at(self, scale: Scalar, regime: Regime) -> AbstractGradientNoise:
        """The law on a rung: covariance / scale in the batch-equivalent regime, else unchanged."""

    @abc.abstractmethod
    def check(self, objective: AbstractObjective, params: Vector) -> None:
        """Refuses what is not a law of gradients of `objective` at `params`."""

    @abc.abstractmethod
    def sample(self, key: Key, objective: AbstractObjective, params: Vector) -> Vector:
        """One stochastic gradient."""

    @abc.abstractmethod
    def covariance(
        self, objective: AbstractObjective, params: Vector
    ) -> Float[Array, " dim"] | Float[Array, "dim dim"]:
        """Covariance of one stochastic gradient: [dim] if independent, else [dim, dim]."""

    @abc.abstractmethod
    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        """One-coordinate quadrature of smooth functions; `nodes` per coordinate where the law leaves a choice."""

    @abc.abstractmethod
    def gram(
        self, objective: AbstractObjective, params: Vector, nodes: int
    ) -> Float[Array, "channel channel dim dim"] | None:
        """Gram matrices of the rule's polynomials; None where coordinates are independent."""

    @abc.abstractmethod
    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        """Joint quadrature of all coordinates, as good as their number allows."""


class AbstractContinuousNoise(AbstractGradientNoise):
    """A law with densities: every coordinate is a smooth increasing image of a standard normal.

    That one fact gives its quadratures between kinks, the exact moments of a sign, samples, and the coupling
    of the optimizer to its equations (they share the normals).
    """

    @property
    def reach(self) -> tuple[float, float]:
        """The normals beyond which nothing counts, for simulation (to 1e-8) and for derivation (to 1e-16)."""
        return 6.0, 8.5

    @property
    def longest(self) -> float:
        """The longest piece, in normal scores, on which `image` is resolved by one Gauss-Legendre rule."""
        return 20.0

    @abc.abstractmethod
    def noise(self, objective: AbstractObjective, params: Vector, normals: Vector) -> Vector:
        """The gradient noise driven by independent standard normals, one per coordinate."""

    @abc.abstractmethod
    def image(self, objective: AbstractObjective, params: Vector, score: Vector) -> Vector:
        """The noise of every coordinate at its normal score, coordinates taken one by one."""

    @abc.abstractmethod
    def score(self, objective: AbstractObjective, params: Vector, noise: Vector) -> Vector:
        """The normal score of every coordinate's noise: the inverse of `image`."""

    @property
    def roots(self) -> Float[Array, "channel dim dim"] | None:
        """Constant roots of the correlation and of its elementwise square; None where coordinates are independent."""
        return None

    def root(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        """The matrix that turns independent normals into the normal scores of the coordinates."""
        return jnp.eye(params.shape[0], dtype=params.dtype)

    def correlation(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        """The correlation of the normal scores of the coordinates."""
        root = self.root(objective, params)
        return root @ root.T

    def sample(self, key: Key, objective: AbstractObjective, params: Vector) -> Vector:
        normals = jax.random.normal(key, params.shape)
        return objective.gradient(params) + self.noise(objective, params, normals)

    def piecewise_rule(
        self,
        objective: AbstractObjective,
        params: Vector,
        kinks: Float[Array, "kink dim"],
        fine: bool,
    ) -> CoordinateRule:
        """One-coordinate quadrature of functions that are smooth between kinks, given as normal scores."""
        reach = self.reach[1 if fine else 0]
        score, weights = piecewise_normal(kinks, reach, 40 if fine else 16, self.longest)
        nodes = jax.vmap(lambda s: self.image(objective, params, s))(score)
        return CoordinateRule(nodes, weights, score[None], complete=False)

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        normals, weights, exact_degree = joint_normals(params.shape[0], nodes)
        noises = jax.vmap(lambda normal: self.noise(objective, params, normal))(jnp.asarray(normals))
        return JointRule(noises, jnp.asarray(weights), jnp.asarray(normals), exact_degree)


class AbstractDraws(eqx.Module):
    """How one sampled law is drawn on one rung, where the batch size is a whole number."""

    @abc.abstractmethod
    def draw(self, key: Key, shape: tuple[int, ...], members: int, dtype: Any) -> Any:
        """Independent draws: a pytree of arrays [*shape, ..., member]."""


class AbstractSampledNoise(AbstractGradientNoise):
    """The mean of `batch_size` independent parts, drawn afresh each step: a batch of examples, say.

    Its moments to order 4 are exact; in the batch-equivalent regime the batch shrinks with the time step.
    """

    batch_size: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def draws(self, objective: AbstractObjective) -> AbstractDraws:
        """How the law is drawn; the batch size must be a whole number here."""

    @abc.abstractmethod
    def gradient(self, objective: AbstractObjective, params: Vector, draw: Any) -> Vector:
        """The stochastic gradient of one draw."""

    @abc.abstractmethod
    def gradients(self, objective: AbstractObjective, params: Vector) -> Callable[[Any], Vector]:
        """The same as a function of the draw, for many draws at one point."""

    @property
    def sampled(self) -> bool:
        return True

    @property
    def independent(self) -> bool:
        return False

    @property
    def gaussian(self) -> bool:
        return False

    def at(self, scale: Scalar, regime: Regime) -> AbstractSampledNoise:
        if regime is Regime.BALLISTIC:
            return self
        return eqx.tree_at(lambda law: law.batch_size, self, self.batch_size * scale)

    def sample(self, key: Key, objective: AbstractObjective, params: Vector) -> Vector:
        drawn = self.draws(objective).draw(key, (), 1, params.dtype)
        return self.gradient(objective, params, jax.tree.map(lambda leaf: leaf[..., 0], drawn))


def whole_batch(batch_size: Scalar) -> int:
    """The batch size of a rung as a whole number.

    Raises:
        DriftaxError: if it is not one.
    """
    size = float(batch_size)
    if abs(size - round(size)) > 1e-6 or size < 1:
        raise DriftaxError(
            "a minibatch law on this rung of the batch-equivalent regime",
            f"batches of {size:g} examples",
            "a batch_size that every factor of the ladder keeps whole: 64 for [1.0, 0.5, 0.25]",
        )
    return round(size)


def checked_batch(asked: str, batch_size: Scalar) -> None:
    """Refuses a batch of less than one example."""
    if not batch_size >= 1:
        raise DriftaxError(asked, f"batch_size = {batch_size}", "batch_size = 1 or more")


def batch_weights(batch_size: Scalar, longest: int) -> Float[Array, " example"]:
    """The weights of a mean over the first `batch_size` of `longest` examples, formally of any number of them."""
    batch = jnp.clip(batch_size, 1.0, longest)
    return jnp.clip(batch - jnp.arange(longest), 0.0, 1.0) / batch
