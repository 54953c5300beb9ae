"""The noise of an equation as a linear map of standard normals, without a matrix root per state where possible.

A coordinate-wise step is a sum of channels `c_n(z) p_n(noise)` (`compiler.step_moments`), so the noise of the
equation is `sum_n c_n(z) * (root_n xi_n)` with roots of the law alone. At order 2 it is corrected to
`S - 1/2 J S - 1/2 (d_k + m . grad) S`, whose square is the corrected covariance up to O(h^3) for a law that does
not depend on the params (or any law in the ballistic regime). Elsewhere the symmetric root of the covariance
is taken, with negative eigenvalues of O(h^3) clipped.

Source: re-derived.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Scalar, Slots
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import flat_mean, step_moments
from driftax.equation._value import ModifiedEquation
from driftax.noise import GaussianNoise
from driftax.regime import Regime

_CHANNEL_NODES = 3  # two channels, linear and quadratic in the gradient: exact to the order of the equation


def channel_count(equation: ModifiedEquation) -> int:
    """How many standard normals per parameter the noise of an equation takes in one step."""
    return 2 if has_channels(equation) else max(2, len(equation.chain.slots))


def has_channels(equation: ModifiedEquation) -> bool:
    """Whether the noise is a sum of channels; else it is a root of the whole covariance."""
    chain = equation.chain
    independent_or_rooted = chain.noise.independent or _roots(equation) is not None
    if not chain.optimizer.smooth:
        return chain.noise.independent
    state_dependent = not chain.noise.constant and chain.regime is Regime.BATCH_EQUIVALENT
    return independent_or_rooted and not (state_dependent and equation.weak_order == 2)


def step_noise(
    equation: ModifiedEquation, number: Scalar, z: Slots, normals: Float[Array, "channel dim"]
) -> Slots:
    """The noise of one whole step, `S(z) xi`, for standard normals xi.

    Args:
        equation: whose noise it is.
        number: the step, may be fractional.
        z: the state [slot, dim].
        normals: independent standard normals, `channel_count(equation)` per parameter. The first channel is
            linear in the gradient noise: the optimizer driven by the same normals is coupled to it.
    """
    number = jnp.asarray(number, dtype=z.dtype)
    if not equation.stochastic:
        return jnp.zeros_like(z)
    if not has_channels(equation):
        return _dense_noise(equation, number, z, normals)
    roots = _roots(equation)
    driven = normals if roots is None else jnp.einsum("nij,nj->ni", roots.astype(z.dtype), normals)

    def noise(step: Scalar, flat):
        moments = step_moments(equation.chain, step, flat.reshape(z.shape), _CHANNEL_NODES, joint=False)
        return jnp.einsum("nsi,ni->si", moments.channels, driven).reshape(-1)

    flat = z.reshape(-1)
    first = noise(number, flat)
    if equation.weak_order == 1:
        return first.reshape(z.shape)
    mean = flat_mean(equation.chain, _CHANNEL_NODES)
    drift, transported = jax.jvp(lambda y: mean(number, y), (flat,), (first,))
    moved = generator(noise, number, flat, drift, None)
    return (first - 0.5 * transported - 0.5 * moved).reshape(z.shape)


def _roots(equation: ModifiedEquation) -> Float[Array, "channel dim dim"] | None:
    noise = equation.chain.noise
    return noise.roots if isinstance(noise, GaussianNoise) else None


def _dense_noise(equation: ModifiedEquation, number: Scalar, z: Slots, normals) -> Slots:
    covariance = equation.step_covariance(number, z.reshape(-1))
    values, vectors = jnp.linalg.eigh(covariance)
    root = (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]) @ vectors.T
    return (root @ normals.reshape(-1)[: z.size]).reshape(z.shape)
