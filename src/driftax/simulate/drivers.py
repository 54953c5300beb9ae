"""The randomness of one optimizer step, shared by the optimizer and by the equations beside it.

The optimizer and an equation must agree in law, not path by path; sharing the noise makes their difference
far less random than either. Two kinds of driver serve all gradient laws:

* Laws with densities: standard normals per part of a step. The optimizer is driven by their sum, so its gradient
  noise is the equation's own Brownian increment.
* Sampled laws (minibatches, recorded gradients): increments of the optimizer at the equation's own state, from
  the optimizer's draw and from fresh ones. They are centred with the mean over *fresh* draws, never with the
  compiler's own mean: centred with that, an error of the drift would cancel and a wrong equation look perfect.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.linalg import hadamard

from driftax._types import Key, Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.equation import ModifiedEquation
from driftax.equation.factor import channel_count, step_noise
from driftax.equation.published import PublishedEquation
from driftax.noise import AbstractContinuousNoise, AbstractDraws, AbstractSampledNoise
from driftax.simulate.normals import AbstractNormals, CounterNormals, FastNormals, Randomness
from driftax.simulate.sobol import SobolNormals

OnState: TypeAlias = ModifiedEquation | PublishedEquation  # on the state of the optimizer itself


class AbstractDriver(eqx.Module):
    """Draws for the members of one leaf; members stand on the last axis of every draw."""

    parts: eqx.AbstractVar[int]  # equal parts of an optimizer step told apart, a power of two

    @property
    def independent(self) -> bool:
        """Whether the members of a leaf are independent of each other."""
        return True

    @abc.abstractmethod
    def start(self, key: Key, dim: int, members: int) -> Any:
        """The state of a leaf's randomness before the first step."""

    @abc.abstractmethod
    def draw(self, state: Any, index: Array, dim: int, members: int, dtype: Any) -> tuple[Any, Any]:
        """What drives the optimizer step `index` of a leaf, and the state after it."""

    @abc.abstractmethod
    def gradient(self, chain: Chain, params: Vector, draw: Any) -> Vector:
        """The optimizer's stochastic gradient for one member."""

    @abc.abstractmethod
    def part_drivers(self, draw: Any) -> Float[Array, "part ..."]:
        """One driver of unit variance per part, for one member; sums of them drive coarser steps."""

    @abc.abstractmethod
    def noise(self, equation: OnState, number: Scalar, z: Slots, draw: Any, driver: Any) -> Slots:
        """The noise of one whole step of the equation for one member."""


class NormalDriver(AbstractDriver):
    """Standard normals [part, channel, dim]; channel 0 is the gradient noise itself."""

    parts: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    stream: AbstractNormals = CounterNormals()

    @property
    def independent(self) -> bool:
        return self.stream.independent

    def start(self, key, dim, members):
        return self.stream.start(key, (self.parts, self.channels, dim), members)

    def draw(self, state, index, dim, members, dtype):
        return self.stream.draw(state, index, (self.parts, self.channels, dim), members, dtype)

    def normals(self, draw: Float[Array, "part channel dim"]) -> Vector:
        """The standard normals of the optimizer's gradient noise."""
        return jnp.sum(draw[:, 0], axis=0) / math.sqrt(self.parts)

    def gradient(self, chain, params, draw):
        return chain.objective.gradient(params) + chain.noise.noise(
            chain.objective, params, self.normals(draw)
        )

    def part_drivers(self, draw):
        return draw

    def noise(self, equation, number, z, draw, driver):
        return step_noise(equation, number, z, driver)


class BatchDriver(AbstractDriver):
    """Draws [part, 1 + fresh] of a sampled law: draw (0, 0), a batch say, is the optimizer's own.

    The noise of part j is `sum_i H_ji zeta_i / sqrt(parts)` with a Hadamard matrix H and independent
    `zeta_i = (D(own_i) - mean_fresh D) sqrt(fresh / (fresh + 1))`: the parts are uncorrelated, each has the
    covariance of a step, and together they are zeta_0, which holds the optimizer's own draw.
    """

    parts: int = eqx.field(static=True)
    fresh: int = eqx.field(static=True)
    law: AbstractSampledNoise  # the optimizer's own, whatever an equation was made of
    draws: AbstractDraws

    def start(self, key, dim, members):
        return key

    def draw(self, state, index, dim, members, dtype):
        key = jax.random.fold_in(state, index)
        return self.draws.draw(key, (self.parts, 1 + self.fresh), members, dtype), state

    def gradient(self, chain, params, draw):
        own = jax.tree.map(lambda leaf: leaf[0, 0], draw)
        return self.law.gradient(chain.objective, params, own)

    def part_drivers(self, draw):
        return jnp.asarray(hadamard(self.parts) / np.sqrt(self.parts))

    def noise(self, equation, number, z, draw, driver):
        chain = equation.chain
        gradient = self.law.gradients(chain.objective, chain.params(z))
        if isinstance(equation, PublishedEquation):
            return equation.step_noise(number, z, self._centred(gradient, draw, driver)[None])
        if not equation.stochastic:
            return jnp.zeros_like(z)
        return self._centred(lambda drawn: chain.increment(number, z, gradient(drawn)), draw, driver)

    def _centred(self, function: Callable[[Any], Array], draw: Any, driver: Array) -> Array:
        """`sum_i H_ji zeta_i / sqrt(parts)` of a function of one draw."""
        values = jax.vmap(jax.vmap(function))(draw)
        scale = math.sqrt(self.fresh / (self.fresh + 1))
        zeta = scale * (values[:, 0] - jnp.mean(values[:, 1:], axis=1))
        return jnp.tensordot(driver.astype(zeta.dtype), zeta, 1)


def channels_of(equations: tuple[OnState, ...]) -> int:
    """Channels of normals that drive an optimizer and its equations."""
    return max([1, *(channel_count(e) for e in equations)])


def stream_for(
    randomness: Randomness, equations: tuple[OnState, ...], steps: int, members: int
) -> AbstractNormals:
    """The normals of leaves of `members` members that take `steps` steps."""
    if randomness is Randomness.SOBOL:
        return SobolNormals.of(steps, members)
    if randomness is Randomness.FAST:
        # The optimizer sees the first channel alone; the others drive weak schemes.
        return FastNormals((False,) + (True,) * (channels_of(equations) - 1))
    return CounterNormals()


def driver_for(
    chain: Chain,
    equations: tuple[OnState, ...],
    parts: int,
    fresh: int,
    stream: AbstractNormals | None = None,
) -> AbstractDriver:
    """The driver that fits a chain's gradient law.

    Args:
        chain: at the rung to be run (the batch size of a sampled law is a shape).
        equations: those that run beside it.
        parts: equal parts of an optimizer step told apart.
        fresh: fresh draws that centre the noise of a sampled law.
        stream: where normals come from; left out, counters.
    """
    if isinstance(chain.noise, AbstractContinuousNoise):
        return NormalDriver(parts, channels_of(equations), stream or CounterNormals())
    assert isinstance(chain.noise, AbstractSampledNoise)
    return BatchDriver(parts, fresh, chain.noise, chain.noise.draws(chain.objective))
