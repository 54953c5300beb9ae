"""Whether a step has the moments an equation needs: they exist, they shrink, a joint quadrature finds them."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import flat_mean, node_increments, shape_of, step_moments
from driftax.noise import AbstractContinuousNoise
from driftax.optimizer.structure import growth
from driftax.regime import Regime

_SHARE = 0.05  # of the second-order correction: what the error of a joint quadrature may be
_MEAN_SHARE = 0.01  # of the mean step: the same for an equation of order 1
_RUNGS = (1 / 16, 1 / 256)  # on which steps are compared
_DRIFT_SHRINKS = 0.125  # the same for the mean step, which falls by 16
_SHRINKS = 0.5  # the factor by which every step falls between them at least (1/4 in the slower regime)


def needed_dof(power: int, weak_order: int, regime: Regime) -> float:
    """The order of moments an equation needs, for a step that grows with that power of the gradient.

    Source: re-derived. A one-step moment of order p + 1 must exist in the ballistic regime; in the
    batch-equivalent one third moments must vanish and fourth ones exist at order 1, and no law with power
    tails is of order 2.
    """
    if power == 0:
        return 0.0
    if regime is Regime.BALLISTIC:
        return float((weak_order + 1) * power)
    return 4.0 if weak_order == 1 else math.inf


def check_moments(chain: Chain, weak_order: int) -> None:
    """Refuses an order for which the gradient law has too few moments.

    Raises:
        DriftaxError: with the moments needed and the ones there are.
    """
    dof = chain.noise.dof
    if math.isinf(dof):
        return
    powers = growth(chain.optimizer, chain.objective.dim or 2)
    slot = max(powers, key=lambda name: powers[name])
    power = powers[slot]
    needed = needed_dof(power, weak_order, chain.regime)
    if dof > needed:
        return
    first = needed_dof(power, 1, chain.regime)
    contains = {1: "is linear in", 2: "contains the square of"}.get(power, f"grows like the power {power} of")
    why = f"{'the step' if slot == 'params' else slot} {contains} the gradient"
    many = (
        "more degrees of freedom than any"
        if math.isinf(needed)
        else f"more than {needed:g} degrees of freedom"
    )
    other = f"weak_order = 1 (more than {first:g} suffice), or " if dof > first else ""
    end = "" if dof > first else ": there is no diffusion limit" if dof <= 2 else ""
    raise DriftaxError(
        f"`derive(weak_order={weak_order})` of {chain.optimizer.name} in the {chain.regime.value} regime",
        f"a gradient law with {dof:g} degrees of freedom where {many} are needed ({why}{end})",
        f"{other}a sign or clipped optimizer without slow moments, such as SignSGD (any degrees of freedom)",
    )


def integration_error(chain: Chain, number: Scalar, z: Slots, nodes: int) -> float | None:
    """The error of the mean step by joint quadrature, as a share of its largest entry; None where none is used.

    It is the change of the mean when the nodes are rotated in the space of the normals, which leaves their law as
    it is; for a law without normals the standard error over its frozen draws.
    """
    if shape_of(chain, z.shape[1]).elementwise:
        return None
    return _share(*_mean_and_error(chain, number, z, nodes))


def _share(mean: Slots, error: Slots) -> float:
    return float(jnp.max(jnp.abs(error)) / jnp.maximum(jnp.max(jnp.abs(mean)), 1e-300))


def check_slow(chain: Chain, number: Scalar, z: Slots, nodes: int) -> None:
    """Refuses a state without a limit: a step that stays as large, or a drift that diverges, as the time step falls.

    Raises:
        DriftaxError: with the slot.
    """
    here, coarse, fine = (
        np.asarray(_sizes(chain.at(s), jnp.asarray(number / s, float), z, nodes)) for s in (1.0, *_RUNGS)
    )
    for slot, own, (before, mean_before), (after, mean_after) in zip(
        chain.slots, here, coarse, fine, strict=True
    ):
        if not np.isfinite([*own, after]).all():
            raise not_finite(f"the equation of {chain.optimizer.name}", f" of {slot}")
        if after > _SHRINKS * before and after > 1e-9:
            raise DriftaxError(
                f"the equation of {chain.optimizer.name} in the {chain.regime.value} regime",
                f"a state ({slot}) that moves by {after:.2g} in a step however small the time step is: it is not slow, "
                "and no equation on this state follows it",
                "an optimizer without a memory of the last step alone, or a family(s) in which its memory grows",
            )
        if mean_after > _DRIFT_SHRINKS * mean_before and mean_after > 1e-9:
            power = math.log(max(mean_before, 1e-300) / mean_after) / math.log(_RUNGS[0] / _RUNGS[1])
            raise DriftaxError(
                f"the equation of {chain.optimizer.name} in the {chain.regime.value} regime",
                f"a mean step of {slot} that falls like the power {power:.2f} of the time step: its drift diverges, as "
                "where a slow average is normalised",
                "the other regime, or a family(s) whose mean step falls like the time step",
            )


def not_finite(asked: str, what: str = "") -> DriftaxError:
    """The refusal of a state at which moments of one step are infinite or undefined."""
    return DriftaxError(
        f"{asked} at a state",
        f"moments of one step{what} that are not finite there",
        "a state with second moments above 0, as a handover gives",
    )


@eqx.filter_jit
def _sizes(chain: Chain, number: Scalar, z: Slots, nodes: int):
    """The root mean square and the mean of a step [slot, 2], of the largest coordinate."""
    moments = step_moments(chain, number, z, nodes)
    square = jnp.diagonal(moments.covariance()).reshape(z.shape) + moments.mean**2
    return jnp.sqrt(jnp.stack([jnp.max(square, axis=1), jnp.max(moments.mean**2, axis=1)], axis=1))


def check_integration(chain: Chain, weak_order: int, number: Scalar, z: Slots, nodes: int) -> float | None:
    """Refuses an order that a joint quadrature does not resolve; else its `integration_error`.

    Raises:
        DriftaxError: with the error and the correction.
    """
    if shape_of(chain, z.shape[1]).elementwise:
        return None
    mean, error = _mean_and_error(chain, number, z, nodes)
    number, flat = jnp.asarray(number, dtype=float), z.reshape(-1)
    function = flat_mean(chain, nodes)
    what, wanted, share = "mean step", mean, _MEAN_SHARE
    if weak_order == 2:
        what, share = "correction of order 2", _SHARE
        wanted = 0.5 * generator(function, number, flat, function(number, flat), None)
    off, size = float(jnp.max(jnp.abs(error))), float(jnp.max(jnp.abs(wanted)))
    if off <= share * size:
        return _share(mean, error)
    raise DriftaxError(
        f"`derive(weak_order={weak_order})` of {chain.optimizer.name}",
        f"coordinates that mix ({shape_of(chain, z.shape[1]).mixing}), whose mean step the gradient law integrates "
        f"only to {off:.1e}, where the {what} is {size:.1e}",
        ("weak_order = 1, " if weak_order == 2 else "")
        + "fewer parameters, a step that is smoother where the gradient vanishes, or more nodes (nodes = 31)",
    )


def _mean_and_error(chain: Chain, number: Scalar, z: Slots, nodes: int):
    number, params = jnp.asarray(number, dtype=float), chain.params(z)
    rule = chain.noise.joint(chain.objective, params, nodes)
    moments = step_moments(chain, number, z, nodes)
    mean = moments.mean
    if rule.normals is None:
        return mean, jnp.sqrt(jnp.diagonal(moments.covariance()).reshape(z.shape) / len(rule.weights))
    law, dim = chain.noise, params.shape[0]
    assert isinstance(law, AbstractContinuousNoise)
    rotation = np.linalg.qr(np.random.default_rng(1).standard_normal((dim, dim)))[0] if dim > 1 else np.eye(1)
    turned = jax.vmap(lambda normal: law.noise(chain.objective, params, normal))(
        rule.normals @ jnp.asarray(rotation, z.dtype)
    )
    other = jnp.einsum("q,qsi->si", rule.weights, node_increments(chain, number, z, turned))
    return mean, other - mean
