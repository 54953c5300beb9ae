"""The optimizer as a Markov chain: objective, gradient law and optimizer on one rung of a ladder.

Everything downstream (compiler, certificate, ensembles) sees an optimizer only through this object: a map of
the raveled state [slot, dim] driven by one stochastic gradient, in the regime's own units and clock.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._rows import Rows
from driftax._types import Scalar, Slots, Vector
from driftax.noise import AbstractGradientNoise
from driftax.objective import AbstractObjective
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer._base import check_options
from driftax.regime import Regime


class Chain(eqx.Module):
    """One rung: `state' = step(k, state, stochastic gradient)`.

    In the batch-equivalent regime second moments are kept in units of the time step, `h nu`, so that they
    have a limit; with `log_second_moments` their logarithm is the coordinate, which keeps them positive
    along any equation.

    Args:
        objective: what is minimised.
        noise: the law of one stochastic gradient.
        optimizer: the update rule.
        regime: how all three move along the ladder.
        log_second_moments: whether second moments are carried as logarithms.
    """

    objective: AbstractObjective
    noise: AbstractGradientNoise
    optimizer: AbstractOptimizer
    regime: Regime = eqx.field(static=True)
    log_second_moments: bool = eqx.field(static=True)

    def __init__(
        self,
        objective: AbstractObjective,
        noise: AbstractGradientNoise,
        optimizer: AbstractOptimizer,
        regime: Regime = Regime.BALLISTIC,
        log_second_moments: bool = False,
    ):
        optimizer.check_regime(regime)
        check_options(optimizer)
        # Python numbers become arrays, so that no value is baked into a compiled function.
        self.objective, self.noise, self.optimizer = _as_arrays((objective, noise, optimizer))
        self.regime, self.log_second_moments = regime, log_second_moments

    def at(self, scale: Scalar) -> Chain:
        """The chain on the rung `scale`: the factor on the time step of this one."""
        return eqx.tree_at(
            lambda chain: (chain.noise, chain.optimizer),
            self,
            (self.noise.at(scale, self.regime), self.optimizer.at(scale, self.regime)),
        )

    @property
    def time_step(self) -> Scalar:
        """The length h of one step in the clock t = step * h."""
        return self.optimizer.time_step(self.regime)

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(self.optimizer.slots)

    def names(self, dim: int) -> list[str]:
        """The coordinates of the flat state: slot by slot."""
        return [f"{slot}[{i}]" for slot in self.slots for i in range(dim)]

    @property
    def _second_moments(self) -> tuple[int, ...]:
        return tuple(i for i, power in enumerate(self.optimizer.slots.values()) if power == 2)

    def from_natural(self, natural: Slots) -> Slots:
        """Coordinates of a state given in the regime's units."""
        return self._map_moments(natural, jnp.log) if self.log_second_moments else natural

    def natural(self, z: Slots) -> Slots:
        """The state in the regime's units, whatever the coordinates."""
        return self._map_moments(z, jnp.exp) if self.log_second_moments else z

    def real(self, z: Slots) -> Any:
        """The optimizer's own state, in its own units."""
        return self.optimizer.unpack(self.real_rows(z))

    def real_rows(self, z: Slots) -> Slots:
        """The vectors of the optimizer's own state, in its own units."""
        return Rows.of(self.natural(z)).by(jnp.divide, self.units).stacked

    def from_real(self, state: Any) -> Slots:
        """Coordinates of the optimizer's own state."""
        return self.from_natural(self.in_units(self.optimizer.pack(state)))

    def in_units(self, rows: Slots) -> Slots:
        """Vectors in the optimizer's own units, or steps of them, in the units of the regime."""
        return Rows.of(rows).by(jnp.multiply, self.units).stacked

    @property
    def units(self) -> Float[Array, "slot 1"]:
        """What each slot is multiplied by in the regime's units."""
        units = self.optimizer.units(self.regime)
        one = jnp.ones_like(self.time_step)
        return jnp.stack([jnp.asarray(units.get(name, one), one.dtype) for name in self.slots])[:, None]

    def _map_moments(self, z: Slots, function) -> Slots:
        return jnp.stack([function(row) if i in self._second_moments else row for i, row in enumerate(z)])

    def params(self, z: Slots) -> Vector:
        return z[0]

    def gradient(self, z: Slots) -> Vector:
        """The exact gradient of the objective."""
        return self.objective.gradient(self.params(z))

    def step(self, number: Scalar, z: Slots, gradient: Vector) -> Slots:
        """One step of the optimizer from coordinates to coordinates."""
        return self.from_real(self.optimizer.update(number, self.real(z), gradient))

    def increment(self, number: Scalar, z: Slots, gradient: Vector) -> Slots:
        """The step D = z' - z."""
        return (Rows.of(self.step(number, z, gradient)) - Rows.of(z)).stacked

    def start(self, params: Float[Array, " dim"]) -> Slots:
        """Coordinates of the optimizer's own initial state."""
        state = self.optimizer.init(params)
        if self.log_second_moments and self._second_moments:
            raise DriftaxError(
                "log second moments from the optimizer's own start",
                "second moments that start at 0, whose logarithm is -inf",
                "a handover after some steps, or `nu` in [start]",
            )
        return self.from_real(state)


def _as_arrays(tree):
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, dtype=float) if isinstance(leaf, float | int) else leaf, tree
    )
