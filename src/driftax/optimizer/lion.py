from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer
from driftax.regime import Role


class Lion(DecayedOptimizer):
    """Lion: `x' = x - lr sign(b1 mu + (1 - b1) g) - lr weight_decay x`, `mu' = b2 mu + (1 - b2) g`.

    b1 weighs the newest gradient against the average inside a sign, where only ratios count: it is the same
    on every rung. b2 is a memory, and 1 - b2 falls with the time step.

    Source: chen2023, Lion.

    Args:
        learning_rate: above 0.
        b1: weight of the average inside the sign, in [0, 1).
        b2: decay of the average, in [0, 1).
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    b1: Scalar = 0.9
    b2: Scalar = 0.99
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    slots = {"params": 0, "mu": 1}
    normalised = True

    @property
    def roles(self) -> dict[str, Role]:
        return {**super().roles, "b1": Role.FIXED}

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        step = jnp.sign(self.b1 * state.mu + (1 - self.b1) * gradient)
        mu = state.mu + (1 - self.b2) * (gradient - state.mu)
        return step, mu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        return [
            rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}(\beta_1\,\mu_k + (1-\beta_1)\,{gradient}){beside}",
            rf"\mu_{{k+1}} = \beta_2\,\mu_k + (1-\beta_2)\,{gradient}",
        ]
