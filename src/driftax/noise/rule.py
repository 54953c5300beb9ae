"""One-coordinate quadratures and the orthonormal polynomials that turn them into noise channels.

A function D(z_i) of one coordinate of the gradient noise is `E D + sum_n c_n p_n(z_i)`, where the p_n are
orthonormal under the law of z_i. Two such functions have covariance `sum_mn c_m G^mn_ij c_n` with the Gram
matrices `G^mn_ij = E p_m(z_i) p_n(z_j)`: the identity for independent coordinates, powers of the correlation
for a Gaussian law (Mehler). So one-dimensional sums give every cross covariance of an optimizer's step.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

_JOINT_LIMIT = 100_000  # joint nodes; beyond this a tensor grid gives way to a cubature of degree 5
_CUBATURE_LIMIT = 64  # parameters; beyond this a cubature gives way to frozen draws
_DRAWS = 4096


class CoordinateRule(eqx.Module):
    """Quadrature of every coordinate of the gradient noise.

    Args:
        nodes: values of (stochastic gradient - gradient), shape [node, dim].
        weights: shape [node, dim]; they sum to 1 over nodes.
        polynomials: orthonormal p_1, p_2, .. at the nodes, shape [channel, node, dim].
        complete: whether the polynomials carry the covariance of a smooth step to the order of its equation.
    """

    nodes: Float[Array, "node dim"]
    weights: Float[Array, "node dim"]
    polynomials: Float[Array, "channel node dim"]
    complete: bool = eqx.field(default=True, static=True)


class JointRule(NamedTuple):
    """Quadrature of the whole gradient noise.

    Args:
        nodes: values of (stochastic gradient - gradient), shape [node, dim].
        weights: shape [node].
        normals: the standard normals behind the nodes; None where the law is not made of normals.
        exact_degree: of the polynomials in the normals it integrates exactly; 0 for frozen draws.
    """

    nodes: Float[Array, "node dim"]
    weights: Float[Array, " node"]
    normals: Float[Array, "node dim"] | None
    exact_degree: int


@lru_cache
def gauss_hermite(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights of the standard normal law and He_n / sqrt(n!) at the nodes, n = 1 .. count-1."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    rows = [np.ones(count), nodes]
    for n in range(1, count - 1):
        rows.append((nodes * rows[n] - np.sqrt(n) * rows[n - 1]) / np.sqrt(n + 1))
    return nodes, weights / weights.sum(), np.stack(rows[1:count])


@lru_cache
def joint_normals(dim: int, nodes: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Joint quadrature of `dim` independent standard normals: nodes [node, dim], weights, exact degree.

    A tensor grid of Gauss-Hermite nodes where it is small enough; else the cubature of degree 5 with
    2 dim^2 + 1 nodes; else antithetic frozen draws, whose error is that of a sample.

    Source: stroud1971 (the formula of degree 5 for the Gaussian weight).
    """
    while nodes > 5 and nodes**dim > _JOINT_LIMIT:
        nodes -= 2
    if nodes**dim <= _JOINT_LIMIT:
        standard, weights, _ = gauss_hermite(nodes)
        grid = np.stack(np.meshgrid(*[standard] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        product = np.prod(np.stack(np.meshgrid(*[weights] * dim, indexing="ij")), axis=0).reshape(-1)
        return grid, product, 2 * nodes - 1
    if dim <= _CUBATURE_LIMIT:
        return *_cubature_of_degree_5(dim), 5
    half = np.random.default_rng(0).standard_normal((_DRAWS // 2, dim))
    return np.concatenate([half, -half]), np.full(_DRAWS, 1 / _DRAWS), 0


def _cubature_of_degree_5(dim: int) -> tuple[np.ndarray, np.ndarray]:
    axis, corner = np.sqrt(dim + 2.0), np.sqrt((dim + 2.0) / 2)
    rows, weights = [np.zeros(dim)], [2 / (dim + 2)]
    for i in range(dim):
        for sign in (1.0, -1.0):
            rows.append(sign * axis * np.eye(dim)[i])
            weights.append((4 - dim) / (2 * (dim + 2) ** 2))
            for j in range(i):
                for other in (1.0, -1.0):
                    rows.append(corner * (sign * np.eye(dim)[i] + other * np.eye(dim)[j]))
                    weights.append(1 / (dim + 2) ** 2)
    return np.stack(rows), np.asarray(weights)


def piecewise_normal(
    kinks: Float[Array, "kink dim"], reach: float, nodes: int, longest: float = 20.0
) -> tuple[Float[Array, "node dim"], Float[Array, "node dim"]]:
    """Gauss-Legendre nodes between kinks and weights of the standard normal law, coordinate by coordinate.

    Nodes and weights move smoothly with the kinks, so derivatives of an integral hold what a kink adds to it.

    Args:
        kinks: points where the integrand may jump; those beyond the reach do not count.
        reach: normals beyond it are left out (and the weights scaled to sum to 1).
        nodes: per piece.
        longest: pieces longer than this are cut.
    """
    dim = kinks.shape[1]
    cuts = np.arange(-reach, reach + 1e-9, 2 * reach / np.ceil(2 * reach / longest))
    fixed = jnp.broadcast_to(jnp.asarray(cuts, kinks.dtype)[:, None], (len(cuts), dim))
    ends = jnp.sort(jnp.concatenate([fixed, jnp.clip(kinks, -reach, reach)]), axis=0)
    points, weights = (jnp.asarray(a, kinks.dtype) for a in np.polynomial.legendre.leggauss(nodes))
    half, middle = 0.5 * (ends[1:] - ends[:-1]), 0.5 * (ends[1:] + ends[:-1])
    score = middle[:, None, :] + half[:, None, :] * points[None, :, None]
    density = jnp.exp(-0.5 * score**2) / math.sqrt(2 * math.pi)  # a number of numpy would make it float64
    mass = half[:, None, :] * weights[None, :, None] * density
    score, mass = score.reshape(-1, dim), mass.reshape(-1, dim)
    return score, mass / jax.lax.stop_gradient(jnp.sum(mass, axis=0, keepdims=True))


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
