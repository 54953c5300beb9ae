from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise._base import AbstractGradientNoise, SignMoments
from driftax.noise.rule import CoordinateRule, matching_rule, rule_spread, skewed_rule
from driftax.objective import AbstractObjective, FiniteSum
from driftax.regime import Regime

_TINY = 1e-30  # keeps a coordinate whose gradient never varies differentiable


class MinibatchNoise(AbstractGradientNoise):
    """The minibatch law of a finite sum: the mean gradient of `batch_size` examples, drawn afresh each step.

    Exact moments to order 4 from the gradients of all examples. Sampling by epochs (reshuffling) is another
    process: its steps are not independent, and no equation of this library describes it.

    Its quadrature has three nodes per coordinate, which match the moments to order 4, or two, which match
    those to order 3: enough for an equation in the ballistic regime, and cheaper.

    Source: compagnoni2025 (gradient model); the cumulants are re-derived from inclusion probabilities.

    Args:
        batch_size: examples per step, at rung 1.
        replacement: whether a batch may hold an example twice; without it the finite-population factor
            (n - B)/(n - 1) and its analogues of orders 3 and 4 apply.

    Raises:
        DriftaxError: if `batch_size` is not at least 1.
    """

    batch_size: Scalar
    replacement: bool = eqx.field(static=True)

    def __init__(self, batch_size: int, replacement: bool = True):
        if not batch_size >= 1:
            raise DriftaxError("a minibatch law", f"batch_size = {batch_size}", "batch_size = 1 or more")
        self.batch_size, self.replacement = batch_size, replacement

    @property
    def independent(self) -> bool:
        return False

    @property
    def gaussian(self) -> bool:
        return False

    @property
    def constant(self) -> bool:
        return False

    def at(self, scale: Scalar, regime: Regime) -> MinibatchNoise:
        if regime is Regime.BALLISTIC:
            return self
        return eqx.tree_at(lambda law: law.batch_size, self, self.batch_size * scale)

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        size = _finite(objective).size
        if not self.replacement and self.batch_size > size:
            raise DriftaxError(
                "a minibatch law without replacement",
                f"batch_size = {self.batch_size} for {size} examples",
                f"batch_size up to {size}, or replacement = true",
            )

    def draw(self, key: Key, size: int, batch_size: int) -> Int[Array, " batch"]:
        """The examples of one batch (`batch_size` as a Python integer, since it is a shape)."""
        if self.replacement:
            return jax.random.randint(key, (batch_size,), 0, size)
        return jax.random.choice(key, size, (batch_size,), replace=False)

    def sample(self, key: Key, objective: AbstractObjective, params: Vector) -> Vector:
        finite = _finite(objective)
        return finite.batch_gradient(params, self.draw(key, finite.size, int(self.batch_size)))

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        centred, moments = self._centred(objective, params)
        return moments.second * (centred.T @ centred)

    def _centred(self, objective: AbstractObjective, params: Vector):
        finite = _finite(objective)
        gradients = finite.example_gradients(params)
        return gradients - jnp.mean(gradients, axis=0, keepdims=True), self._sum_moments(finite.size)

    def _sum_moments(self, size: int) -> _BatchMoments:
        """Factors that turn power sums over all examples into moments of the batch mean."""
        batch = self.batch_size
        if self.replacement:
            one, two = batch / size, batch * (batch - 1) / size**2
            return _BatchMoments(one / batch**2, one / batch**3, one / batch**4, two / batch**4)
        # Inclusion probabilities of 1 to 4 given examples; P_k is a sum of k-th powers and P_1 = 0.
        pi1 = batch / size
        # For up to 3 examples the later ones are 0 through their numerators.
        pi2 = pi1 * (batch - 1) / max(size - 1, 1)
        pi3 = pi2 * (batch - 2) / max(size - 2, 1)
        pi4 = pi3 * (batch - 3) / max(size - 3, 1)
        return _BatchMoments(
            (pi1 - pi2) / batch**2,
            (pi1 - 3 * pi2 + 2 * pi3) / batch**3,
            (pi1 - 7 * pi2 + 12 * pi3 - 6 * pi4) / batch**4,
            (pi2 - 2 * pi3 + pi4) / batch**4,
        )

    def moments(self, objective: AbstractObjective, params: Vector) -> Float[Array, "order dim"]:
        """Central moments 2, 3, 4 of every coordinate of the minibatch gradient."""
        shape = self._shape(objective, params)
        deviation = shape.deviation
        return jnp.stack([deviation**2, shape.skewness * deviation**3, shape.kurtosis * deviation**4])

    def _shape(self, objective: AbstractObjective, params: Vector) -> _BatchShape:
        centred, factor = self._centred(objective, params)
        second = factor.second * jnp.sum(centred**2, axis=0)
        deviation = jnp.sqrt(second + _TINY)
        standard = centred / deviation[None, :]
        square = jnp.sum(standard**2, axis=0)
        skewness = factor.third * jnp.sum(standard**3, axis=0)
        kurtosis = factor.fourth * jnp.sum(standard**4, axis=0) + 3 * factor.pair * square**2
        # A coordinate without noise gets the shape of a Gaussian: its nodes coincide, nothing divides by 0.
        some = second > _TINY
        skewness, kurtosis = jnp.where(some, skewness, 0.0), jnp.where(some, kurtosis, 3.0)
        # Every law obeys this; the formal one of a rung with less than one example per batch need not.
        kurtosis = jnp.maximum(kurtosis, 1 + skewness**2)
        return _BatchShape(standard, deviation, skewness, kurtosis, factor)

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        shape = self._shape(objective, params)
        if nodes == 2:
            return skewed_rule(shape.deviation, shape.skewness)
        return matching_rule(shape.deviation, shape.skewness, shape.kurtosis)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array:
        shape = self._shape(objective, params)
        standard, factor, skewness = shape.standard, shape.factor, shape.skewness
        spread = rule_spread(skewness, shape.kurtosis)
        pair, square = standard.T @ standard, jnp.sum(standard**2, axis=0)
        m11 = factor.second * pair
        if nodes == 2:
            return m11[None, None]
        m12 = factor.third * (standard.T @ standard**2)  # E y_i y_j^2
        m22 = factor.fourth * (standard**2).T @ standard**2
        m22 = m22 + factor.pair * (square[:, None] * square[None, :] + 2 * pair**2)
        g12 = (m12 - skewness[None, :] * m11) / spread[None, :]
        g22 = m22 - skewness[None, :] * m12.T - skewness[:, None] * m12
        g22 = g22 + skewness[:, None] * skewness[None, :] * m11 - 1
        g22 = g22 / (spread[:, None] * spread[None, :])
        return jnp.stack([jnp.stack([m11, g12]), jnp.stack([g12.T, g22])])

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> None:
        return None

    def sign_moments(self, objective: AbstractObjective, params: Vector, shift: Vector) -> SignMoments:
        raise DriftaxError(
            "the equation of a sign optimizer under a minibatch law",
            "a law on finitely many gradients: the mean of its sign is a step function, not differentiable",
            "a Gaussian gradient law of the same covariance",
        )


class _BatchMoments(eqx.Module):
    second: Scalar
    third: Scalar
    fourth: Scalar
    pair: Scalar


class _BatchShape(eqx.Module):
    """Standardised gradients of all examples, and the law of one coordinate of the batch mean."""

    standard: Float[Array, "size dim"]
    deviation: Float[Array, " dim"]
    skewness: Float[Array, " dim"]
    kurtosis: Float[Array, " dim"]
    factor: _BatchMoments


def _finite(objective: AbstractObjective) -> FiniteSum:
    if not isinstance(objective, FiniteSum):
        raise DriftaxError(
            "a minibatch law",
            f"the objective {type(objective).__name__}, which is not a sum over examples",
            'objective = "finite_sum", or a Gaussian gradient law',
        )
    return objective
