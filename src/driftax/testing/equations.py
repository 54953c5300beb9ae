"""The equations of a rule: the exact mean of a step, and the one-step certificate."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Slots
from driftax.chain import Chain
from driftax.compiler.integration import check_slow, integration_error
from driftax.compiler.step_moments import flat_mean, node_increments, shape_of
from driftax.equation import ModifiedEquation, derive, local_order
from driftax.equation.derivation import NODES
from driftax.noise import GaussianNoise
from driftax.objective import DoubleWell
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer._base import is_decay
from driftax.regime import Regime
from driftax.testing.arithmetic import numbers_as
from driftax.testing.ladder import refusal
from driftax.testing.probe import stepped
from driftax.testing.report import Row

_VARIANCE = 0.3
_PARAMS = 1.3  # where the double well has a gradient of 0.9
_TIME_STEP = 0.1  # of the rung that is looked at, where the decays allow it
_GRID = 200_001  # normal scores of the plain quadrature
_MEAN_CLOSE = 2e-4  # of the size of a step: what that quadrature gets wrong at a jump
_SLOPE_CLOSE = 1e-5
_RUNGS = (1 / 16, 1 / 256)
_SHIFT = 1e-3  # of a coordinate, for finite differences
_APART = 0.02  # by which slots are moved apart: a maximum that has just been reached is a kink
_ORDER_CLOSE = 0.15


def check_mean(optimizer: AbstractOptimizer, at: Slots | None, step: float) -> list[Row]:
    """Refuses a state that is not slow, and a mean of one step that is not found by the compiler's quadrature."""
    regimes = [regime for regime in Regime if refusal(optimizer, regime) is None]
    if not regimes:
        return []
    regime = regimes[0]
    chain, z = _scene(optimizer, regime, at, step)
    check_slow(chain, step, z, NODES)
    limit = _check_limit(chain, step, z)
    shape = shape_of(chain, z.shape[1])
    if not shape.elementwise:
        error = integration_error(chain, step, z, NODES)
        return [limit, Row("mean step", "integrated jointly; error relative to it", error)]
    number, flat = jnp.asarray(step, float), z.reshape(-1)
    mean = jax.jit(flat_mean(chain, NODES))
    found = mean(number, flat)
    plain, size = _plain_mean(chain, number, z)
    off = float(jnp.max(jnp.abs(found - plain) / (size + 1e-300)))
    if not off <= _MEAN_CLOSE:
        raise DriftaxError(
            f"the mean of one step of {optimizer.name}",
            f"an error of {off:.2g} of a step by {'quadrature between kinks' if shape.switches else f'{NODES} nodes'}: "
            "the step has features that are narrower than the gradient noise",
            "a smoother step, or a kink written with jnp.sign, jnp.clip, jnp.maximum or jnp.where",
        )
    slope = jax.jacfwd(lambda y: mean(number, y))(flat)
    shift = _SHIFT * jnp.maximum(jnp.abs(flat), 1e-6)
    difference = jnp.abs(slope - _differences(mean, number, flat, shift)) * shift[None]
    apart = float(jnp.max(difference) / (jnp.max(jnp.abs(slope) * shift[None]) + 1e-300))
    if not apart <= _SLOPE_CLOSE:
        raise DriftaxError(
            f"the derivative of the mean step of {optimizer.name}",
            f"a difference of {apart:.2g}, relative, between automatic and finite differences",
            "no jax.lax.stop_gradient and no custom derivative in `update`; another state `at`, away from kinks of the "
            "state itself",
        )
    return [
        limit,
        Row("mean step", "agrees with a plain sum over 200,001 gradients", off),
        Row("its derivative", "agrees with finite differences", apart),
    ]


def _check_limit(chain: Chain, step: float, z: Slots) -> Row:
    """Refuses a drift of the params that vanishes as the time step falls."""
    means = eqx.filter_jit(lambda rung, number: flat_mean(rung, NODES)(number, z.reshape(-1))[: z.shape[1]])
    drifts = []
    for scale in _RUNGS:
        rung = chain.at(jnp.asarray(scale))
        drifts.append(float(jnp.max(jnp.abs(means(rung, jnp.asarray(step / scale))))) / float(rung.time_step))
    ratio = drifts[1] / (drifts[0] + 1e-300)
    if drifts[0] > 0 and ratio < 0.5:
        raise DriftaxError(
            f"the drift of {chain.optimizer.name} at one time on finer and finer rungs",
            f"a mean step of the params that vanishes faster than the time step: by {ratio:.2g} of it from rung "
            f"{_RUNGS[0]:g} to rung {_RUNGS[1]:g}",
            "Role.RATE for a number that counts steps (as in 1 / (1 + rate * step)), or `Scheduled`",
        )
    return Row("limit of the drift", "there is one: its ratio on the rungs 1/256 and 1/16", ratio)


