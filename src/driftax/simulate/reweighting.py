"""Equations under minibatches of a large model: examples are reweighted at random, no gradient of one is ever made.

With weights `w_i` of mean 0 the vector `zeta = 1/n sum_i w_i grad l_i` is a noise of gradients. For a minibatch of B
out of n the weights are `n count_i / B - 1`; Gaussian ones, `sqrt(n/B) (xi_i - mean xi)`, have the same covariance, and
the centring is what makes it exact. One forward pass serves several sets of weights.

A substep of length dt takes two independent noises a and b, and with the increments D of the optimizer

    z + dt (D_a + D_b)/2 + sqrt(dt - dt^2/2) (D_a - D_b)/sqrt(2),

whose mean is `dt E D` and whose covariance is `dt Cov D`, with no moment of the law computed: it serves signs too. An
equation of order 2 has the drift `m - 1/2 (d_k + m . grad) m`, of which `D_a' [D_b]` is an unbiased estimate. Euler's
bias is left to the extrapolation from two levels.

Source: re-derived; the covariance of reweighted gradients is exact.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy.linalg import hadamard

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.compiler.step_moments import shape_of
from driftax.equation import Method, ModifiedEquation
from driftax.equation._value import Record
from driftax.equation.published import PublishedEquation
from driftax.noise import MinibatchNoise
from driftax.noise.picks import PickDraws
from driftax.objective import FiniteSum
from driftax.regime import Regime
from driftax.simulate.drivers import AbstractDriver, OnState


class Reweighting(NamedTuple):
    """What drives one step: the optimizer's own batch, and normals of which weights are made."""

    batch: Int[Array, "batch *member"]
    normals: Float[Array, "part two size *member"]


class ReweightingDriver(AbstractDriver):
    """Weights [part, 2, size] per step: those of the noise, coupled to the optimizer's batch, and fresh ones.

    The weights of part j are `sum_i H_ji w_i / sqrt(parts)` with a Hadamard matrix H, of which w_0 is the batch's own:
    parts are uncorrelated, and together they are the noise of the optimizer's gradient.
    """

    parts: int = eqx.field(static=True)
    draws: PickDraws

    def start(self, key, dim, members):
        return key

    def draw(self, state, index, dim, members, dtype):
        one, two = jax.random.split(jax.random.fold_in(state, index))
        batch = self.draws.draw(one, (), members, dtype)
        return Reweighting(
            batch, jax.random.normal(two, (self.parts, 2, self.draws.size, members), dtype)
        ), state

    def gradient(self, chain, params, draw):
        return _finite_sum(chain).batch_gradient(params, draw.batch)

    def part_drivers(self, draw: Reweighting) -> Float[Array, "part two size"]:
        size, batch = self.draws.size, self.draws.batch_size
        spread = math.sqrt(size / batch * (1.0 if self.draws.replacement else (size - batch) / (size - 1)))
        normals = draw.normals
        weights = spread * (normals - jnp.mean(normals, axis=-1, keepdims=True))
        own = jnp.zeros(size, weights.dtype).at[draw.batch].add(size / batch) - 1
        matrix = jnp.asarray(hadamard(self.parts) / np.sqrt(self.parts), weights.dtype)
        return weights.at[:, 0].set(matrix @ weights[:, 0].at[0].set(own))

    def noise(self, equation: OnState, number: Scalar, z: Slots, draw: Any, driver: Any) -> Slots:
        """Not told apart from the drift: see `substep`."""
        raise NotImplementedError


