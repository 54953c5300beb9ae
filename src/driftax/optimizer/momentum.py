from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any

import equinox as eqx

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State, check_hyperparameters
from driftax.optimizer.decay import DecayedOptimizer, decay_role
from driftax.regime import Regime, Role


class MomentumForm(enum.Enum):
    """What the buffer is: a sum of gradients (PyTorch, optax) or their moving average."""

    HEAVY_BALL = "heavy_ball"
    EMA = "ema"


class Momentum(DecayedOptimizer):
    """SGD with momentum: `b' = decay b + g`, `x' = x - lr b'` (heavy ball, PyTorch and optax), or
    `mu' = decay mu + (1 - decay) g`, `x' = x - lr mu'` (EMA).

    With `nesterov` the step looks ahead: `g + decay b'`, or `(1 - decay) g + decay mu'`. A heavy ball is an
    EMA of learning rate lr/(1 - decay), which is its time step h; the slot `mu` is that EMA in both forms,
    so that it has a limit: **a heavy ball's buffer is mu/(1 - decay)**. On a rung s, h and 1 - decay move
    by s, and the learning rate of a heavy ball by s^2. A decoupled decay is `x' = x - lr weight_decay x`
    with the learning rate itself: of a heavy ball it is a term of order h^2 that falls along the ladder (an
    L2 decay does not).

    Source: litaie2019, momentum SGD (re-derived).

    Args:
        learning_rate: above 0.
        decay: of the buffer, in [0, 1).
        form: what the buffer is.
        nesterov: whether the step looks ahead.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient (PyTorch).

    Raises:
        DriftaxError: if a number is out of its range.
    """

    rate: Scalar  # of the EMA: the time step
    gain: Scalar  # what a gradient adds to the EMA: 1 - decay, but for a heavy ball whose decay is scheduled
    decay: Scalar
    weight_decay: Scalar
    form: MomentumForm = eqx.field(static=True)
    nesterov: bool = eqx.field(static=True)
    weight_decay_form: DecayForm = eqx.field(static=True)
    slots = {"params": 0, "mu": 1}

    def __init__(
        self,
        learning_rate: Scalar,
        decay: Scalar = 0.9,
        form: MomentumForm = MomentumForm.HEAVY_BALL,
        nesterov: bool = False,
        weight_decay: Scalar = 0.0,
        weight_decay_form: DecayForm = DecayForm.DECOUPLED,
    ):
        check_hyperparameters("Momentum", learning_rate=learning_rate, decay=decay, weight_decay=weight_decay)
        self.gain, self.decay = 1 - decay, decay
        self.rate = learning_rate / self.gain if form is MomentumForm.HEAVY_BALL else learning_rate
        self.form, self.nesterov = form, nesterov
        self.weight_decay, self.weight_decay_form = weight_decay, weight_decay_form

    @property  # type: ignore[misc]
    def learning_rate(self) -> Scalar:  # type: ignore[override]
        return self.rate * self.gain if self.form is MomentumForm.HEAVY_BALL else self.rate

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "decay": Role.DECAY,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = self.decay * state.mu + self.gain * gradient
        return (self.decay * mu + self.gain * gradient if self.nesterov else mu), mu

    def advance(self, clock: Any, state: State, gradient: Vector) -> State:
        # A decoupled decay counts by the learning rate, which is not the time step of a heavy ball.
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        direction, mu = self.rule(clock, state, gradient)
        params = state.params - self.rate * direction
        if decoupled:
            params = params - self.learning_rate * self.weight_decay * state.params
        return self.unpack((params, mu))

    def time_step(self, regime: Regime) -> Scalar:
        return self.rate

    def time_step_latex(self, regime: Regime) -> str:
        return r"\eta/(1-\beta)" if self.form is MomentumForm.HEAVY_BALL else r"\eta"

    def ladder(self, regime: Regime) -> dict[str, float]:
        heavy = self.form is MomentumForm.HEAVY_BALL
        return {"learning_rate": 2.0 if heavy else 1.0, "decay": 1.0, "weight_decay": 0.0}

    def scaled(self, factors: Mapping[str, Scalar]) -> Momentum:
        """The same optimizer with the named numbers multiplied; mu stays the EMA of the unscheduled decay."""
        memory = factors.get("decay", 1.0)
        gain = 1.0 if self.form is MomentumForm.HEAVY_BALL else memory
        return self._moved(factors.get("learning_rate", 1.0), memory, gain, factors.get("weight_decay", 1.0))

    def at(self, scale: Scalar, regime: Regime) -> Momentum:
        return self._moved(scale, scale, scale, 1.0)

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> Momentum:
        memory = root_scale**2
        if regime is Regime.BALLISTIC:
            return self._moved(memory, memory, memory, 1.0)
        # Gradients, and a decay with them, are in units of 1/root_scale.
        return self._moved(root_scale, memory, memory, root_scale)

    def _moved(self, rate: Scalar, decay: Scalar, gain: Scalar, weight_decay: Scalar) -> Momentum:
        """With the fields multiplied; never through the learning rate of a heavy ball, which would be 0/0."""
        return eqx.tree_at(
            lambda o: (o.rate, o.decay, o.gain, o.weight_decay),
            self,
            (
                self.rate * rate,
                1 - (1 - self.decay) * decay,
                self.gain * gain,
                self.weight_decay * weight_decay,
            ),
        )

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        heavy = self.form is MomentumForm.HEAVY_BALL
        ahead = rf"\left(\beta\,\mu_{{k+1}} + (1-\beta)\,{gradient}\right)" if self.nesterov else r"\mu_{k+1}"
        rate = r"\frac{\eta}{1-\beta}" if heavy else r"\eta"
        return [
            rf"\mu_{{k+1}} = \beta\,\mu_k + (1-\beta)\,{gradient}"
            + (r"\quad \text{(the buffer is } \mu/(1-\beta)\text{)}" if heavy else ""),
            rf"x_{{k+1}} = x_k - {rate}\,{ahead}{beside}",
        ]
