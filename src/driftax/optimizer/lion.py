from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    DecayForm,
    State,
    check_hyperparameters,
    latex_numbers,
)
from driftax.optimizer.sgd import decay_latex, decay_role
from driftax.regime import Role


class Lion(AbstractOptimizer):
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

    def __check_init__(self):
        check_hyperparameters(
            "Lion",
            learning_rate=self.learning_rate,
            b1=self.b1,
            b2=self.b2,
            weight_decay=self.weight_decay,
        )

    @property
    def normalised(self) -> bool:
        return True

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0, "mu": 1}

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "b1": Role.FIXED,
            "b2": Role.DECAY,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def clock(self, step: Scalar) -> tuple[()]:
        return ()

    def advance(self, clock: tuple[()], state: State, gradient: Vector) -> State:
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        step = jnp.sign(self.b1 * state.mu + (1 - self.b1) * gradient)
        if decoupled:
            step = step + self.weight_decay * state.params
        mu = state.mu + (1 - self.b2) * (gradient - state.mu)
        return self.unpack((state.params - self.learning_rate * step, mu))

    def latex(self) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        gradient = r"\hat{g}_k" if inside else "g_k"
        lines = [
            rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}(\beta_1\,\mu_k + (1-\beta_1)\,{gradient}){beside}",
            rf"\mu_{{k+1}} = \beta_2\,\mu_k + (1-\beta_2)\,{gradient}",
        ]
        if inside:
            lines.insert(0, rf"\hat{{g}}_k = g_k{inside}")
        return [*lines, latex_numbers(self)]
