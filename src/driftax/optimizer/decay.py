"""Weight decay, which every optimizer has in the same two forms."""

from __future__ import annotations

import abc
from typing import Any

from driftax._types import Scalar, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    DecayForm,
    State,
    check_hyperparameters,
    latex_numbers,
)
from driftax.regime import Role


class DecayedOptimizer(AbstractOptimizer):
    """An optimizer with a weight decay: its file says only its `rule`, and how that is written.

    The fields `weight_decay` and `weight_decay_form` stand in the class itself, behind its other numbers: a field of
    a base would be the first argument. So `self` is not typed here.
    """

    def __check_init__(self):
        check_hyperparameters(self.name, **self.numbers)

    @abc.abstractmethod
    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        """The direction of the step of the params, and the other vectors after it."""

    @abc.abstractmethod
    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        """The same in symbols, given those of the gradient and of a decay beside the step."""

    def clock(self, step: Scalar) -> Any:
        return ()  # a rule does not know the number of its step, but where a class says so

    def step_size(self, clock: Any) -> Scalar:
        """What the direction is multiplied by."""
        return self.learning_rate

    def advance(self: Any, clock: Any, state: State, gradient: Vector) -> State:
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        direction, *rows = self.rule(clock, state, gradient)
        if decoupled:
            direction = direction + self.weight_decay * state.params
        return self.unpack((state.params - self.step_size(clock) * direction, *rows))

    def latex(self: Any) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        first = [rf"\hat{{g}}_k = g_k{inside}"] if inside else []
        return [*first, *self.rule_latex(r"\hat{g}_k" if inside else "g_k", beside), latex_numbers(self)]


def decay_role(form: DecayForm) -> Role:
    """The role of a weight decay of the given form."""
    return Role.DECOUPLED_DECAY if form is DecayForm.DECOUPLED else Role.L2_DECAY


def decay_latex(weight_decay: Scalar, form: DecayForm) -> tuple[str, str]:
    """LaTeX of a weight decay beside the gradient and beside the step; one of them empty, or both."""
    if not weight_decay:
        return "", ""
    return ("", r" - \eta\lambda\,x_k") if form is DecayForm.DECOUPLED else (r" + \lambda x_k", "")