def substep(
    equation: OnState, number: Scalar, dt: Scalar, z: Slots, weights: Float[Array, "two size"], whole: bool
) -> Slots:
    """The state after `dt` steps of the optimizer, driven by the weights of the noise and by fresh ones.

    A substep that is the `whole` step, dt = 1, is `z + D_a`: its second noise need not be looked at.
    """
    if isinstance(equation, PublishedEquation):
        return _published_substep(equation, number, dt, z, weights)
    total, fresh = weights
    one, other = (fresh + total) / math.sqrt(2), (fresh - total) / math.sqrt(2)
    if equation.weak_order == 1:
        if whole and equation.stochastic:
            (here,) = _increments(equation.chain, number, z, one[None])
            return z + here
        here, there = _increments(equation.chain, number, z, jnp.stack([one, other]))
        drift = 0.5 * (here + there)
    else:
        (there,) = _increments(equation.chain, number, z, other[None])

        def along(number: Scalar, z: Slots) -> Slots:
            return _increments(equation.chain, number, z, one[None])[0]

        here, bend = jax.jvp(along, (number, z), (jnp.ones_like(number), there))
        drift = 0.5 * (here + there - bend)
    if not equation.stochastic:
        return z + dt * drift
    return z + dt * drift + jnp.sqrt(dt - 0.5 * dt**2) * (here - there) / math.sqrt(2)


def _increments(
    chain: Chain, number: Scalar, z: Slots, noises: Float[Array, "noise size"]
) -> tuple[Slots, ...]:
    """Of the optimizer under every noise, all from one forward pass."""
    gradients = _finite_sum(chain).weighted_gradients(z[0], _as_mean(1 + noises))
    return tuple(chain.increment(number, z, gradient) for gradient in gradients)


def _published_substep(equation: PublishedEquation, number: Scalar, dt: Scalar, z: Slots, weights) -> Slots:
    """Euler-Maruyama, where the variances a formula asks for are those of one fresh noise: right in the mean."""
    noise, fresh = _finite_sum(equation.chain).weighted_gradients(z[0], _as_mean(weights))
    drawn = eqx.tree_at(lambda e: e.chain.noise, equation, _Drawn(fresh**2))
    drift = drawn.step_drift(number, z.reshape(-1)).reshape(z.shape)
    return z + dt * drift + jnp.sqrt(dt) * drawn.step_noise(number, z, noise[None])


def _as_mean(weights: Float[Array, "two size"]) -> Float[Array, "two size"]:
    return weights / weights.shape[-1]


class _Drawn(eqx.Module):
    """A law of which a formula is told an estimate of the variances."""

    variance: Vector
    sampled = True
    constant = True

    def covariance(self, objective: Any, params: Vector) -> Vector:
        return self.variance


def reweighted(chain: Chain, large: int) -> bool:
    """Whether a chain's minibatches are those of a model with too many parameters for its examples' gradients."""
    return (
        isinstance(chain.noise, MinibatchNoise)
        and isinstance(chain.objective, FiniteSum)
        and chain.objective.dim > large
    )


def reweighting_driver(chain: Chain, parts: int) -> ReweightingDriver:
    """The driver of a chain at the rung to be run."""
    assert isinstance(chain.noise, MinibatchNoise)
    return ReweightingDriver(parts, chain.noise.draws(chain.objective))


def reweighted_equation(chain: Chain, weak_order: int, stochastic: bool) -> ModifiedEquation:
    """The equation whose coefficients are means over reweightings.

    Raises:
        DriftaxError: for order 2 of an update with kinks, or in the batch-equivalent regime.
    """
    if weak_order == 2:
        asked = f"the equation of order 2 of {chain.optimizer.name} under reweighted examples"
        if not shape_of(chain, chain.objective.dim or 2).smooth:
            raise DriftaxError(
                asked,
                "a step with kinks (sign, clip, max), whose mean has no derivative draw by draw",
                'models = ["derived-1"], or a Gaussian gradient law',
            )
        if chain.regime is Regime.BATCH_EQUIVALENT:
            raise DriftaxError(
                asked,
                "the batch-equivalent regime, where it needs third derivatives of the loss",
                'models = ["derived-1"], or name = "ballistic" in [regime]',
            )
    record = Record(
        chain.optimizer.name,
        type(chain.objective).__name__,
        type(chain.noise).__name__,
        chain.regime.value,
        "natural",
        0,
        "means over random reweightings of the examples",
        "one pass through the data per substep",
    )
    return ModifiedEquation(chain, None, weak_order, Method.FINITE_STEP, 0, stochastic, False, record)


def _finite_sum(chain: Chain) -> FiniteSum:
    assert isinstance(chain.objective, FiniteSum)
    return chain.objective
