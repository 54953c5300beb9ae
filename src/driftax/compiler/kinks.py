"""Where a coordinate-wise step is not smooth in the gradient noise, as normal scores.

A kink is a zero of one of the optimizer's switches (`driftax.optimizer.structure`). Zeros are found in closed
form for switches of degree 1 or 2 in the gradient (sign, clip, max of second moments), by a scan elsewhere,
and are differentiable functions of the state: the derivative of an integral holds what its moving kink adds.

Source: re-derived (Leibniz' rule for integrals between moving limits).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.noise import AbstractContinuousNoise
from driftax.noise.rule import piecewise_normal
from driftax.optimizer.structure import Structure, switch_values

_SCAN = 129  # points at which a switch of unknown form is looked at
_MOST = 4  # zeros of such a switch that are looked for
_BISECTIONS = 50
_FAR = 1e3  # a normal score that is never reached


def continuous_law(chain: Chain) -> AbstractContinuousNoise:
    """The gradient law of a chain whose step has kinks: one with densities.

    Raises:
        DriftaxError: for any other.
    """
    if not isinstance(chain.noise, AbstractContinuousNoise):
        raise DriftaxError(
            f"the equation of {chain.optimizer.name} under {type(chain.noise).__name__}",
            "a law on finitely many gradients: the mean of a step with kinks (sign, clip, max) is a step "
            "function of the params, not differentiable",
            "a Gaussian gradient law of the same covariance",
        )
    return chain.noise


def kink_scores(chain: Chain, number: Scalar, z: Slots, shape: Structure) -> Float[Array, "kink dim"]:
    """Normal scores of the gradient noise at which each coordinate's step has a kink; beyond reach where none is."""
    law, params = continuous_law(chain), chain.params(z)
    if shape.smooth:
        return jnp.zeros((0, len(params)), params.dtype)
    rows = tuple(chain.real_rows(z))
    gradient = chain.gradient(z)

    def switches(noise: Vector) -> list[Vector]:
        return switch_values(chain.optimizer, number, rows, gradient + noise)

    found = []
    for position, degree in enumerate(shape.switches):
        if degree is not None:
            zeros = _polynomial_zeros(
                lambda noise, position=position: switches(noise)[position], params, degree
            )
            found += [_score(law, chain, params, *zero) for zero in zeros]
    others = [position for position, degree in enumerate(shape.switches) if degree is None]
    if others:

        def stacked(score: Vector) -> Float[Array, "switch dim"]:
            values = switches(law.image(chain.objective, params, score))
            return jnp.stack([values[position] for position in others])

        found += list(_scanned(stacked, params, len(others), law.reach[0]))
    return jnp.stack(found)


def _score(law: AbstractContinuousNoise, chain: Chain, params: Vector, exists, noise: Vector) -> Vector:
    score = law.score(chain.objective, params, jnp.where(exists, noise, 0.0))
    return jnp.where(exists, score, _FAR)


def _polynomial_zeros(switch, params: Vector, degree: int) -> list[tuple[Array, Vector]]:
    """Whether and where `a + b z + c z^2` is zero, from its exact derivatives at 0."""
    zero, one = jnp.zeros_like(params), jnp.ones_like(params)

    def slope(noise):
        return jax.jvp(switch, (noise,), (one,))[1]

    a, b = switch(zero), slope(zero)
    if degree == 1:
        some = b != 0
        return [(some, -a / jnp.where(some, b, 1.0))]
    c = 0.5 * jax.jvp(slope, (zero,), (one,))[1]
    discriminant = b**2 - 4 * a * c
    two = (discriminant > 0) & (c != 0)
    root = jnp.sqrt(jnp.where(two, discriminant, 1.0))
    safe = jnp.where(two, c, 1.0)
    single = ~two & (c == 0) & (b != 0)
    line = -a / jnp.where(single, b, 1.0)
    return [
        (two | single, jnp.where(single, line, (-b - root) / (2 * safe))),
        (two, (-b + root) / (2 * safe)),
    ]


