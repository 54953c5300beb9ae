"""Mean-zero controls: linear responses of the optimizer and of the equation to noise they do not share.

The optimizer's squared gradient noise and the Brownian motion that stands for it in the equation are
independent, so the coupling does nothing for the second moment. Both act almost linearly. The controls are

    u' = (I + J) u + c_2(z) p_2(noise)        (optimizer: the quadratic channel of its own gradient noise)
    w' = (I + J) w + c_2(z) (root_2 xi_2)     (equation: its own second channel)

along the deterministic mean path z, with J the Jacobian of the mean step. Their mean is exactly 0, whatever
the path, so regressing on them removes noise and adds no bias.

Source: re-derived (control variates by linear response).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.step_moments import flat_mean, shape_of, step_moments
from driftax.noise import AbstractContinuousNoise
from driftax.simulate.drivers import AbstractDriver, NormalDriver

_NODES = 3
_LARGEST_STATE = 64  # a Jacobian of the whole state is taken once per step and leaf


class Controls(NamedTuple):
    """The mean path [slot, dim] and the responses of optimizer and equation [state, member]."""

    path: Slots
    optimizer: Float[Array, "state member"]
    equation: Float[Array, "state member"]


def has_controls(chain: Chain, driver: AbstractDriver, state: int) -> bool:
    """Whether an equation beside the chain has a noise of its own, a second channel, to be controlled."""
    law = chain.noise
    if not (isinstance(driver, NormalDriver) and driver.channels > 1):
        return False
    if not (isinstance(law, AbstractContinuousNoise) and law.gaussian):
        return False
    rooted = law.independent or law.roots is not None
    shape = shape_of(chain, state // len(chain.slots))
    plain = shape.elementwise and shape.smooth
    return plain and len(chain.slots) > 1 and rooted and state <= _LARGEST_STATE


def start_controls(z: Float[Array, "slot dim member"]) -> Controls:
    """No response yet, around the mean of the members."""
    zero = jnp.zeros((z.shape[0] * z.shape[1], z.shape[2]), z.dtype)
    return Controls(jnp.mean(z, axis=-1), zero, zero)


def advance_controls(
    controls: Controls, chain: Chain, number: Scalar, draw: Float[Array, "part channel dim member"]
) -> Controls:
    """The controls after one optimizer step driven by `draw`."""
    path = controls.path
    flat = path.reshape(-1)
    mean = flat_mean(chain, _NODES)
    step = mean(number, flat)
    response = jnp.eye(flat.size, dtype=flat.dtype) + jax.jacfwd(lambda y: mean(number, y))(flat)
    channel = step_moments(chain, number, path, _NODES, joint=False).channels[1]
    normals = jnp.sum(draw, axis=0) / math.sqrt(draw.shape[0])
    linear, second = normals[0], normals[1]
    law = chain.noise
    roots = law.roots if isinstance(law, AbstractContinuousNoise) else None
    if roots is not None:
        roots = roots.astype(flat.dtype)
        linear, second = roots[0] @ linear, roots[1] @ second
    quadratic = (linear**2 - 1) / math.sqrt(2.0)

    def moved(response_so_far, noise):
        kick = channel[:, :, None] * noise[None]
        return response @ response_so_far + kick.reshape(flat.size, -1)

    return Controls(
        path + step.reshape(path.shape),
        moved(controls.optimizer, quadratic),
        moved(controls.equation, second),
    )
