r"""Controls beside an extended equation: responses to the square noises of optimizer and equation, to second order.

The second moment's noise moves the drift and the noise of the params, so what the coupling of W leaves in `|params|^2`
is a product of both. Along the deterministic path z of the other controls, with A = I + J the Jacobian of the mean
state after a step, H the second derivatives of the mean step and n the standardised gradient noise, one step is

    r' = A r + c_1 n                                        (linear response)
    d' = A d + c_2 q,          q = p_2(n)                   (optimizer)
    e' = A e + c_2 q,          q = mean p_2(y)              (equation; over the step)
    s' = A s + (dc_1/dz . d) n + H[d, r]                    (second order; the same with e)

n is independent of what came before, y is stationary, and p_2 is even where r is odd in the noise: the means of d, e,
s, `r d` and `r e` are exactly 0. That of `r s` is T, where T and `Q = E[r r d]` follow from Gaussian moments alone,

    T' = A T A^T + A (H : Q),      Q' = A A A Q + sqrt(2) c_2 mean Cov(r', y) Cov(r', y)     (n for y: optimizer).

Source: re-derived (control variates).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Flat, Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.step_moments import flat_mean, step_moments
from driftax.equation.extended import ExtendedEquation, square_noise

_NODES = 3
LARGEST_STATE = 12  # third moments of the whole state are kept
COLUMNS = 8  # of controls per coordinate of the state


class Response(NamedTuple):
    """The responses d and s [state, member] to one square noise, and the means Q and T."""

    first: Float[Array, "state member"]
    second: Float[Array, "state member"]
    third_moment: Float[Array, "state state state"]
    mixed_moment: Float[Array, "state state"]


class ColouredControls(NamedTuple):
    """The linear response, those to both square noises, and `Cov(r, y)`."""

    linear: Float[Array, "state member"]
    with_y: Float[Array, "state dim"]
    optimizer: Response
    equation: Response

    def rows(self) -> Float[Array, "column member"]:
        """What has mean 0."""
        rows = []
        for response in (self.optimizer, self.equation):
            mean = jnp.diagonal(response.mixed_moment)[:, None]
            rows += [response.first, response.second, self.linear * response.first]
            rows.append(self.linear * response.second - mean)
        return jnp.concatenate(rows)


def start_coloured(state: int, dim: int, members: int, dtype) -> ColouredControls:
    """No response yet."""
    zero = jnp.zeros((state, members), dtype)
    none = Response(zero, zero, jnp.zeros((state,) * 3, dtype), jnp.zeros((state,) * 2, dtype))
    return ColouredControls(zero, jnp.zeros((state, dim), dtype), none, none)


def advance_coloured(
    controls: ColouredControls,
    equation: ExtendedEquation,
    number: Scalar,
    path: Slots,
    y: Float[Array, "dim member"],
    draw: Float[Array, "part channel dim member"],
) -> ColouredControls:
    """The controls after one optimizer step.

    Args:
        controls: before it.
        equation: the extended equation, on its rung.
        number: of the step.
        path: the deterministic state [slot, dim] around which the responses are taken.
        y: the coloured noise of the members at the start of the step.
        draw: the normals that drive the step.
    """
    chain, flat = equation.chain, path.reshape(-1)
    slots, dim = path.shape
    first, second = _channels(chain, number, flat)
    mean = flat_mean(chain, _NODES)
    after = jnp.eye(flat.size, dtype=flat.dtype) + jax.jacfwd(lambda z: mean(number, z))(flat)
    curved = jax.jacfwd(jax.jacfwd(lambda z: mean(number, z)))(flat)
    moving = jax.jacfwd(lambda z: _channels(chain, number, z)[0])(flat)
    normals = jnp.sum(draw[:, 0], axis=0) / math.sqrt(draw.shape[0])
    noise = jax.vmap(equation.correlated, in_axes=-1, out_axes=-1)(normals)
    coloured = jax.vmap(equation.path_of, in_axes=-1, out_axes=-1)(y, draw)
    linear = controls.linear

    root = jax.vmap(equation.correlated, in_axes=1, out_axes=1)(jnp.eye(dim, dtype=flat.dtype))
    own = jnp.tile(first, (dim, 1)).T * jnp.tile(root @ root.T, (slots, 1))  # Cov(c_1 n, n)
    forgotten = jnp.exp(-jnp.linspace(0.0, 1.0, coloured.shape[0], dtype=flat.dtype))[:, None, None]
    with_y = (
        forgotten * (after @ controls.with_y)[None] + (1 - forgotten) * own[None]
    )  # Cov(r', y) in the step

    def moved(response: Response, square, covariances) -> Response:
        """One step; `square` [time, dim, member] and `covariances` [time, state, dim] are averaged in time."""
        average = _trapezoid(square)
        kick = second[:, None] * jnp.tile(average, (slots, 1))
        pairs = _trapezoid(jnp.einsum("tik,tjk->tijk", covariances, covariances))
        third = jnp.einsum("ia,jb,kc,abc->ijk", after, after, after, response.third_moment)
        third = third + math.sqrt(2.0) * jnp.tile(pairs, (1, 1, slots)) * second[None, None, :]
        mixed = jnp.einsum("bcd,adc->ab", curved, response.third_moment)  # E[r_a H_b[d, r]]
        return Response(
            after @ response.first + kick,
            after @ response.second
            + (moving @ response.first) * jnp.tile(noise, (slots, 1))
            + jnp.einsum("bcd,cm,dm->bm", curved, response.first, linear),
            third,
            after @ response.mixed_moment @ after.T + after @ mixed,
        )

    return ColouredControls(
        after @ linear + first[:, None] * jnp.tile(noise, (slots, 1)),
        with_y[-1],
        moved(controls.optimizer, square_noise(noise)[None], own[None]),
        moved(controls.equation, square_noise(coloured), with_y),
    )


def _trapezoid(values: Array) -> Array:
    """The mean over the first axis by the trapezoidal rule; of one value, that value."""
    return jnp.mean(0.5 * (values[:-1] + values[1:]), axis=0) if len(values) > 1 else values[0]


def _channels(chain: Chain, number: Scalar, flat: Flat) -> tuple[Flat, Flat]:
    z = flat.reshape(len(chain.slots), -1)
    channels = step_moments(chain, number, z, _NODES, joint=False).channels
    return channels[0].reshape(-1), channels[1].reshape(-1)
