from __future__ import annotations

from typing import Any

import equinox as eqx

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer


class SGD(DecayedOptimizer):
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
    slots = {"params": 0}

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        return (gradient,)

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        return [rf"x_{{k+1}} = x_k - \eta\,{gradient}{beside}"]
