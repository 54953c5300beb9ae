from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import AbstractOptimizer, DecayForm, State, check_hyperparameters, latex_numbers
from driftax.optimizer.sgd import decay_latex


class SignSGD(AbstractOptimizer):
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

    def __check_init__(self):
        check_hyperparameters("SignSGD", learning_rate=self.learning_rate, weight_decay=self.weight_decay)

    @property
    def normalised(self) -> bool:
        return True

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0}

    def clock(self, step: Scalar) -> tuple[()]:
        return ()

    def advance(self, clock: tuple[()], state: State, gradient: Vector) -> State:
        inside, outside = self.decays(state.params)
        step = jnp.sign(gradient + inside) + outside
        return self.unpack((state.params - self.learning_rate * step,))

    def decays(self, params: Vector) -> tuple[Vector, Vector]:
        """The decay terms inside the sign and beside it."""
        term = self.weight_decay * params
        zero = jnp.zeros_like(params)
        return (zero, term) if self.weight_decay_form is DecayForm.DECOUPLED else (term, zero)

    def latex(self) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        return [rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}(g_k{inside}){beside}", latex_numbers(self)]