def check_certificate(optimizer: AbstractOptimizer, at: Slots | None, step: float) -> list[Row]:
    """Refuses a rule whose equations are not of the order they claim; says which equations there are.

    Order 2 in the batch-equivalent regime may be refused or not reached: few rules have it.
    """
    rows = []
    for regime in Regime:
        for order in (1, 2):
            name = f"order {order}, {regime.value}"
            refused = refusal(optimizer, regime)
            if refused is not None:
                rows.append(Row(name, f"refused: {refused.found}"))
                continue
            chain, z = _scene(optimizer, regime, at, step)
            try:
                equation = derive(chain, weak_order=order, at=z, step=step)
            except DriftaxError as error:
                if regime is Regime.BALLISTIC and shape_of(chain, z.shape[1]).elementwise:
                    raise
                rows.append(Row(name, f"refused: {error.found}"))
                continue
            rows.append(_certified(optimizer, equation, name, z, step))
    return rows


def _certified(
    optimizer: AbstractOptimizer, equation: ModifiedEquation, name: str, z: Slots, step: float
) -> Row:
    claimed = equation.weak_order
    certificate = local_order(equation, z, step)
    if certificate.order is None:
        return Row(name, "every residual is rounding error")
    if certificate.order < claimed - _ORDER_CLOSE:
        moment = "the moment " + ("" if certificate.worst is None else certificate.worst.name)
        if claimed == 2 and equation.chain.regime is Regime.BATCH_EQUIVALENT:  # which a rule need not have
            return Row(name, f"not reached: {moment}", certificate.order)
        raise DriftaxError(
            f"the certificate of {optimizer.name}: {name}",
            f"the order {certificate.order:.2f}, from {moment}",
            "another state `at` if this one lies on a kink of the state (a maximum just reached); else roles under "
            "which every number has a limit as the time step falls",
        )
    return Row(name, "certified", certificate.order)


def _scene(
    optimizer: AbstractOptimizer, regime: Regime, at: Slots | None, step: float
) -> tuple[Chain, Slots]:
    """A chain on a rung of a good size, and a state of it after `step` steps."""
    moved = numbers_as(optimizer, float)
    dim = _dim(moved) if at is None else at.shape[1]
    objective, noise = DoubleWell(dim=dim), GaussianNoise(_VARIANCE)
    moved = moved.at(_scale(moved, regime), regime)
    chain = Chain(objective, noise, moved, regime)
    if at is not None:
        return chain, chain.from_real(moved.unpack(jnp.asarray(at, float)))
    draws = np.random.default_rng(1)
    rows = moved.pack(moved.init(jnp.full(dim, _PARAMS) + 0.1 * jnp.arange(dim)))
    for number in range(round(step)):
        noisy = objective.gradient(rows[0]) + jnp.asarray(draws.normal(0, _VARIANCE**0.5, size=dim))
        rows = stepped(moved, jnp.asarray(float(number)), rows, noisy)
    rows = rows * (1 + _APART * jnp.arange(len(rows)))[:, None]
    return chain, chain.from_real(moved.unpack(rows))


def _scale(optimizer: AbstractOptimizer, regime: Regime) -> float:
    """The rung with a time step of 0.1, or the one where a decay is 1/2 if that is finer."""
    decays = [optimizer.numbers[n] for n, role in optimizer.roles.items() if is_decay(n, role)]
    largest = min([0.5 / float(1 - np.max(decay)) for decay in decays if np.max(decay) < 1], default=np.inf)
    return float(min(_TIME_STEP / float(optimizer.time_step(regime)), max(1.0, largest)))


def _dim(optimizer: AbstractOptimizer) -> int:
    """One parameter where that tells all; two where coordinates mix or a rule is made for a number of them."""
    for dim in (1, 2):
        try:
            stepped(optimizer, 1.0, jnp.ones((len(optimizer.slots), dim)), jnp.ones(dim))
        except DriftaxError:
            continue
        if dim == 2 or shape_of(_any_chain(optimizer), 2).elementwise:
            return dim
    return 2


def _any_chain(optimizer: AbstractOptimizer) -> Chain:
    return Chain(DoubleWell(dim=2), GaussianNoise(_VARIANCE), optimizer)


def _plain_mean(chain: Chain, number, z: Slots):
    """The mean and the root mean square of a coordinate-wise step, by a plain sum over the gradient noise."""
    score = jnp.linspace(-8.5, 8.5, _GRID)
    weights = jnp.exp(-0.5 * score**2)
    weights = weights / jnp.sum(weights)
    law = chain.noise
    assert isinstance(law, GaussianNoise)
    nodes = jax.vmap(lambda s: law.image(chain.objective, chain.params(z), jnp.full_like(z[0], s)))(score)
    steps = jax.jit(node_increments)(chain, number, z, nodes).reshape(_GRID, -1)
    return weights @ steps, jnp.sqrt(weights @ steps**2)


def _differences(mean, number, flat, shift):
    """The Jacobian of the mean step by central differences of order 4."""
    columns = []
    for index in range(flat.size):
        along = jnp.zeros_like(flat).at[index].set(shift[index])
        near = mean(number, flat + along) - mean(number, flat - along)
        far = mean(number, flat + 2 * along) - mean(number, flat - 2 * along)
        columns.append((8 * near - far) / (12 * shift[index]))
    return jnp.stack(columns, axis=1)
