from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    DecayForm,
    check_hyperparameters,
    latex_numbers,
)
from driftax.optimizer.sgd import decay_latex, decay_role
from driftax.regime import Role


class DampenedState(NamedTuple):
    """The state: params and first moment."""

    params: Vector
    mu: Vector


class DampenedMomentum(AbstractOptimizer):
    """Momentum whose very first step is not dampened: `m' = momentum m + (1 - momentum) c g`, `x' = x - lr m'`.

    c is `1/(1 - dampening)` in step 0 and 1 afterwards: PyTorch's SGD starts its buffer at the first gradient
    and takes `(1 - dampening) g` from then on. Its buffer is `m (1 - dampening)/(1 - momentum)`, so that its
    own lr is `learning_rate (1 - momentum)/(1 - dampening)`. Start an equation behind step 0.

    Args:
        learning_rate: above 0; the time step.
        momentum: in [0, 1).
        dampening: in [0, 1).
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    momentum: Scalar
    dampening: Scalar
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.L2, static=True)

    def __check_init__(self):
        check_hyperparameters(
            "DampenedMomentum", learning_rate=self.learning_rate, weight_decay=self.weight_decay
        )
        check_hyperparameters("DampenedMomentum: the momentum", decay=self.momentum)
        check_hyperparameters("DampenedMomentum: the dampening", decay=self.dampening)

    @property
    def normalised(self) -> bool:
        return False

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0, "mu": 1}

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "momentum": Role.DECAY,
            "dampening": Role.DECAY,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def clock(self, step: Scalar) -> Scalar:
        """The factor c of the gradient."""
        return jnp.where(jnp.asarray(step) < 0.5, 1 / (1 - self.dampening), 1.0)

    def advance(self, clock: Scalar, state: DampenedState, gradient: Vector) -> DampenedState:
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        mu = state.mu + (1 - self.momentum) * (clock * gradient - state.mu)
        step = mu + self.weight_decay * state.params if decoupled else mu
        return self.unpack((state.params - self.learning_rate * step, mu))

    def latex(self) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        gradient = rf"(g_k{inside})" if inside else "g_k"
        return [
            rf"\mu_{{k+1}} = \text{{momentum}}\;\mu_k + (1-\text{{momentum}})\,c_k\,{gradient}",
            rf"x_{{k+1}} = x_k - \eta\,\mu_{{k+1}}{beside}",
            r"c_0 = 1/(1-\text{dampening}),\quad c_k = 1\ \text{for } k \geq 1",
            latex_numbers(self),
        ]

    def unpack(self, slots) -> DampenedState:
        return DampenedState(*slots)
