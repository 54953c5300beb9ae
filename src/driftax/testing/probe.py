"""States an optimizer really reaches, at which it is tried."""

from __future__ import annotations

import inspect
import linecache
import traceback
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Slots, Vector
from driftax.optimizer import AbstractOptimizer

_STEPS = 8
_HINTS = (
    (jax.errors.TracerBoolConversionError, "jnp.where(condition, one, other) in place of if, and, or, max()"),
    (jax.errors.TracerArrayConversionError, "the function of jax.numpy in place of numpy's (jnp.sqrt, ...)"),
    (jax.errors.TracerIntegerConversionError, "jnp.where, or a number that is eqx.field(static=True)"),
    (
        jax.errors.ConcretizationTypeError,
        "jax.numpy in place of math, float() and int(); jnp.where in place of if",
    ),
    (jax.errors.UnexpectedTracerError, "a state of slots alone: nothing may be stored outside of it"),
    (AttributeError, 'every vector of the state in slots, as in slots = {"params": 0, "mu": 1}'),
)


class Probe(NamedTuple):
    """A state [slot, dim] after a number of steps from `init`, and the next gradient."""

    dim: int
    step: float
    rows: Slots
    gradient: Vector


def probe(optimizer: AbstractOptimizer, dim: int) -> Probe:
    """The state after a few steps.

    Raises:
        DriftaxError: if a step fails, is not finite, or gives anything but the slots.
    """
    draws = np.random.default_rng(0)
    gradients = jnp.asarray(draws.normal(0.4, 1.0, size=(_STEPS + 1, dim)))
    rows = optimizer.pack(optimizer.init(jnp.asarray(draws.normal(size=dim))))
    for number, gradient in enumerate(gradients[:-1]):
        rows = stepped(optimizer, float(number), rows, gradient)
        if not bool(jnp.all(jnp.isfinite(rows))):
            index = int(jnp.argmin(jnp.all(jnp.isfinite(rows), axis=1)))
            slot, value = list(optimizer.slots)[index], np.asarray(rows[index])
            raise DriftaxError(
                f"step {number} of {optimizer.name} from `init`",
                f"{slot} = {value} at a gradient of {np.asarray(gradient)}",
                "a step that is finite from the start: eps above 0 beside a root, or an `init` away from 0",
            )
    return Probe(dim, float(_STEPS), rows, gradients[-1])


def stepped(optimizer: AbstractOptimizer, step: Any, rows: Slots, gradient: Vector) -> Slots:
    """One step from rows to rows; what it raises is explained."""
    asked = f"a step of {optimizer.name}"
    try:
        state = optimizer.update(step, optimizer.unpack(rows), gradient)
    except DriftaxError:
        raise
    except Exception as error:
        hint = next(
            (hint for kind, hint in _HINTS if isinstance(error, kind)), "a step in jax.numpy of [dim] vectors"
        )
        raise DriftaxError(asked, _told(optimizer, error), hint) from error
    names = list(optimizer.slots)
    if not isinstance(state, tuple) or len(state) != len(names):
        found = (
            f"{len(state)} vectors"
            if isinstance(state, tuple)
            else f"a result of type {type(state).__name__}"
        )
        raise DriftaxError(
            asked,
            f"{found} where the slots are {names}",
            "return state._replace(" + ", ".join(f"{name}=..." for name in names) + ")",
        )
    for name, row in zip(names, state, strict=True):
        if jnp.shape(row) != gradient.shape or row.dtype != gradient.dtype:
            raise DriftaxError(
                asked,
                f"{name} of shape {list(jnp.shape(row))} and type {row.dtype} from vectors of shape "
                f"{list(gradient.shape)} and type {gradient.dtype}",
                "vectors of one shape and type: plain Python numbers as constants, jnp.zeros_like(gradient) "
                "in place of jnp.zeros(...), no np.float64",
            )
    return jnp.stack(state)


def _told(optimizer: AbstractOptimizer, error: Exception) -> str:
    """The error in one line, with the line of the rule it comes from where there is a source."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else ""
    told = f"{type(error).__name__}: {first}"
    try:
        file = inspect.getfile(type(optimizer))
    except (TypeError, OSError):
        return told
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not frames:
        return told
    source = linecache.getline(file, frames[-1].lineno or 0).strip()
    return f"{told} (line {frames[-1].lineno}: {source})"