def _scanned(switches: Callable, params: Vector, count: int, reach: float) -> Float[Array, "kink dim"]:
    """Zeros of any switches: bracketed on a grid, bisected, and polished by differentiable Newton steps."""
    which = jnp.repeat(jnp.arange(count), _MOST)  # the switch whose zero a row is

    def at(scores: Float[Array, "kink dim"]) -> Float[Array, "kink dim"]:
        return jax.vmap(lambda score, row: switches(score)[row])(scores, which)

    grid = jnp.linspace(-reach, reach, _SCAN, dtype=params.dtype)
    values = jax.lax.stop_gradient(jax.vmap(lambda s: switches(jnp.full_like(params, s)))(grid))
    change = jnp.sign(values[1:]) != jnp.sign(values[:-1])  # [cell, switch, dim]
    turn = jnp.tile(jnp.arange(1, _MOST + 1), count)
    hit = change[:, which] & (jnp.cumsum(change, axis=0)[:, which] == turn[None, :, None])
    exists, cell = jnp.any(hit, axis=0), jnp.argmax(hit, axis=0)

    def halve(_, ends):
        low, high = ends
        middle = 0.5 * (low + high)
        same = jnp.sign(at(middle)) == jnp.sign(at(low))
        return jnp.where(same, middle, low), jnp.where(same, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (grid[cell], grid[cell + 1]))
    score = jax.lax.stop_gradient(0.5 * (low + high))

    def newton(score):
        value, slope = jax.jvp(at, (score,), (jnp.ones_like(score),))
        return score - jnp.where(slope != 0, value / jnp.where(slope != 0, slope, 1.0), 0.0)

    # On both sides of a zero, never at it: there a norm in a branch not taken has the derivative 0 * inf. What the
    # distance adds to the zero and its derivatives is odd in it and cancels, or is its square: rounding error.
    beside = jnp.sqrt(jnp.finfo(score.dtype).eps) * jnp.asarray([-1.0, 1.0], score.dtype)[:, None, None]
    for _ in range(2):  # derivatives of the zero to order 3
        score = jnp.mean(jax.vmap(newton)(score[None] + beside), axis=0)
    return jnp.where(exists, score, _FAR)


class PairNodes(NamedTuple):
    """Quadrature of the noise of coordinate i, and of every coordinate given it."""

    outer: Float[Array, "outer dim"]
    outer_weights: Float[Array, " outer"]
    inner: Float[Array, "outer inner dim"]
    inner_weights: Float[Array, "outer inner dim"]


def pair_nodes(chain: Chain, number: Scalar, z: Slots, shape: Structure, nodes: int, i: int) -> PairNodes:
    """Nodes for the cross moments of coordinate i with every other, between the kinks of both."""
    law, params = continuous_law(chain), chain.params(z)
    reach, points = law.reach[1 if nodes > 5 else 0], 40 if nodes > 5 else 16
    kinks = kink_scores(chain, number, z, shape)
    rho = jnp.clip(law.correlation(chain.objective, params)[i], -1 + 1e-9, 1 - 1e-9)
    width = jnp.sqrt(1 - rho**2)
    score, weights = piecewise_normal(kinks[:, i : i + 1], reach, points, law.longest)
    score, weights = score[:, 0], weights[:, 0]

    def given(own):
        inner, mass = piecewise_normal((kinks - (rho * own)[None]) / width[None], reach, points, law.longest)
        return law_image((rho * own)[None] + width[None] * inner), mass

    law_image = jax.vmap(lambda s: law.image(chain.objective, params, s))
    inner, inner_weights = jax.vmap(given)(score)
    outer = law_image(jnp.broadcast_to(score[:, None], (len(score), params.shape[0])))
    return PairNodes(outer, weights, inner, inner_weights)


def local_grid(
    chain: Chain, number: Scalar, z: Slots, shape: Structure, nodes: int
) -> tuple[Float[Array, "node dim"], Float[Array, " node"]]:
    """Joint nodes of both coordinates of a two-parameter chain whose step has kinks."""
    pair = pair_nodes(chain, number, z, shape, nodes, 0)
    count = pair.inner.shape[1]
    first = jnp.broadcast_to(pair.outer[:, None, 0], (len(pair.outer), count))
    grid = jnp.stack([first, pair.inner[:, :, 1]], axis=-1).reshape(-1, 2)
    weights = pair.outer_weights[:, None] * pair.inner_weights[:, :, 1]
    return grid, weights.reshape(-1)
