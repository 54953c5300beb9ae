"""Functions of the state whose means are compared."""

from __future__ import annotations

import re

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Slots
from driftax.objective import AbstractObjective


class Observables(eqx.Module):
    """The named observables of a natural state [slot, dim], stacked.

    `loss` is the objective, `SLOT_sq` the squared norm of a slot (`params_sq`, `nu_sq`), `SLOT[i]` one entry.
    An objective may have more of its own: a network its `accuracy`, `test_loss` and `test_accuracy`.

    Args:
        objective: whose loss is meant.
        slots: names of the state's vectors.
        names: the observables wanted.

    Raises:
        DriftaxError: if a name is none of these.
    """

    objective: AbstractObjective
    slots: tuple[str, ...] = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)

    def __check_init__(self):
        own = ["loss", *self.objective.observables()]
        for name in self.names:
            if name not in own and self._slot(name) is None:
                known = [*own, *(f"{s}_sq" for s in self.slots), *(f"{s}[0]" for s in self.slots)]
                raise DriftaxError("`observables`", f"the observable {name!r}", "one of " + ", ".join(known))

    def __call__(self, natural: Slots) -> Float[Array, " observable"]:
        return jnp.stack([self._value(name, natural) for name in self.names])

    def _value(self, name: str, natural: Slots) -> Float[Array, ""]:
        if name == "loss":
            return self.objective.loss(natural[0])
        own = self.objective.observables()
        if name in own:
            return own[name](natural[0])
        found = self._slot(name)
        assert found is not None  # checked when this was built
        position, entry = found
        return jnp.sum(natural[position] ** 2) if entry is None else natural[position, entry]

    def _slot(self, name: str) -> tuple[int, int | None] | None:
        """The slot an observable looks at, and the entry of it (None: all, squared and summed)."""
        match = re.fullmatch(r"(\w+?)(?:_sq|\[(\d+)\])", name)
        if not match or match[1] not in self.slots:
            return None
        return self.slots.index(match[1]), None if match[2] is None else int(match[2])
