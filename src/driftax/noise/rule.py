"""One-coordinate quadratures and the orthonormal polynomials that turn them into noise channels.

A function D(z_i) of one coordinate of the gradient noise is `E D + sum_n c_n p_n(z_i)`, where the p_n are
orthonormal under the law of z_i. Two such functions have covariance `sum_mn c_m G^mn_ij c_n` with the Gram
matrices `G^mn_ij = E p_m(z_i) p_n(z_j)`: the identity for independent coordinates, powers of the correlation
for a Gaussian law (Mehler). So one-dimensional sums give every cross covariance of an optimizer's step.
"""

from __future__ import annotations

from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class CoordinateRule(eqx.Module):
    """Quadrature of every coordinate of the gradient noise.

    Args:
        nodes: values of (stochastic gradient - gradient), shape [node, dim].
        weights: shape [node, dim]; they sum to 1 over nodes.
        polynomials: p_1 .. p_{node-1} at the nodes, shape [channel, node, dim].
    """

    nodes: Float[Array, "node dim"]
    weights: Float[Array, "node dim"]
    polynomials: Float[Array, "channel node dim"]


@lru_cache
def gauss_hermite(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal law and He_n / sqrt(n!) at the nodes, n = 1 .. count-1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    rows = [np.ones(count), nodes]
    for n in range(1, count - 1):
        rows.append((nodes * rows[n] - np.sqrt(n) * rows[n - 1]) / np.sqrt(n + 1))
    return nodes, weights / weights.sum(), np.stack(rows[1:count])


def rule_spread(skewness: Float[Array, " dim"], kurtosis: Float[Array, " dim"]) -> Float[Array, " dim"]:
    """The norm of `y^2 - skewness y - 1`, which is 0 for a law on two points and kept away from it."""
    return jnp.sqrt(jnp.maximum(kurtosis - skewness**2 - 1, 1e-12))


def matching_rule(
    deviation: Float[Array, " dim"], skewness: Float[Array, " dim"], kurtosis: Float[Array, " dim"]
) -> CoordinateRule:
    """Three nodes that match mean 0 and the moments 2, 3, 4 of every coordinate.

    The standardised nodes are 0 and the roots of `y^2 - skewness y - (kurtosis - skewness^2)`;
    a Gaussian law gives the three Gauss-Hermite nodes.

    Args:
        deviation: square root of the second moment.
        skewness: third moment over deviation^3.
        kurtosis: fourth moment over deviation^4, at least 1 + skewness^2.
    """
    root = jnp.sqrt(4 * kurtosis - 3 * skewness**2)
    upper, lower = 0.5 * (skewness + root), 0.5 * (skewness - root)
    upper_weight, lower_weight = 1 / (upper * root), -1 / (lower * root)
    standard = jnp.stack([lower, jnp.zeros_like(upper), upper])
    weights = jnp.stack([lower_weight, 1 - lower_weight - upper_weight, upper_weight])
    quadratic = standard**2 - skewness[None, :] * standard - 1
    quadratic = quadratic / rule_spread(skewness, kurtosis)[None, :]
    return CoordinateRule(standard * deviation[None, :], weights, jnp.stack([standard, quadratic]))


def skewed_rule(deviation: Float[Array, " dim"], skewness: Float[Array, " dim"]) -> CoordinateRule:
    """Two nodes that match mean 0 and the moments 2 and 3 of every coordinate: the roots of `y^2 - skewness y - 1`.

    Enough for the drift and the covariance of an order-2 equation in the ballistic regime, not for its
    obstruction.
    """
    root = jnp.sqrt(skewness**2 + 4)
    upper, lower = 0.5 * (skewness + root), 0.5 * (skewness - root)
    standard = jnp.stack([lower, upper])
    weights = jnp.stack([upper / root, -lower / root])
    return CoordinateRule(standard * deviation[None, :], weights, standard[None])


def pair_rule(
    rule: CoordinateRule, gram: Float[Array, "channel channel dim dim"] | None, i: int, j: int
) -> tuple[Float[Array, "node node pair"], Float[Array, "node node"]]:
    """Joint quadrature of coordinates i and j on the product grid of their own nodes.

    The weights `w_a w_b sum_mn p_m(a) p_n(b) G^mn_ij` give every E p_m(z_i) p_n(z_j) exactly (they may be
    negative).

    Returns:
        Nodes [node, node, 2] and weights [node, node].
    """
    count = rule.nodes.shape[0]
    grid = jnp.stack(
        [
            jnp.broadcast_to(rule.nodes[:, None, i], (count, count)),
            jnp.broadcast_to(rule.nodes[None, :, j], (count, count)),
        ],
        axis=-1,
    )
    factor = jnp.ones((count, count))
    if gram is not None:
        left, right = rule.polynomials[:, :, i], rule.polynomials[:, :, j]
        factor = factor + jnp.einsum("ma,mn,nb->ab", left, gram[:, :, i, j], right)
    return grid, rule.weights[:, None, i] * rule.weights[None, :, j] * factor
