"""The arithmetic of a step: a pure function that can be traced, of any precision, for many members at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.testing.probe import Probe, stepped
from driftax.testing.report import Row

_CLOSE = 1e-10  # of what compiling and batching may change, relative to a state
_CLOSE_SINGLE = 1e-4


def check_arithmetic(optimizer: AbstractOptimizer, at: Probe) -> list[Row]:
    """Refuses steps that remember, mutate, branch, or change shape or precision."""
    _check_pure(optimizer, at)
    jitted = _traced(optimizer, at)
    single = _check_single(optimizer, at)
    members = _check_members(optimizer, at)
    _check_clock(optimizer, at)
    return [
        Row("pure", "the same input gives the same step, bit for bit"),
        Row("traceable", "jit agrees", jitted),
        Row("float32", "keeps its precision", single),
        Row("members", "vmap agrees", members),
    ]


def numbers_as(optimizer: AbstractOptimizer, dtype) -> AbstractOptimizer:
    """The optimizer with its numbers as arrays, as a `Chain` holds it."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), optimizer)


def _check_pure(optimizer: AbstractOptimizer, at: Probe) -> None:
    asked = f"a step of {optimizer.name}"
    before = [np.array(leaf) for leaf in jax.tree.leaves(optimizer)]
    first = np.asarray(stepped(optimizer, at.step, at.rows, at.gradient))
    stepped(optimizer, at.step + 3, 0.5 * at.rows, -2 * at.gradient)
    again = np.asarray(stepped(optimizer, at.step, at.rows, at.gradient))
    if not np.array_equal(first, again, equal_nan=True):
        raise DriftaxError(
            asked,
            f"two results from one input, which differ by {np.max(np.abs(first - again)):.2g}: it draws random "
            "numbers, or remembers earlier calls",
            "a step of (step, state, gradient) alone; what it remembers goes into slots",
        )
    after = [np.array(leaf) for leaf in jax.tree.leaves(optimizer)]
    if not all(np.array_equal(x, y) for x, y in zip(before, after, strict=True)):
        raise DriftaxError(
            asked, "numbers of the optimizer that a step has changed", "a slot for what changes"
        )
    state: Any = jax.tree.map(np.array, optimizer.unpack(at.rows))
    gradient: Any = np.array(at.gradient)
    try:
        optimizer.update(at.step, state, gradient)
    except Exception:  # numpy arrays need not be taken
        return
    if not (np.array_equal(np.stack(tuple(state)), at.rows) and np.array_equal(gradient, at.gradient)):
        raise DriftaxError(
            asked,
            "a state or gradient that it has changed in place",
            "nu = decay * nu + ... in place of nu *= decay",
        )


def _traced(optimizer: AbstractOptimizer, at: Probe) -> float:
    """The largest change by compilation; numbers are traced too, as the compiler does."""
    plain = stepped(optimizer, at.step, at.rows, at.gradient)
    number = jnp.asarray(at.step)
    try:
        jax.make_jaxpr(lambda *inputs: stepped(optimizer, *inputs))(number, at.rows, at.gradient)
        state_only = True
    except DriftaxError:
        state_only = False
    try:
        compiled = jax.jit(stepped)(numbers_as(optimizer, float), number, at.rows, at.gradient)
    except DriftaxError as error:
        if not state_only:
            raise
        raise DriftaxError(
            f"a step of {optimizer.name} whose numbers move along the ladder",
            error.found,
            error.instead + "; a field that is an option, no number: eqx.field(static=True)",
        ) from error
    return _agree(optimizer, "compiled by jax.jit", plain, compiled, _CLOSE)


def _check_single(optimizer: AbstractOptimizer, at: Probe) -> float:
    single = numbers_as(optimizer, jnp.float32)
    rows, gradient = at.rows.astype(jnp.float32), at.gradient.astype(jnp.float32)
    found = stepped(single, jnp.asarray(at.step, jnp.float32), rows, gradient)
    plain = stepped(optimizer, at.step, at.rows, at.gradient)
    return _agree(optimizer, "in float32", plain, found.astype(float), _CLOSE_SINGLE)


def _check_members(optimizer: AbstractOptimizer, at: Probe) -> float:
    scales = jnp.asarray([1.0, 0.5, 1.5])[:, None]
    rows, gradients = scales[:, :, None] * at.rows[None], scales[::-1] * at.gradient[None]
    together = jax.vmap(lambda rows, gradient: stepped(optimizer, at.step, rows, gradient))(rows, gradients)
    alone = jnp.stack([stepped(optimizer, at.step, r, g) for r, g in zip(rows, gradients, strict=True)])
    return _agree(optimizer, "of many members by jax.vmap", alone, together, _CLOSE)


def _check_clock(optimizer: AbstractOptimizer, at: Probe) -> None:
    state = optimizer.unpack(at.rows)
    by_clock = jnp.stack(tuple(optimizer.advance(optimizer.clock(at.step), state, at.gradient)))
    plain = stepped(optimizer, at.step, at.rows, at.gradient)
    if not np.allclose(by_clock, plain, rtol=1e-10, atol=1e-12, equal_nan=True):
        raise DriftaxError(
            f"`advance(clock(step), state, gradient)` of {optimizer.name}",
            f"another step than `update(step, state, gradient)`: they differ by {np.max(np.abs(by_clock - plain)):.2g}",
            "`clock` and `advance` alone, without an `update`",
        )


def _agree(optimizer: AbstractOptimizer, what: str, plain, other, close: float) -> float:
    size = 1 + float(jnp.max(jnp.abs(plain)))
    off = float(jnp.max(jnp.abs(other - plain))) / size
    if not off <= close:
        raise DriftaxError(
            f"a step of {optimizer.name} {what}",
            f"a result that is off by {off:.2g} of the state",
            "a step of (step, state, gradient) alone, in operations of jax.numpy that keep their precision",
        )
    return off
