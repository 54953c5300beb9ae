from __future__ import annotations

import abc
import enum
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.regime import Regime, Role, gradient_dimension, ladder_power, move

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
}


class DecayForm(enum.Enum):
    """Where weight decay enters: on its own beside the step, or inside the gradient."""

    DECOUPLED = "decoupled"
    L2 = "l2"


class Denominator(enum.Enum):
    """Which second moment divides the step: v_{k+1} (PyTorch, optax) or v_k (the papers)."""

    UPDATED = "updated"
    PREVIOUS = "previous"


class AbstractOptimizer(eqx.Module):
    """A coordinate-wise optimizer: each coordinate's step depends on its own state and gradient only.

    `clock(step)` holds what depends on the number of the step (bias corrections); the compiler
    differentiates it in time and keeps it fixed when it expands the rest in the time step.
    """

    learning_rate: eqx.AbstractVar[Scalar]
    smooth: eqx.AbstractClassVar[bool]  # the step is a smooth function of the gradient

    @property
    def name(self) -> str:
        """What the optimizer is called in tables and messages."""
        return type(self).__name__

    @property
    @abc.abstractmethod
    def normalised(self) -> bool:
        """Whether the step stays the same when gradients are rescaled."""

    @property
    @abc.abstractmethod
    def slots(self) -> dict[str, int]:
        """The vectors of the state by name, params first, each with its power of [gradient]."""

    @property
    @abc.abstractmethod
    def roles(self) -> dict[str, Role]:
        """What each hyperparameter is: how it moves along the ladder."""

    @abc.abstractmethod
    def init(self, params: Vector) -> State:
        """The state before the first step."""

    @abc.abstractmethod
    def clock(self, step: Scalar) -> Any:
        """What of a step depends on its number, counted from 0; `step` may be fractional."""

    @abc.abstractmethod
    def advance(self, clock: Any, state: State, gradient: Vector) -> State:
        """One step, given the clock's values."""

    def update(self, step: Scalar, state: State, gradient: Vector) -> State:
        """One step of the optimizer: the number of the step counts from 0."""
        return self.advance(self.clock(step), state, gradient)

    @abc.abstractmethod
    def latex(self) -> list[str]:
        """The update map of one step, line by line, and last the numbers in it."""

    def params(self, state: State) -> Vector:
        return state[0]

    def pack(self, state: State) -> Slots:
        """The state as one array [slot, dim]."""
        return jnp.stack(tuple(state))

    @abc.abstractmethod
    def unpack(self, slots: Slots) -> State:
        """The state from its array [slot, dim]."""

    def time_step(self, regime: Regime) -> Scalar:
        """The length h of one step in the regime's clock t = step * h."""
        if regime is Regime.BATCH_EQUIVALENT and self.normalised:
            return self.learning_rate**2
        return self.learning_rate

    def at(self, scale: Scalar, regime: Regime) -> AbstractOptimizer:
        """The same optimizer on a finer clock: this *is* the regime."""
        powers = {name: ladder_power(role, self.normalised, regime) for name, role in self.roles.items()}
        return _moved(self, self.roles, scale, powers)

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> AbstractOptimizer:
        """`at(root_scale**2)`, written for gradients measured in units of 1/root_scale.

        In the batch-equivalent regime the noise grows like 1/root_scale; in these units every number has a
        limit as root_scale falls to 0, so that the step can be expanded there.
        """
        powers = {}
        for name, role in self.roles.items():
            power = 2 * ladder_power(role, self.normalised, regime)
            if regime is Regime.BATCH_EQUIVALENT:
                power += gradient_dimension(role, self.normalised)
            powers[name] = power
        return _moved(self, self.roles, root_scale, powers)


def _moved(
    optimizer: AbstractOptimizer, roles: dict[str, Role], scale: Scalar, powers: dict[str, float]
) -> AbstractOptimizer:
    names = list(roles)
    # An integer power keeps the expansion around scale 0 exact.
    values = [
        move(getattr(optimizer, n), roles[n], scale, int(p) if p == int(p) else p)
        for n, p in ((n, powers[n]) for n in names)
    ]
    return eqx.tree_at(lambda o: [getattr(o, n) for n in names], optimizer, values)


def bias_correction(decay: Scalar, steps: Scalar) -> Scalar:
    """`1 - decay**steps` without cancellation, for a fractional number of steps too."""
    return -jnp.expm1(steps * jnp.log(decay))


_LARGEST_RATE = 1e6  # beyond it one step overflows what is squared


def check_hyperparameters(optimizer: str, **values: Scalar) -> None:
    """Refuses numbers no optimizer can have; `decay`, `b1`, `b2` lie in [0, 1), the others are 0 or more."""
    for name, value in values.items():
        # Traced values come from an optimizer that was checked when it was built.
        if isinstance(value, jax.core.Tracer):
            continue
        number = float(np.asarray(value))
        is_decay = name in ("decay", "b1", "b2")
        inside = 0 <= number < 1 if is_decay else number >= 0
        if name == "learning_rate":
            inside = 0 < number < _LARGEST_RATE
        if not inside or not np.isfinite(number):
            limits = "a number in [0, 1)" if is_decay else "a number of 0 or more"
            if name == "learning_rate":
                limits = f"a number above 0 and below {_LARGEST_RATE:g}"
            raise DriftaxError(f"`{optimizer}`", f"{name} = {number:g}", f"{name} = {limits}")


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
    values = {name: getattr(optimizer, name) for name in ("learning_rate", *optimizer.roles)}
    shown = {name: value for name, value in values.items() if name != "weight_decay" or value != 0}
    return r",\quad ".join(f"{symbol(name)} = {latex_number(value)}" for name, value in shown.items())
