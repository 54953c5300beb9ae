"""The parts of a rule: its fields and their roles, its slots and its start."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer._base import check_options
from driftax.regime import Role
from driftax.testing.report import Row


def check_parts(optimizer: Any, dim: int) -> list[Row]:
    """Refuses a field without a role, slots and starts that do not fit."""
    if not isinstance(optimizer, AbstractOptimizer):
        found = f"the class {optimizer.__name__}" if isinstance(optimizer, type) else type(optimizer).__name__
        raise DriftaxError(
            "`check_optimizer(optimizer)`",
            found,
            "an instance of a subclass of driftax.optimizer.AbstractOptimizer, such as MyRule(learning_rate=0.1)",
        )
    if dim < 2:
        raise DriftaxError(
            "`check_optimizer(dim)`", f"dim = {dim}", "dim = 2 or more, so that coordinates can mix"
        )
    _check_fields(optimizer)
    slots = _check_slots(optimizer)
    _check_start(optimizer, dim)
    numbers = ", ".join(f"{name}: {role.value}" for name, role in optimizer.roles.items())
    powers = ", ".join(f"{name} [gradient]^{power}" if power else name for name, power in slots.items())
    return [Row("numbers", numbers or "none but the learning rate"), Row("slots", powers)]


def _check_fields(optimizer: AbstractOptimizer) -> None:
    check_options(optimizer)
    roles = optimizer.roles  # refuses a number it does not know
    for name, role in roles.items():
        if not isinstance(role, Role):
            raise DriftaxError(
                f"the roles of `{optimizer.name}`",
                f"{name}: {role!r}",
                f"{name}: Role.DECAY, or another member of driftax.regime.Role",
            )
    try:
        _ = optimizer.numbers
    except AttributeError as error:
        raise DriftaxError(
            f"the roles of `{optimizer.name}`",
            f"a role for {error.name}, which is no field of it",
            f"{error.name}: float in the class, or no role for it",
        ) from error
    rule = type(optimizer)
    if rule.at is AbstractOptimizer.at and rule.scaled is AbstractOptimizer.scaled:
        for name in _own_numbers(optimizer):
            if name != "learning_rate" and name not in roles:
                raise DriftaxError(
                    f"the roles of `{optimizer.name}`",
                    f"the number {name}, which has none: it would be the same on every rung by accident",
                    f"{name!r}: Role.FIXED in `roles`, or another Role",
                )


def _own_numbers(optimizer: AbstractOptimizer) -> list[str]:
    fields = [
        field.name for field in dataclasses.fields(optimizer) if not field.metadata.get("static", False)
    ]
    return [
        name for name in fields if isinstance(getattr(optimizer, name), (int, float, np.ndarray, jax.Array))
    ]


def _check_slots(optimizer: AbstractOptimizer) -> dict[str, int]:
    asked = f"the slots of {optimizer.name}"
    slots = optimizer.slots
    if not isinstance(slots, dict) or not all(isinstance(power, int) for power in slots.values()):
        raise DriftaxError(
            asked,
            repr(slots),
            'slots = {"params": 0, "mu": 1}: a dict of names with whole powers of [gradient]',
        )
    if not slots or next(iter(slots)) != "params" or slots["params"] != 0:
        raise DriftaxError(
            asked,
            repr(slots),
            'slots = {"params": 0, ...}: the params first, of power 0',
        )
    return slots


def _check_start(optimizer: AbstractOptimizer, dim: int) -> None:
    asked = f"`init` of {optimizer.name}"
    names = list(optimizer.slots)
    for dtype in (jnp.float32, jnp.float64):
        params = jnp.linspace(0.5, 1.5, dim, dtype=dtype)
        state = tuple(optimizer.init(params))
        if len(state) != len(names):
            raise DriftaxError(
                asked,
                f"{len(state)} vectors for the slots {names}",
                f"self.unpack(({', '.join(['params', *('...' for _ in names[1:])])}))",
            )
        for name, row in zip(names, state, strict=True):
            if jnp.shape(row) != (dim,) or row.dtype != dtype:
                raise DriftaxError(
                    asked,
                    f"{name} of shape {list(jnp.shape(row))} and type {row.dtype} from params of shape [{dim}] and "
                    f"type {params.dtype}",
                    f"{name} = jnp.zeros_like(params), or jnp.full_like(params, ...)",
                )
        if not np.array_equal(state[0], params):
            raise DriftaxError(
                asked,
                f"params {np.asarray(state[0])} from {np.asarray(params)}",
                "the params first, as they are",
            )
        rows = jnp.arange(len(names) * dim, dtype=dtype).reshape(-1, dim)
        again = optimizer.pack(optimizer.unpack(rows))
        if again.shape != rows.shape or not np.array_equal(again, rows):
            raise DriftaxError(
                f"`pack` and `unpack` of {optimizer.name}",
                f"{np.asarray(again).tolist()} from {np.asarray(rows).tolist()}",
                "no `pack` and `unpack` of your own: the base class has both",
            )
