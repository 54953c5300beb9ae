from __future__ import annotations

import abc
import dataclasses
import enum
import math
from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.regime import Regime, Role, gradient_dimension, ladder_power

State = Any  # a named tuple of vectors [dim], params first

# One LaTeX symbol per name, everywhere.
SYMBOLS = {
    "learning_rate": r"\eta",
    "decay": r"\beta",
    "b1": r"\beta_1",
    "b2": r"\beta_2",
    "eps": r"\epsilon",
    "weight_decay": r"\lambda",
    "params": "x",
    "mu": r"\mu",
    "nu": r"\nu",
    "nu_max": r"\bar{\nu}",
}


class DecayForm(enum.Enum):
    """Where weight decay enters: on its own beside the step, or inside the gradient."""

    DECOUPLED = "decoupled"
    L2 = "l2"


class Denominator(enum.Enum):
    """Which second moment divides the step: v_{k+1} (PyTorch, optax) or v_k (the papers)."""

    UPDATED = "updated"
    PREVIOUS = "previous"


# What a field of this name is, unless an optimizer says otherwise in `roles`.
_ROLES = {
    "learning_rate": Role.LEARNING_RATE,
    "decay": Role.DECAY,
    "momentum": Role.DECAY,
    "b1": Role.DECAY,
    "b2": Role.DECAY,
    "b3": Role.DECAY,
    "dampening": Role.DECAY,
    "eps": Role.EPS,
    "weight_decay": Role.DECOUPLED_DECAY,
}


