"""The noise of an equation as a linear map of standard normals, without a matrix root per state where possible.

A coordinate-wise step is a sum of channels `c_n(z) p_n(noise)` (`compiler.step_moments`), so the noise of the
equation is `sum_n c_n(z) * (root_n xi_n)` with roots of the law alone. At order 2 it is corrected to
`S - 1/2 J S - 1/2 (d_k + m . grad) S`, whose square is the corrected covariance up to O(h^3) for a law that does
not depend on the params (or any law in the ballistic regime).

Elsewhere (coordinates that mix, kinks under correlated noise, covariances that move in the batch-equivalent
regime) it is a root of the whole covariance, with negative eigenvalues of O(h^3) clipped, turned towards the
step's linear response to its gradient noise. Either way the first channel is the gradient noise itself: it is
what couples the equation to its optimizer.

Source: re-derived.
"""

from __future__ import annotations

import operator
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._rows import Rows
from driftax._types import Scalar, Slots
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import (
    independent_channels,
    linear_response,
    row_mean,
    shape_of,
    step_moments,
)
from driftax.equation._value import ModifiedEquation
from driftax.equation.published import PublishedEquation
from driftax.noise import AbstractContinuousNoise
from driftax.regime import Regime

_SINGULAR = 1e-7  # relative size below which a direction has no noise
_CHANNEL_NODES = 3  # two channels, linear and quadratic in the gradient: exact to the order of the equation


def channel_count(equation: ModifiedEquation | PublishedEquation) -> int:
    """How many standard normals per parameter the noise of an equation takes in one step."""
    if isinstance(equation, PublishedEquation):
        return equation.formula.channels
    slots = len(equation.chain.slots)
    if not has_channels(equation):
        return 1 + slots
    return independent_channels(equation.chain, _dim(equation))


def has_channels(equation: ModifiedEquation) -> bool:
    """Whether the noise is a sum of channels; else it is a root of the whole covariance."""
    chain = equation.chain
    shape = shape_of(chain, _dim(equation))
    rooted = chain.noise.independent or (shape.smooth and _roots(equation) is not None)
    if not (shape.elementwise and rooted):
        return False
    state_dependent = not chain.noise.constant and chain.regime is Regime.BATCH_EQUIVALENT
    return not (state_dependent and equation.weak_order == 2 and shape.smooth)


def step_noise(
    equation: ModifiedEquation | PublishedEquation,
    number: Scalar,
    z: Slots,
    normals: Float[Array, "channel dim"],
) -> Slots:
    """The noise of one whole step, `S(z) xi`, for standard normals xi.

    Args:
        equation: whose noise it is.
        number: the step, may be fractional.
        z: the state [slot, dim].
        normals: independent standard normals, `channel_count(equation)` per parameter. The first channel is
            linear in the gradient noise: the optimizer driven by the same normals is coupled to it.
    """
    if isinstance(equation, PublishedEquation):
        return equation.step_noise(number, z, normals)
    number = jnp.asarray(number, dtype=z.dtype)
    if not equation.stochastic:
        return jnp.zeros_like(z)
    if not has_channels(equation):
        return _dense_noise(equation, number, z, normals)
    roots = _roots(equation)
    driven = normals
    if roots is not None:
        driven = jnp.einsum("nij,nj->ni", roots.astype(z.dtype), normals[: len(roots)])

    def noise(step: Scalar, point: Rows) -> Rows:
        moments = step_moments(equation.chain, step, point.stacked, _CHANNEL_NODES, joint=False)
        count = moments.channels.shape[0]
        return reduce(operator.add, [driven[n] * Rows.of(moments.channels[n]) for n in range(count)])

    rows = Rows.of(z)
    first = noise(number, rows)
    if equation.weak_order == 1 or not equation.corrected_noise:
        return first.stacked
    mean = row_mean(equation.chain, _CHANNEL_NODES)
    drift, transported = jax.jvp(lambda y: mean(number, y), (rows,), (first,))
    moved = generator(noise, number, rows, drift, None)
    return (first - 0.5 * transported - 0.5 * moved).stacked


def _dim(equation: ModifiedEquation) -> int:
    return equation.chain.objective.dim or 2


def _roots(equation: ModifiedEquation) -> Float[Array, "channel dim dim"] | None:
    noise = equation.chain.noise
    return noise.roots if isinstance(noise, AbstractContinuousNoise) else None


def _dense_noise(equation: ModifiedEquation, number: Scalar, z: Slots, normals) -> Slots:
    """`R (Q n + (1 - Q Q^T) xi)`, R the symmetric root of the covariance: of that covariance for any isometry Q.

    Q is the one nearest to `R^-1 G`, G the response of a step to its normals n: the closest coupling.
    """
    values, vectors = jnp.linalg.eigh(equation.step_covariance(number, z.reshape(-1)))
    size = jnp.sqrt(jnp.maximum(values, 0.0))
    inverse = jnp.where(size > _SINGULAR * size[-1], 1 / jnp.maximum(size, 1e-300), 0.0)
    response = inverse[:, None] * (vectors.T @ linear_response(equation.chain, number, z, equation.nodes))
    strength, turn = jnp.linalg.eigh(response.T @ response)
    some = strength > _SINGULAR
    isometry = (
        response
        @ (turn * jnp.where(some, 1 / jnp.sqrt(jnp.where(some, strength, 1.0)), 0.0)[None, :])
        @ turn.T
    )
    rest = normals[1:].reshape(-1)[: z.size]
    white = isometry @ (normals[0] - isometry.T @ rest) + rest
    return (vectors @ (size * white)).reshape(z.shape)
