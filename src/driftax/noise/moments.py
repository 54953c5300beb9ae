"""Quadrature and cross moments of a law of which the moments to order 4 are known.

Source: re-derived (the Gauss rule of three moments, and its orthonormal polynomials).
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax.noise.rule import CoordinateRule, matching_rule, rule_spread, skewed_rule

TINY = 1e-30  # keeps a coordinate without noise differentiable


class Shape(NamedTuple):
    """The law of every coordinate to order 4."""

    deviation: Float[Array, " dim"]
    skewness: Float[Array, " dim"]
    kurtosis: Float[Array, " dim"]

    @property
    def moments(self) -> Float[Array, "order dim"]:
        """Central moments 2, 3, 4."""
        deviation = self.deviation
        return jnp.stack([deviation**2, self.skewness * deviation**3, self.kurtosis * deviation**4])


class PairMoments(NamedTuple):
    """`E y_i y_j`, `E y_i y_j^2` and `E y_i^2 y_j^2` of the standardised coordinates y."""

    m11: Float[Array, "dim dim"]
    m12: Float[Array, "dim dim"]
    m22: Float[Array, "dim dim"]


def shape_of_moments(
    second: Float[Array, " dim"], skewness: Float[Array, " dim"], kurtosis: Float[Array, " dim"]
) -> Shape:
    """The shape; a coordinate without noise gets that of a Gaussian, so that nothing divides by 0.

    Args:
        second: variance of every coordinate.
        skewness: third moment over `(second + TINY)^(3/2)`.
        kurtosis: fourth moment over `(second + TINY)^2`.
    """
    some = second > TINY
    skewness, kurtosis = jnp.where(some, skewness, 0.0), jnp.where(some, kurtosis, 3.0)
    # Every law obeys this; the formal one of a rung with less than one example per batch need not.
    kurtosis = jnp.maximum(kurtosis, 1 + skewness**2)
    return Shape(jnp.sqrt(second + TINY), skewness, kurtosis)


def moment_rule(shape: Shape, nodes: int) -> CoordinateRule:
    """Three nodes per coordinate that match the moments to order 4, or two that match those to order 3."""
    if nodes == 2:
        return skewed_rule(shape.deviation, shape.skewness)
    return matching_rule(shape.deviation, shape.skewness, shape.kurtosis)


def moment_gram(shape: Shape, pairs: PairMoments, nodes: int) -> Float[Array, "channel channel dim dim"]:
    """Gram matrices of the linear and the quadratic polynomial of `moment_rule`."""
    m11, m12, m22 = pairs
    if nodes == 2:
        return m11[None, None]
    skewness, spread = shape.skewness, rule_spread(shape.skewness, shape.kurtosis)
    g12 = (m12 - skewness[None, :] * m11) / spread[None, :]
    g22 = m22 - skewness[None, :] * m12.T - skewness[:, None] * m12
    g22 = g22 + skewness[:, None] * skewness[None, :] * m11 - 1
    g22 = g22 / (spread[:, None] * spread[None, :])
    return jnp.stack([jnp.stack([m11, g12]), jnp.stack([g12.T, g22])])
