"""The first two moments of one step, and the noise channels that make them.

Source: architecture of the library; the chaos expansion of a coordinate-wise map is classical (re-derived).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Flat, Matrix, Scalar, Slots
from driftax.chain import Chain
from driftax.optimizer import SignSGD


class StepMoments(eqx.Module):
    """Mean and covariance of one step D.

    `D = mean + sum_n channels[n] * p_n(z)` with channels of shape [channel, slot, dim]; `gram` are the
    cross moments of the p_n between coordinates (None: independent), `remainder` a covariance of shape
    [slot dim, slot dim] the channels leave out (None: nothing).
    """

    mean: Slots
    channels: Float[Array, "channel slot dim"]
    gram: Float[Array, "channel channel dim dim"] | None
    remainder: Float[Array, "state state"] | None

    def covariance(self) -> Matrix:
        """The covariance of D over the flat state [slot * dim]."""
        _, slots, dim = self.channels.shape
        if self.gram is None:
            dense = jnp.einsum("nsi,nti,ij->sitj", self.channels, self.channels, jnp.eye(dim))
        else:
            dense = jnp.einsum("msi,mnij,ntj->sitj", self.channels, self.gram, self.channels)
        dense = dense.reshape(slots * dim, slots * dim)
        return dense if self.remainder is None else dense + self.remainder


def node_increments(chain: Chain, number: Scalar, z: Slots, nodes) -> Float[Array, "node slot dim"]:
    """The step at every quadrature node of the gradient noise [node, dim]."""
    gradient = chain.gradient(z)
    return jax.vmap(lambda node: chain.increment(number, z, gradient + node))(nodes)


def step_moments(chain: Chain, number: Scalar, z: Slots, nodes: int, joint: bool = True) -> StepMoments:
    """Moments of one step at state z by one-coordinate quadrature.

    The cost is linear in the dimension for independent coordinates (and for the mean always).

    Args:
        chain: the optimizer on its rung.
        number: how many steps were taken before; may be fractional.
        z: the state [slot, dim].
        nodes: quadrature nodes per coordinate, where the law leaves a choice.
        joint: whether the cross moments between coordinates are wanted.
    """
    params = chain.params(z)
    if not chain.optimizer.smooth:
        return _sign_moments(chain, z)
    rule = chain.noise.rule(chain.objective, params, nodes)
    increments = node_increments(chain, number, z, rule.nodes)
    mean = jnp.einsum("ji,jsi->si", rule.weights, increments)
    channels = jnp.einsum("nji,ji,jsi->nsi", rule.polynomials, rule.weights, increments)
    gram = chain.noise.gram(chain.objective, params, nodes) if joint else None
    return StepMoments(mean, channels, gram, None)


def sign_optimizer(chain: Chain) -> SignSGD:
    """The optimizer of a chain whose step is not smooth: the sign is the only such step integrated so far.

    Raises:
        DriftaxError: for any other.
    """
    if not isinstance(chain.optimizer, SignSGD):
        raise DriftaxError(
            f"the moments of one step of {chain.optimizer.name}",
            "a step that is not a smooth function of the gradient",
            "SignSGD, or an optimizer whose step is smooth",
        )
    return chain.optimizer


def _sign_moments(chain: Chain, z: Slots) -> StepMoments:
    """Exact moments of a sign step: integrated before anything is differentiated."""
    optimizer, params = sign_optimizer(chain), chain.params(z)
    inside, outside = optimizer.decays(params)
    moments = chain.noise.sign_moments(chain.objective, params, inside)
    rate = optimizer.learning_rate
    mean = -rate * (moments.mean + outside)
    linear = -rate * moments.linear
    if moments.covariance.ndim == 1:
        rest = rate * jnp.sqrt(jnp.maximum(moments.covariance - moments.linear**2, 1e-300))
        return StepMoments(mean[None], jnp.stack([linear, rest])[:, None, :], None, None)
    covariance = rate**2 * moments.covariance
    return StepMoments(mean[None], jnp.zeros((1, 1, len(params))), None, covariance)


def flat_mean(chain: Chain, nodes: int):
    """The mean step as a function of (number, flat state)."""

    def mean(number: Scalar, flat: Flat) -> Flat:
        z = flat.reshape(len(chain.slots), -1)
        return step_moments(chain, number, z, nodes, joint=False).mean.reshape(-1)

    return mean


def flat_covariance(chain: Chain, nodes: int):
    """The covariance of a step as a function of (number, flat state)."""

    def covariance(number: Scalar, flat: Flat) -> Matrix:
        z = flat.reshape(len(chain.slots), -1)
        return step_moments(chain, number, z, nodes).covariance()

    return covariance
