"""Any optax optimizer as a driftax optimizer: its own `update`, its state raveled by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import equinox as eqx
import optax

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.optimizer._base import AbstractOptimizer, State, check_hyperparameters
from driftax.optimizer.optax_aliases import ALIASES, REFUSED, clock_of, defaults
from driftax.optimizer.optax_state import StateLayout
from driftax.regime import Clock, Regime, Role, clock_step, ladder_power, move, rate_power

# The power of [gradient] of the vectors optax optimizers keep.
_SLOT_DIMENSIONS = {"mu": 1, "nu": 2, "nu_max": 2, "trace": 1, "ema": 1, "e_g": 2, "sum_of_squares": 2}


class OptaxOptimizer(AbstractOptimizer):
    """An optax family seen at one rung. Build it with `from_optax`."""

    learning_rate: Scalar
    scale: Scalar
    first_time_step: Scalar  # of rung 1
    family: Callable[[Scalar], optax.GradientTransformation] = eqx.field(static=True)
    regime: Regime = eqx.field(static=True)
    rate_power: float = eqx.field(static=True)
    slot_units: tuple[tuple[str, float], ...] = eqx.field(static=True)
    _normalised: bool = eqx.field(static=True)
    _name: str = eqx.field(static=True)
    _layout: StateLayout = eqx.field(static=True)

    @property
    def name(self) -> str:
        return self._name

    @property
    def normalised(self) -> bool:
        return self._normalised

    @property
    def slots(self) -> dict[str, int]:
        return {name: _SLOT_DIMENSIONS.get(name, 0) for name in self._layout.names}

    @property
    def roles(self) -> dict[str, Role]:
        return {}

    def init(self, params: Vector) -> State:
        return self._layout.state(params, self.family(self.scale).init(params))

    def advance(self, clock: Scalar, state: State, gradient: Vector) -> State:
        transform = self.family(self.scale)
        inner = self._layout.inner(state, clock, transform.init(state[0]))
        updates, after = transform.update(gradient, inner, state[0])
        return self._layout.state(state[0] + updates, after)

    def unpack(self, slots: Slots | Sequence[Vector]) -> State:
        return self._layout.unpack(slots)

    def time_step(self, regime: Regime) -> Scalar:
        self._check(regime)
        return self.first_time_step * self.scale

    def units(self, regime: Regime) -> dict[str, Scalar]:
        return {name: self.time_step(regime) ** power for name, power in self.slot_units if power}

    def at(self, scale: Scalar, regime: Regime) -> OptaxOptimizer:
        self._check(regime)
        moved = move(self.learning_rate, Role.LEARNING_RATE, scale, self.rate_power)
        return eqx.tree_at(lambda o: (o.learning_rate, o.scale), self, (moved, self.scale * scale))

    def _check(self, regime: Regime) -> None:
        if regime is not self.regime:
            raise DriftaxError(
                f"an optax optimizer in the {regime.value} regime",
                f"a family that moves by the {self.regime.value} regime",
                f"from_optax(family, learning_rate=..., regime=Regime.{regime.name})",
            )

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> OptaxOptimizer:
        raise DriftaxError(
            "the taylor method for an optax optimizer",
            "a black-box update: its numbers cannot be kept fixed while the time step is expanded",
            "method = finite-step",
        )


def from_optax(
    family: Callable[[Scalar], optax.GradientTransformation],
    *,
    learning_rate: float,
    regime: Regime = Regime.BALLISTIC,
    normalised: bool = True,
    name: str = "an optax optimizer",
    clock: Clock = Clock.RATE,
    momentum: float = 0.0,
    units: Mapping[str, float] | None = None,
) -> OptaxOptimizer:
    """An optax optimizer, given as the family of its rungs.

    Args:
        family: `family(s)` returns the GradientTransformation at rung scale s (s = 1 is the optimizer as used).
        learning_rate: its learning rate at s = 1, which sets the clock.
        regime: the regime along which `family` moves.
        normalised: whether the step stays the same when gradients are rescaled (Adam, RMSprop, sign).
        name: what it is called in tables and messages.
        clock: what the time step is made of: `Clock.BUFFER` where a heavy-ball buffer sums gradients (the time step
            is learning_rate / (1 - momentum)), `Clock.SUM` where squares are summed without forgetting (Adagrad).
        momentum: the decay of the buffer at s = 1.
        units: powers of the time step by which slots that grow or shrink along the ladder are multiplied, by
            name; by default `nu` has power 1 in the batch-equivalent regime of a normalised optimizer.

    Raises:
        DriftaxError: if the state holds something other than vectors, numbers and step counters, or the update
            needs more than a gradient.

    Example:
        >>> import optax
        >>> adam = from_optax(lambda s: optax.adam(0.1 * s, 1 - 0.1 * s, 1 - 0.01 * s), learning_rate=0.1)
        >>> list(adam.slots)
        ['params', 'mu', 'nu']
    """
    check_hyperparameters("from_optax", learning_rate=learning_rate)
    layout = StateLayout(family(1.0), name)
    if units is None:
        grows = normalised and regime is Regime.BATCH_EQUIVALENT
        units = {slot: 1.0 for slot in layout.names if grows and _SLOT_DIMENSIONS.get(slot, 0) == 2}
    # By keyword: the abstract fields of the base class come first in the order of fields.
    return OptaxOptimizer(
        learning_rate=learning_rate,
        scale=1.0,
        first_time_step=clock_step(clock, normalised, regime, learning_rate, momentum),
        family=family,
        regime=regime,
        rate_power=rate_power(clock, normalised, regime),
        slot_units=tuple((slot, power) for slot, power in units.items() if slot in layout.names),
        _normalised=normalised,
        _name=name,
        _layout=layout,
    )


def optax_by_name(name: str, keywords: Mapping[str, Any], regime: Regime) -> OptaxOptimizer:
    """The optax optimizer `optax.NAME(**keywords)`, moved along the ladder by the table of roles.

    Raises:
        DriftaxError: if it has no equation, in this regime or at all, or a number is out of its range.
    """
    asked = f'name = "optax.{name}"'
    if name in REFUSED:
        raise DriftaxError(asked, REFUSED[name], "an optimizer with an equation: " + _listed())
    if name not in ALIASES:
        raise DriftaxError(
            asked,
            "no table of roles for it: how its numbers move along the ladder is not known",
            f"one of {_listed()}, or from_optax(family) in Python",
        )
    alias = ALIASES[name]
    if regime not in alias.regimes:
        raise DriftaxError(
            f"{asked} in the {regime.value} regime", alias.note, f'[regime] name = "{alias.regimes[0].value}"'
        )
    values = {**defaults(name), **keywords}
    if values.get("learning_rate") is None:
        raise DriftaxError(asked, "no learning_rate", "learning_rate = 0.001")
    roles = {key: role for key, role in alias.roles.items() if values.get(key) is not None}
    if values.get("eps_in_sqrt"):
        roles["eps"] = Role.EPS_ROOT
    check_hyperparameters(f"optax.{name}", **{key: values[key] for key in roles})
    clock = clock_of(alias, values)
    powers = {key: ladder_power(role, alias.normalised, regime) for key, role in roles.items()}
    powers["learning_rate"] = rate_power(clock, alias.normalised, regime)
    constructor = getattr(optax, name)

    def family(scale: Scalar) -> optax.GradientTransformation:
        moved = {key: move(float(values[key]), role, scale, powers[key]) for key, role in roles.items()}
        return constructor(**{**values, **moved})

    return from_optax(
        family,
        learning_rate=values["learning_rate"],
        regime=regime,
        normalised=alias.normalised,
        name=f"optax.{name}",
        clock=clock,
        momentum=values.get(alias.momentum) or 0.0 if alias.momentum else 0.0,
        units={slot: powers_of[list(Regime).index(regime)] for slot, powers_of in alias.units.items()},
    )


def _listed() -> str:
    return ", ".join(f'"optax.{known}"' for known in ALIASES)
