"""How a step depends on its number: smoothly, for fractional numbers too, and through `step` alone."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.testing.probe import Probe, stepped
from driftax.testing.report import Row

_LAST = 208  # steps that are looked at
_HALVINGS = 30
_JUMP = 1e-6  # of a state, across a billionth of a step


def check_time(optimizer: AbstractOptimizer, at: Probe) -> list[Row]:
    """Refuses counters among the slots, and steps that jump in time."""
    _check_counters(optimizer, at)

    def step(number):
        return stepped(optimizer, number, at.rows, at.gradient)

    rate = float(jnp.max(jnp.abs(_derivative(optimizer, step, at.step + 0.5))))
    edges = jnp.arange(at.step, _LAST + 1.0)
    values = jax.vmap(step)(edges)
    size = 1 + float(jnp.max(jnp.abs(values)))
    found = _jump(jax.jit(step), np.asarray(edges), np.asarray(values), _JUMP * size)
    if found is not None:
        raise DriftaxError(
            f"a step of {optimizer.name} as a function of its number",
            f"a jump by {found[1]:.2g} at step {found[0]:.6g}: its derivative in time, which the equation holds, "
            "is not there",
            "a smooth function of `step`, which counts from 0 and may be fractional (no //, floor, round or %)",
        )
    if rate == 0 and bool(jnp.all(values == values[:1])):
        return [Row("time", "does not depend on the step")]
    return [Row("time", "smooth in the step; its largest derivative", rate)]


def _derivative(optimizer: AbstractOptimizer, step, number: float):
    value, slope = jax.jvp(step, (jnp.asarray(number),), (jnp.ones(()),))
    if not bool(jnp.all(jnp.isfinite(value)) & jnp.all(jnp.isfinite(slope))):
        raise DriftaxError(
            f"a step of {optimizer.name} at the fractional number {number:g}",
            f"the step {np.asarray(value).tolist()} with the derivative in time {np.asarray(slope).tolist()}",
            "a function that is smooth in `step`: driftax.optimizer._base.bias_correction(decay, step + 1), say",
        )
    return slope


def _jump(step, edges, values, least: float) -> tuple[float, float] | None:
    """Where and by how much the step jumps: the unit intervals with the largest changes are halved."""
    changes = np.max(np.abs(np.diff(values, axis=0)), axis=(1, 2))
    for interval in np.argsort(changes)[::-1][:3]:
        if changes[interval] <= least:
            return None
        low, high = edges[interval], edges[interval + 1]
        first, last = values[interval], values[interval + 1]
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            value = np.asarray(step(jnp.asarray(middle)))
            if np.max(np.abs(value - first)) > np.max(np.abs(last - value)):
                high, last = middle, value
            else:
                low, first = middle, value
        left = float(np.max(np.abs(last - first)))
        if left > least:
            return float(high), left
    return None


def _check_counters(optimizer: AbstractOptimizer, at: Probe) -> None:
    scenes = [
        (at.step, at.rows, at.gradient),
        (at.step + 7, 0.7 * at.rows, -0.3 * at.gradient),
        (2 * at.step, 1.3 * at.rows, 2 * at.gradient),
    ]
    moves = [np.asarray(stepped(optimizer, *scene) - scene[1]) for scene in scenes]
    for index, name in enumerate(optimizer.slots):
        if index == 0:
            continue
        first = moves[0][index]
        if np.any(np.abs(first) > 1e-6) and all(np.allclose(move[index], first, atol=1e-9) for move in moves):
            raise DriftaxError(
                f"the slot {name} of {optimizer.name}",
                f"{first[0]:g} is added to it in every step: a counter, which is not slow on any rung",
                "the argument `step`, which counts the steps from 0, and no slot for it",
            )
