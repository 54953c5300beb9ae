"""Hyperparameters that differ from coordinate to coordinate: one rule, several groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.optimizer._base import AbstractOptimizer, State
from driftax.optimizer.structure import structure
from driftax.regime import Regime, Role


class Grouped(AbstractOptimizer):
    """One rule with other numbers in every group of parameters.

    The params are those of all groups, one after the other. There is one clock, that of the first group: its
    learning rate is the time step, and the others keep their ratio to it on every rung.

    Args:
        optimizers: one per group, of one class and with the same options; their numbers may differ.
        sizes: how many parameters each group has.
        maximize: whether a group climbs: it is given the gradient with its sign changed. Default: none does.

    Raises:
        DriftaxError: if there is not one size for each optimizer, if the rules differ in more than their
            numbers, or if the rule mixes coordinates.

    Example:
        >>> from driftax import Adam
        >>> no_decay_on_biases = Grouped((Adam(1e-3, weight_decay=0.1), Adam(1e-3)), sizes=(12, 3))
        >>> no_decay_on_biases.learning_rate
        0.001
    """

    optimizers: tuple[AbstractOptimizer, ...]
    sizes: tuple[int, ...] = eqx.field(static=True)
    maximize: tuple[bool, ...] = eqx.field(static=True)

    def __init__(
        self,
        optimizers: Sequence[AbstractOptimizer],
        sizes: Sequence[int],
        maximize: Sequence[bool] = (),
    ):
        self.optimizers, self.sizes = tuple(optimizers), tuple(int(size) for size in sizes)
        self.maximize = tuple(bool(climbs) for climbs in maximize) or (False,) * len(self.sizes)
        if not (len(self.optimizers) == len(self.sizes) == len(self.maximize) > 0 and min(self.sizes) > 0):
            raise DriftaxError(
                "`Grouped(optimizers, sizes)`",
                f"{len(self.optimizers)} optimizers, sizes {list(self.sizes)}, {len(self.maximize)} signs",
                "one optimizer and one size above 0 for each group",
            )
        structures: list[Any] = [jax.tree.structure(group) for group in self.optimizers]
        for other, found in zip(self.optimizers, structures, strict=True):
            if found != structures[0]:
                raise DriftaxError(
                    "`Grouped(optimizers, sizes)`",
                    f"{self.optimizers[0].name} and {other.name} that differ in more than their numbers",
                    "groups of one class with the same options, whose numbers differ",
                )
        if (mixing := structure(self.optimizers[0], 2).mixing) is not None:
            raise DriftaxError(
                f"`Grouped` of {self.optimizers[0].name}",
                f"a rule in which coordinates depend on each other ({mixing})",
                "a coordinate-wise rule, or your own rule with numbers that are arrays over the params",
            )

    @property  # type: ignore[misc]
    def learning_rate(self) -> Scalar:  # type: ignore[override]
        """That of the first group, which sets the clock."""
        return self.optimizers[0].learning_rate

    @property
    def name(self) -> str:
        return self.optimizers[0].name

    @property
    def normalised(self) -> bool:
        return self.optimizers[0].normalised

    @property
    def slots(self) -> dict[str, int]:
        return self.optimizers[0].slots

    @property
    def roles(self) -> dict[str, Role]:
        return self.optimizers[0].roles

    @property
    def numbers(self) -> dict[str, Scalar]:
        """Those of the first group."""
        return self.optimizers[0].numbers

    def init(self, params: Vector) -> State:
        def start(group: AbstractOptimizer, x: Vector) -> tuple[Vector, ...]:
            return tuple(group.init(x))

        self._check(params)
        return self.unpack(
            [row.reshape(-1) for row in jax.vmap(start)(self._by_coordinate(), params[:, None])]
        )

    def clock(self, step: Scalar) -> Any:
        """The clocks of the groups; every value has the leading axis `group`."""
        return jax.vmap(lambda group: group.clock(step))(self._by_group())

    def advance(self, clock: Any, state: State, gradient: Vector) -> State:
        def one(group: AbstractOptimizer, clock: Any, rows: Sequence[Vector], gradient: Vector):
            return tuple(group.advance(clock, group.unpack(rows), gradient))

        self._check(gradient)
        clocks = jax.tree.map(self._spread, clock)
        signed = gradient * self._spread(np.where(self.maximize, -1.0, 1.0).astype(gradient.dtype))
        rows = jax.vmap(one)(
            self._by_coordinate(), clocks, tuple(row[:, None] for row in state), signed[:, None]
        )
        return self.unpack([row.reshape(-1) for row in rows])

    def latex(self) -> list[str]:
        numbers = []
        groups = zip(self.optimizers, self.sizes, self.maximize, strict=True)
        for number, (group, size, climbs) in enumerate(groups, start=1):
            label = rf"\text{{group {number}, {size} params{', maximized' if climbs else ''}: }}"
            numbers.append(label + group.latex()[-1])
        return [*self.optimizers[0].latex()[:-1], r";\quad ".join(numbers)]

    def unpack(self, slots: Slots | Sequence[Vector]) -> State:
        return self.optimizers[0].unpack(slots)

    def units(self, regime: Regime) -> dict[str, Scalar]:
        return self.optimizers[0].units(regime)

    def time_step(self, regime: Regime) -> Scalar:
        return self.optimizers[0].time_step(regime)

    def time_step_latex(self, regime: Regime) -> str:
        return self.optimizers[0].time_step_latex(regime)

    def check_regime(self, regime: Regime) -> None:
        self.optimizers[0].check_regime(regime)

    def ladder(self, regime: Regime) -> dict[str, float]:
        return self.optimizers[0].ladder(regime)

    def scaled(self, factors: Mapping[str, Scalar]) -> Grouped:
        return self._moved(tuple(group.scaled(factors) for group in self.optimizers))

    def at(self, scale: Scalar, regime: Regime) -> Grouped:
        return self._moved(tuple(group.at(scale, regime) for group in self.optimizers))

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> Grouped:
        return self._moved(tuple(group.rescaled_at(root_scale, regime) for group in self.optimizers))

    def _moved(self, optimizers: tuple[AbstractOptimizer, ...]) -> Grouped:
        return eqx.tree_at(lambda grouped: grouped.optimizers, self, optimizers)

    def _by_group(self) -> AbstractOptimizer:
        """One optimizer whose numbers have the leading axis `group`."""
        return jax.tree.map(
            # Numbers that are arrays keep their precision: members may be float32.
            lambda *numbers: jnp.stack([n if eqx.is_array(n) else jnp.asarray(n, float) for n in numbers]),
            *self.optimizers,
        )

    def _by_coordinate(self) -> AbstractOptimizer:
        return jax.tree.map(self._spread, self._by_group())

    def _spread(self, values: Any) -> Vector:
        """Values [group, ...] over the params."""
        return jnp.asarray(values)[np.repeat(np.arange(len(self.sizes)), self.sizes)]

    def _check(self, vector: Vector) -> None:
        if vector.shape != (sum(self.sizes),):
            raise DriftaxError(
                f"a step of {self.name} with groups of sizes {list(self.sizes)}",
                f"a vector of {vector.size} parameters",
                f"{sum(self.sizes)} parameters, those of all groups one after the other",
            )
