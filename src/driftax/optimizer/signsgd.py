from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer


class SignSGD(DecayedOptimizer):
    """The sign of the stochastic gradient: `x' = x - lr sign(g) - lr weight_decay x`.

    With an L2 decay `weight_decay x` joins the gradient inside the sign instead. The sign is not smooth, so
    its moments are integrated exactly (`moments_of_sign`) before anything is differentiated.

    Source: compagnoni2025, SignSGD.

    Args:
        learning_rate: above 0.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: where the decay enters.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    slots = {"params": 0}
    normalised = True

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        return (jnp.sign(gradient),)

    def decays(self, params: Vector) -> tuple[Vector, Vector]:
        """The decay terms inside the sign and beside it."""
        term = self.weight_decay * params
        zero = jnp.zeros_like(params)
        return (zero, term) if self.weight_decay_form is DecayForm.DECOUPLED else (term, zero)

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        return [rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}({gradient}){beside}"]
