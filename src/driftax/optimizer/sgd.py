from __future__ import annotations

import equinox as eqx

from driftax._types import Scalar, Vector
from driftax.optimizer._base import AbstractOptimizer, DecayForm, State, check_hyperparameters, latex_numbers
from driftax.regime import Role


class SGD(AbstractOptimizer):
    """Stochastic gradient descent: `x' = x - lr (g + weight_decay x)`.

    Decoupled and L2 weight decay are the same step here; they move differently along the ladder only
    through the table of `driftax.regime`.

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
        check_hyperparameters("SGD", learning_rate=self.learning_rate, weight_decay=self.weight_decay)

    @property
    def normalised(self) -> bool:
        return False

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0}

    def clock(self, step: Scalar) -> tuple[()]:
        return ()

    def advance(self, clock: tuple[()], state: State, gradient: Vector) -> State:
        return self.unpack(
            (state.params - self.learning_rate * (gradient + self.weight_decay * state.params),)
        )

    def latex(self) -> list[str]:
        direction = r"(g_k + \lambda x_k)" if self.weight_decay else "g_k"
        return [rf"x_{{k+1}} = x_k - \eta\,{direction}", latex_numbers(self)]


def decay_role(form: DecayForm) -> Role:
    """The role of a weight decay of the given form."""
    return Role.DECOUPLED_DECAY if form is DecayForm.DECOUPLED else Role.L2_DECAY


def decay_latex(weight_decay: Scalar, form: DecayForm) -> tuple[str, str]:
    """LaTeX of a weight decay beside the gradient and beside the step; one of them empty, or both."""
    if not weight_decay:
        return "", ""
    return ("", r" - \eta\lambda\,x_k") if form is DecayForm.DECOUPLED else (r" + \lambda x_k", "")
