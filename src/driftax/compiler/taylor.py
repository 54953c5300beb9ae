"""The taylor method: the papers' exact coefficients `b0 + h b1` and `a0 + h a1`.

The step is expanded in r, the square root of the scale on the time step, with gradients measured in units of
1/r in the batch-equivalent regime (there the noise grows like 1/r). One Taylor-mode pass per quadrature node
gives every coefficient; what depends on the step's number (bias corrections) is kept at its actual value as
a function of time.

Source: callisti2025, first- and second-order equations of both regimes (re-derived).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Flat, Matrix, Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.finite_step import generator
from driftax.compiler.kinks import continuous_law
from driftax.compiler.step_moments import shape_of
from driftax.noise import sign_moments
from driftax.optimizer import SignSGD
from driftax.regime import Regime


class Series(NamedTuple):
    """Mean and covariance of one step at orders h, h^2, .. (h in units of the actual time step)."""

    mean: tuple[Flat, ...]
    covariance: tuple[Matrix, ...]


def series(chain: Chain, nodes: int, number: Scalar, flat: Flat, orders: int = 2) -> Series:
    """Expansion of the moments of one step at a state in the regime's units, to h^orders.

    Raises:
        DriftaxError: for logarithmic coordinates, or an optimizer whose numbers cannot be expanded.
    """
    if chain.log_second_moments:
        raise DriftaxError(
            "the taylor method in logarithmic coordinates", "log second moments", "method = finite-step"
        )
    z = flat.reshape(len(chain.slots), -1)
    shape = shape_of(chain, z.shape[1])
    if isinstance(chain.optimizer, SignSGD):
        return _sign_series(chain, z, orders)
    if shape.smooth and shape.elementwise:
        mean, channels, gram = _node_series(chain, nodes, number, z, 2 * orders)
        return Series(
            tuple(mean[2 * k].reshape(-1) for k in range(1, orders + 1)),
            tuple(_covariance_coefficient(channels, gram, 2 * k) for k in range(1, orders + 1)),
        )
    what = "coordinates that mix" if shape.mixing else "a step with kinks other than SignSGD's"
    raise DriftaxError(f"the taylor method for {chain.optimizer.name}", what, "method = finite-step")


def _node_series(chain: Chain, nodes: int, number: Scalar, z: Slots, degree: int):
    """Coefficients in r of the mean [degree, slot, dim] and the channels [degree, channel, slot, dim]."""
    batch = chain.regime is Regime.BATCH_EQUIVALENT
    # In units of 1/r a first moment of fixed size is r * mu: its coefficients are shifted by its power.
    powers = [power if batch and power == 1 else 0 for power in chain.optimizer.slots.values()]
    clock = chain.optimizer.clock(number)
    gradient = chain.gradient(z)
    real = chain.optimizer.pack(chain.real(z))
    rule = chain.noise.rule(chain.objective, chain.params(z), nodes)

    def increment(root_scale, node):
        optimizer = chain.optimizer.rescaled_at(root_scale, chain.regime)
        scaled = jnp.stack([row * root_scale**p if p else row for row, p in zip(real, powers, strict=True)])
        noisy = gradient * root_scale + node if batch else gradient + node
        after = optimizer.advance(clock, optimizer.unpack(scaled), noisy)
        return (optimizer.pack(after) - scaled) * chain.units

    most = degree + max(powers)
    coefficients = jax.vmap(lambda node: _taylor(lambda r: increment(r, node), most))(rule.nodes)
    # coefficients: [node, degree, slot, dim]
    shifted = jnp.stack(
        [coefficients[:, p : p + degree + 1, s] for s, p in enumerate(powers)], axis=2
    )  # [node, degree, slot, dim]
    mean = jnp.einsum("ji,jksi->ksi", rule.weights, shifted)
    if rule.complete:
        channels = jnp.einsum("nji,ji,jksi->knsi", rule.polynomials, rule.weights, shifted)
    else:  # every node is a channel
        channels = jnp.moveaxis(jnp.sqrt(rule.weights)[:, None, None, :] * (shifted - mean[None]), 0, 1)
    return mean, channels, chain.noise.gram(chain.objective, chain.params(z), nodes)


def _covariance_coefficient(channels, gram, degree: int) -> Matrix:
    _, _, slots, dim = channels.shape
    total = jnp.zeros((slots * dim, slots * dim), channels.dtype)
    for left in range(degree + 1):
        a, b = channels[left], channels[degree - left]
        if gram is None:
            product = jnp.einsum("nsi,nti,ij->sitj", a, b, jnp.eye(dim))
        else:
            product = jnp.einsum("msi,mnij,ntj->sitj", a, gram, b)
        total = total + product.reshape(slots * dim, slots * dim)
    return total


def _sign_series(chain: Chain, z: Slots, orders: int) -> Series:
    """The same for a sign step, from its exact moments."""
    batch = chain.regime is Regime.BATCH_EQUIVALENT
    sign, params, noise = chain.optimizer, chain.params(z), continuous_law(chain)

    def moments(root_scale):
        optimizer = sign.rescaled_at(root_scale, chain.regime)
        assert isinstance(optimizer, SignSGD)
        inside, outside = optimizer.decays(params)
        # sign(r f + r inside + noise): the drift part of the gradient is what shrinks.
        shift = inside + (root_scale - 1) * chain.objective.gradient(params) if batch else inside
        law = sign_moments(noise, chain.objective, params, shift)
        covariance = jnp.diag(law.covariance) if law.covariance.ndim == 1 else law.covariance
        rate = optimizer.learning_rate
        return jnp.concatenate([-rate * (law.mean + outside), (rate**2 * covariance).reshape(-1)])

    coefficients = _derivatives(moments, 2 * orders)[2::2]
    dim = params.shape[0]
    return Series(
        tuple(row[:dim] for row in coefficients), tuple(row[dim:].reshape(dim, dim) for row in coefficients)
    )


def _taylor(function, degree: int) -> Float[Array, "degree ..."]:
    """Taylor coefficients of a function of one number at 0, in one Taylor-mode pass."""
    value, derivatives = jet(function, (jnp.asarray(0.0),), ([1.0] + [0.0] * (degree - 1),))
    factorials = [math.factorial(k) for k in range(1, degree + 1)]
    return jnp.stack([value, *(d / f for d, f in zip(derivatives, factorials, strict=True))])


def _derivatives(function, degree: int) -> Float[Array, "degree ..."]:
    """The same by nested derivatives: slower, but the distribution of a gradient law may have rules of its own."""

    def known(root_scale):
        return (function(root_scale),)

    for _ in range(degree):

        def more(root_scale, known=known):
            values, slopes = jax.jvp(known, (root_scale,), (jnp.ones_like(root_scale),))
            return (*values, slopes[-1])

        known = more
    values = known(jnp.asarray(0.0))
    return jnp.stack([value / math.factorial(k) for k, value in enumerate(values)])


def drift(chain: Chain, order: int, nodes: int, number: Scalar, flat: Flat) -> Flat:
    """`h b0`, or `h b0 + h^2 b1` at order 2: the drift per step."""
    if order == 1:
        return series(chain, nodes, number, flat, orders=1).mean[0]
    expansion = series(chain, nodes, number, flat)
    first, second = expansion.mean

    def leading(step: Scalar, point: Flat) -> Flat:
        return series(chain, nodes, step, point, orders=1).mean[0]

    # The ballistic noise of a step is O(h): it takes no part in the leading generator.
    moments = expansion.covariance[0] if chain.regime is Regime.BATCH_EQUIVALENT else None
    return first + second - 0.5 * generator(leading, number, flat, first, moments)


def covariance(chain: Chain, order: int, nodes: int, number: Scalar, flat: Flat) -> Matrix:
    """`h a0 + h^2 a1`: the covariance per step (a0 = 0 in the ballistic regime; order 1 keeps a0 or a1)."""
    if chain.regime is Regime.BALLISTIC:
        return series(chain, nodes, number, flat).covariance[1]
    if order == 1:
        return series(chain, nodes, number, flat, orders=1).covariance[0]
    expansion = series(chain, nodes, number, flat)
    first, second = expansion.covariance

    def mean(point: Flat) -> Flat:
        return series(chain, nodes, number, point, orders=1).mean[0]

    def leading(step: Scalar, point: Flat) -> Matrix:
        return series(chain, nodes, step, point, orders=1).covariance[0]

    mixed = jax.jacfwd(mean)(flat) @ first
    correction = generator(leading, number, flat, expansion.mean[0], first)
    return first + second - 0.5 * (mixed + mixed.T) - 0.5 * correction