class AbstractOptimizer(eqx.Module):
    """A Markov map `state' = update(step, state, gradient)` of named vectors, params first.

    A rule of one's own needs its numbers as fields, `learning_rate` among them, the vectors it keeps in
    `slots`, and `update`; the rest has defaults. Nothing has to be said of smoothness or of how coordinates
    mix: that is read off the traced update (`driftax.optimizer.structure`).

    What depends on the number of the step alone (bias corrections) may be split off as `clock(step)` and
    `advance(clock, ...)` in place of `update`: the compiler differentiates the clock in time and keeps it
    fixed when it expands the rest in the time step.
    """

    learning_rate: eqx.AbstractVar[Scalar]

    @property
    def name(self) -> str:
        """What the optimizer is called in tables and messages."""
        return type(self).__name__

    @property
    def normalised(self) -> bool:
        """Whether the step of the params stays the same when gradients are rescaled (Adam, RMSprop, sign)."""
        return 2 in self.slots.values()

    @property
    @abc.abstractmethod
    def slots(self) -> dict[str, int]:
        """The vectors of the state by name, params first, each with its power of [gradient]."""

    @property
    def roles(self) -> dict[str, Role]:
        """What each hyperparameter is: how it moves along the ladder."""
        names = [f.name for f in dataclasses.fields(self) if not f.metadata.get("static", False)]
        unknown = [name for name in names if name not in _ROLES]
        if unknown:
            raise DriftaxError(
                f"the roles of `{self.name}`",
                f"the number {unknown[0]}, of which driftax does not know how it moves along the ladder",
                f"roles = {{..., {unknown[0]!r}: Role.FIXED}} in the class, or another Role",
            )
        roles = {name: _ROLES[name] for name in names}
        if getattr(self, "weight_decay_form", DecayForm.DECOUPLED) is DecayForm.L2:
            roles["weight_decay"] = Role.L2_DECAY
        return roles

    def init(self, params: Vector) -> State:
        """The state before the first step: zeros beside the params."""
        return self.unpack((params, *(jnp.zeros_like(params) for _ in list(self.slots)[1:])))

    def clock(self, step: Scalar) -> Any:
        """What of a step depends on its number, counted from 0; `step` may be fractional."""
        return step

    def advance(self, clock: Any, state: State, gradient: Vector) -> State:
        """One step, given the clock's values.

        Raises:
            DriftaxError: if a class has a `clock` of its own and no `advance` that takes its values.
        """
        if type(self).clock is not AbstractOptimizer.clock:
            raise DriftaxError(
                f"one step of {self.name}, given what depends on its number",
                "a `clock` of its own, which `update` is not given: it gets the number of the step",
                "def advance(self, clock, state, gradient): in place of update",
            )
        return self.update(clock, state, gradient)

    def update(self, step: Scalar, state: State, gradient: Vector) -> State:
        """One step of the optimizer: the number of the step counts from 0.

        Raises:
            DriftaxError: if a class defines neither this nor `advance`.
        """
        if type(self).advance is AbstractOptimizer.advance:
            raise DriftaxError(
                f"one step of {self.name}",
                "a class with neither `update` nor `advance`",
                "def update(self, step, state, gradient): return state._replace(params=...)",
            )
        return self.advance(self.clock(step), state, gradient)

    def latex(self) -> list[str]:
        """The update map of one step, line by line, and last the numbers in it."""
        before, after = (
            r",\,".join(f"{symbol(name)}_{{{index}}}" for name in self.slots) for index in ("k", "k+1")
        )
        return [rf"({after}) = \operatorname{{update}}(k,\,{before},\,g_k)", latex_numbers(self)]

    def params(self, state: State) -> Vector:
        return state[0]

    def pack(self, state: State) -> Slots:
        """The state as one array [slot, dim]."""
        return jnp.stack(tuple(state))

    def unpack(self, slots: Slots | Sequence[Vector]) -> State:
        """The state from its array [slot, dim], or from its rows."""
        return _state_type(tuple(self.slots))(*slots)

    def units(self, regime: Regime) -> dict[str, Scalar]:
        """What a slot is multiplied by in the regime's own units; 1 where a slot is not named.

        Second moments are kept in units of the time step, `h nu`, where the gradient noise grows like 1/h.
        """
        if regime is Regime.BALLISTIC or not self.normalised:
            return {}
        return {name: self.time_step(regime) for name, power in self.slots.items() if power == 2}

    def time_step(self, regime: Regime) -> Scalar:
        """The length h of one step in the regime's clock t = step * h."""
        if regime is Regime.BATCH_EQUIVALENT and self.normalised:
            return self.learning_rate**2
        return self.learning_rate

    def time_step_latex(self, regime: Regime) -> str:
        """The same in symbols; nothing where a class has a clock of its own and says no more."""
        if type(self).time_step is not AbstractOptimizer.time_step:
            return ""
        return r"\eta^2" if regime is Regime.BATCH_EQUIVALENT and self.normalised else r"\eta"

    def check_regime(self, regime: Regime) -> None:
        """Refuses a regime in which the optimizer has no limit; most have one in both."""

    @property
    def numbers(self) -> dict[str, Scalar]:
        """The hyperparameters by name, the learning rate first."""
        return {name: getattr(self, name) for name in ("learning_rate", *self.roles)}

    def ladder(self, regime: Regime) -> dict[str, float]:
        """The power of the rung's scale by which each number is multiplied (a decay: its 1 - decay)."""
        roles = {"learning_rate": Role.LEARNING_RATE, **self.roles}
        return {name: ladder_power(role, self.normalised, regime) for name, role in roles.items()}

    def scaled(self, factors: Mapping[str, Scalar]) -> AbstractOptimizer:
        """The same optimizer with the named numbers multiplied, a decay through its 1 - decay."""
        if not factors:
            return self
        names = list(factors)
        values = [_times(n, self.roles.get(n), getattr(self, n), factors[n]) for n in names]
        return eqx.tree_at(lambda o: [getattr(o, n) for n in names], self, values)

    def at(self, scale: Scalar, regime: Regime) -> AbstractOptimizer:
        """The same optimizer on a finer clock: this *is* the regime."""
        return self.scaled(_powers(scale, self.ladder(regime)))

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> AbstractOptimizer:
        """`at(root_scale**2)`, written for gradients measured in units of 1/root_scale.

        In the batch-equivalent regime the noise grows like 1/root_scale; in these units every number has a
        limit as root_scale falls to 0, so that the step can be expanded there.
        """
        powers = {name: 2 * power for name, power in self.ladder(regime).items()}
        if regime is Regime.BATCH_EQUIVALENT:
            for name, role in {"learning_rate": Role.LEARNING_RATE, **self.roles}.items():
                powers[name] += gradient_dimension(role, self.normalised)
        return self.scaled(_powers(root_scale, powers))


