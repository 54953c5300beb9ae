"""Hyperparameters that change in time: any optimizer with factors on its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import optax

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.optimizer._base import AbstractOptimizer, State, is_decay, symbol
from driftax.regime import Regime, Role

Number = float | int
Schedule = Callable[[Scalar], Any]  # a factor, as a function of the steps of rung 1 taken before

# Where optax's own functions hold their first value before step 0, they have no right derivative at step 0,
# which an equation of order 2 needs there: those are written out below. The values are optax's.


@lru_cache
def constant(factor: Number = 1.0) -> Schedule:
    """The factor itself, at every step."""
    return optax.constant_schedule(factor)


@lru_cache
def cosine(steps: Number, end: Number = 0.0) -> Schedule:
    """From 1 to `end` along half a cosine, `end` after it."""
    return optax.cosine_decay_schedule(1.0, steps, alpha=end)  # type: ignore[arg-type]


@lru_cache
def polynomial(steps: Number, end: Number = 0.0, power: Number = 1.0) -> Schedule:
    """`end + (1 - end) (1 - k/steps)**power`, `end` after it."""

    def schedule(count):
        inside = count < steps
        left = jnp.where(inside, 1 - count / steps, 1.0)  # the other branch has no infinite slope
        return jnp.where(inside, end + (1 - end) * left**power, end)

    return schedule


@lru_cache
def linear(steps: Number, end: Number = 0.0) -> Schedule:
    """From 1 to `end` along a line, `end` after it."""
    return polynomial(steps, end, 1)


@lru_cache
def exponential(steps: Number, rate: Number) -> Schedule:
    """`rate**(k/steps)`."""
    return lambda count: rate ** (count / steps)


@lru_cache
def warmup_cosine(warmup: Number, steps: Number, start: Number = 0.0, end: Number = 0.0) -> Schedule:
    """From `start` to 1 along a line of `warmup` steps, then to `end` along half a cosine that ends at `steps`."""
    falling = cosine(steps - warmup, end)

    def schedule(count):
        rising = start + (1 - start) * count / warmup
        return jnp.where(count < warmup, rising, falling(jnp.maximum(count - warmup, 0.0)))

    return schedule


def relative(schedule: Schedule, value: Number) -> Schedule:
    """A schedule of values, such as one of optax, as factors on `value`.

    Example:
        >>> import optax
        >>> from driftax.optimizer import Adam, Scheduled, relative
        >>> falling = optax.cosine_decay_schedule(0.1, decay_steps=100)
        >>> adam = Scheduled(Adam(0.1), {"learning_rate": relative(falling, 0.1)})
    """
    return lambda count: schedule(count) / value


class ScheduledClock(NamedTuple):
    """The factors on the numbers at a step, and the clock of the optimizer with those numbers."""

    factors: tuple[Scalar, ...]
    base: Any


class Scheduled(AbstractOptimizer):
    """An optimizer whose numbers change in time: at step k, `learning_rate -> learning_rate * factor(k)`.

    A factor is a function of the steps taken **on rung 1**, so that it is one function of time on the whole
    ladder: at rung s, step k sees factor(k s). A decay moves through its `1 - decay`. The time step is that
    of the unscheduled learning rate, so the equation's coefficients depend on time. `factor` must be
    differentiable; at a kink (the end of a warm-up) it should take the derivative to the right, which a
    `jnp.where(count < end, ...)` does.

    Args:
        base: the optimizer.
        schedules: the factor of every number that changes, by the number's name.

    Raises:
        DriftaxError: if the optimizer has no such number, or a factor makes a number impossible at step 0.

    Example:
        >>> from driftax.optimizer import SGD, Scheduled, cosine
        >>> sgd = Scheduled(SGD(0.1), {"learning_rate": cosine(steps=100, end=0.1)})
        >>> round(float(sgd.clock(50.0).factors[0]), 6)
        0.55
    """

    base: AbstractOptimizer
    scale: Scalar  # the rung: steps of rung 1 in one step
    schedules: tuple[tuple[str, Schedule], ...] = eqx.field(static=True)

    def __init__(self, base: AbstractOptimizer, schedules: Mapping[str, Schedule]):
        self.base, self.scale, self.schedules = base, 1.0, tuple(schedules.items())
        known = [name for name, role in base.roles.items() if role not in (Role.EPS, Role.EPS_ROOT)]
        for name, schedule in self.schedules:
            asked = f"a schedule of {name} for {base.name}"
            if name not in known:
                found = f"no number of this name that may change: {', '.join(known) or 'none'}"
                raise DriftaxError(asked, found, f"a schedule of {known[0]}" if known else "no schedule")
            _check_first(asked, name, base, schedule)

    @property  # type: ignore[misc]
    def learning_rate(self) -> Scalar:  # type: ignore[override]
        """That of the base, which sets the clock."""
        return self.base.learning_rate

    @property
    def name(self) -> str:
        return f"{self.base.name} with schedules"

    @property
    def normalised(self) -> bool:
        return self.base.normalised

    @property
    def slots(self) -> dict[str, int]:
        return self.base.slots

    @property
    def roles(self) -> dict[str, Role]:
        return self.base.roles

    @property
    def numbers(self) -> dict[str, Scalar]:
        return self.base.numbers

    def init(self, params: Vector) -> State:
        return self.base.init(params)

    def clock(self, step: Scalar) -> ScheduledClock:
        factors = tuple(schedule(step * self.scale) for _, schedule in self.schedules)
        return ScheduledClock(factors, self._now(factors).clock(step))

    def advance(self, clock: ScheduledClock, state: State, gradient: Vector) -> State:
        return self._now(clock.factors).advance(clock.base, state, gradient)

    def _now(self, factors: Sequence[Scalar]) -> AbstractOptimizer:
        return self.base.scaled({name: f for (name, _), f in zip(self.schedules, factors, strict=True)})

    def unpack(self, slots: Slots | Sequence[Vector]) -> State:
        return self.base.unpack(slots)

    def units(self, regime: Regime) -> dict[str, Scalar]:
        return self.base.units(regime)

    def time_step(self, regime: Regime) -> Scalar:
        return self.base.time_step(regime)

    def time_step_latex(self, regime: Regime) -> str:
        return self.base.time_step_latex(regime)

    def check_regime(self, regime: Regime) -> None:
        self.base.check_regime(regime)

    def ladder(self, regime: Regime) -> dict[str, float]:
        return self.base.ladder(regime)

    def scaled(self, factors: Mapping[str, Scalar]) -> Scheduled:
        return eqx.tree_at(lambda o: o.base, self, self.base.scaled(factors))

    def at(self, scale: Scalar, regime: Regime) -> Scheduled:
        moved = (self.base.at(scale, regime), self.scale * scale)
        return eqx.tree_at(lambda o: (o.base, o.scale), self, moved)

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> Scheduled:
        moved = (self.base.rescaled_at(root_scale, regime), self.scale * root_scale**2)
        return eqx.tree_at(lambda o: (o.base, o.scale), self, moved)

    def latex(self) -> list[str]:
        *update, numbers = self.base.latex()
        moves = []
        for index, (name, _) in enumerate(self.schedules):
            decay = is_decay(name, self.base.roles[name])
            left = f"1-{symbol(name)}" if decay else symbol(name)
            what = f"({left})" if decay else left
            moves.append(rf"{left} \to {what}\,\phi_{{{index + 1}}}(s\,k)")
        return [*update, r"\text{at step } k:\quad " + r",\quad ".join(moves), numbers]


def _check_first(asked: str, name: str, base: AbstractOptimizer, schedule: Schedule) -> None:
    """Refuses a first factor with which no optimizer can step."""
    first = float(np.asarray(schedule(0.0)))
    if not np.isfinite(first) or first < 0:
        raise DriftaxError(asked, f"the factor {first:g} at step 0", "a function whose values are 0 or more")
    if is_decay(name, base.roles[name]):
        rate = 1 - float(np.asarray(base.numbers[name]))
        if not 0 < first * rate <= 1:
            raise DriftaxError(
                asked,
                f"the factor {first:g} at step 0 on 1 - {name} = {rate:g}",
                f"a factor above 0 and at most {1 / rate:g}: it multiplies 1 - {name}, which is in (0, 1]",
            )
