from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, Denominator, State, bias_correction
from driftax.optimizer.decay import DecayedOptimizer


class RMSprop(DecayedOptimizer):
    """RMSprop(W): `v' = decay v + (1 - decay) g^2`, `x' = x - lr g/(sqrt(v*) + eps) - lr weight_decay x`.

    v* is v' (`Denominator.UPDATED`, PyTorch and optax) or v (`PREVIOUS`, the papers); with
    `bias_correction` it is divided by 1 - decay**(steps it has seen).

    Source: callisti2025, RMSprop; compagnoni2025, RMSpropW.

    Args:
        learning_rate: above 0.
        decay: of the second moment, in [0, 1).
        eps: added to the square root, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.
        denominator: which second moment divides.
        bias_correction: whether v* is corrected for its start at 0.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    decay: Scalar = 0.99
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    denominator: Denominator = eqx.field(default=Denominator.UPDATED, static=True)
    bias_correction: bool = eqx.field(default=False, static=True)
    slots = {"params": 0, "nu": 2}

    def clock(self, step: Scalar) -> Scalar:
        if not self.bias_correction:
            return 1.0
        seen = step + 1 if self.denominator is Denominator.UPDATED else step
        return bias_correction(self.decay, seen)

    def rule(self, clock: Scalar, state: State, gradient: Vector) -> tuple[Vector, ...]:
        nu = state.nu + (1 - self.decay) * (gradient**2 - state.nu)
        divisor = nu if self.denominator is Denominator.UPDATED else state.nu
        step = gradient / (jnp.sqrt(divisor / clock) + self.eps)
        return step, nu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        index = "k+1" if self.denominator is Denominator.UPDATED else "k"
        nu = rf"\nu_{{{index}}}" + ("/c_k" if self.bias_correction else "")
        lines = [
            rf"\nu_{{k+1}} = \beta\,\nu_k + (1-\beta)\,{gradient}^2",
            rf"x_{{k+1}} = x_k - \eta\,\frac{{{gradient}}}{{\sqrt{{{nu}}} + \epsilon}}{beside}",
        ]
        if self.bias_correction:
            lines.append(rf"c_k = 1 - \beta^{{{index}}}")
        return lines