def _powers(scale: Scalar, powers: Mapping[str, float]) -> dict[str, Scalar]:
    # An integer power keeps the expansion around scale 0 exact.
    return {n: scale ** (int(p) if p == int(p) else p) for n, p in powers.items() if p}


def _times(name: str, role: Role | None, value: Scalar, factor: Scalar) -> Scalar:
    return 1 - (1 - value) * factor if is_decay(name, role) else value * factor


def is_decay(name: str, role: Role | None) -> bool:
    """Whether a number is multiplied through its 1 - value.

    A beta inside a sign is: it keeps its value on every rung, but a schedule moves it as any other beta.
    """
    return role is Role.DECAY or (role is Role.FIXED and _ROLES.get(name) is Role.DECAY)


@lru_cache
def _state_type(names: tuple[str, ...]) -> Any:
    return namedtuple("State", names)


def bias_correction(decay: Scalar, steps: Scalar) -> Scalar:
    """`1 - decay**steps` without cancellation, for a fractional number of steps too."""
    return -jnp.expm1(steps * jnp.log(decay))


_NUMBERS = (int, float, np.number, np.ndarray, jax.Array)


def check_options(optimizer: AbstractOptimizer) -> None:
    """Refuses a field that is an option, not a number, unless it is static: numbers are traced.

    Raises:
        DriftaxError: with the field.
    """
    for field in dataclasses.fields(optimizer):
        value = getattr(optimizer, field.name)
        numbers = all(isinstance(leaf, _NUMBERS) for leaf in jax.tree.leaves(value))
        if not field.metadata.get("static", False) and (isinstance(value, bool) or not numbers):
            raise DriftaxError(
                f"the field {field.name} of {optimizer.name}",
                f"{value!r}, which is an option and no number",
                f"{field.name}: {type(value).__name__} = eqx.field(default=..., static=True)",
            )


_DECAYS = ("decay", "momentum", "dampening", "b1", "b2", "b3", "rho", "beta")
_LARGEST_RATE = 1e6  # beyond it one step overflows what is squared


def check_hyperparameters(optimizer: str, **values: Scalar) -> None:
    """Refuses numbers no optimizer can have; decays lie in [0, 1), the others are 0 or more."""
    for name, value in values.items():
        # Traced values come from an optimizer that was checked when it was built.
        if isinstance(value, jax.core.Tracer):
            continue
        number = _float(value)
        is_decay = name in _DECAYS
        inside = 0 <= number < 1 if is_decay else number >= 0
        if name == "learning_rate":
            inside = 0 < number < _LARGEST_RATE
        if not inside or not np.isfinite(number):
            limits = "a number in [0, 1)" if is_decay else "a number of 0 or more"
            if name == "learning_rate":
                limits = f"a number above 0 and below {_LARGEST_RATE:g}"
            raise DriftaxError(f"`{optimizer}`", f"{name} = {number:g}", f"{name} = {limits}")


def _float(value: Scalar) -> float:
    """A number of any size: inf for a whole number beyond those of floats."""
    try:
        return float(np.asarray(value))
    except OverflowError:
        return math.inf


def symbol(name: str) -> str:
    """The LaTeX symbol of a hyperparameter or a vector of the state; an unknown one keeps its name."""
    plain = name.replace("_", r"\_")
    return SYMBOLS.get(name, rf"\text{{{plain}}}")


def latex_number(value: Scalar) -> str:
    """A number in LaTeX with at most 6 digits, as a power of ten where that is shorter."""
    mantissa, _, exponent = f"{float(value):.6g}".partition("e")
    if not exponent:
        return mantissa
    power = f"10^{{{int(exponent)}}}"
    return power if mantissa == "1" else rf"{mantissa}\times {power}"


def latex_numbers(optimizer: AbstractOptimizer) -> str:
    """The hyperparameters with their values; a weight decay of 0 is not there."""
    absent = ("weight_decay", "learning_rate_decay")
    shown = {name: value for name, value in optimizer.numbers.items() if name not in absent or value != 0}
    return r",\quad ".join(f"{symbol(name)} = {latex_number(value)}" for name, value in shown.items())
