from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, Denominator, State, bias_correction
from driftax.optimizer.decay import DecayedOptimizer


class AdamClock(NamedTuple):
    """The bias corrections of the first and second moment."""

    mu: Scalar
    nu: Scalar


class Adam(DecayedOptimizer):
    """Adam(W): `m' = b1 m + (1-b1) g`, `v' = b2 v + (1-b2) g^2`,
    `x' = x - lr (m'/c1) / (sqrt(v*/c2) + eps) - lr weight_decay x`.

    v* is v' with c2 = 1 - b2**(k+1) (`Denominator.UPDATED`, PyTorch and optax) or v with c2 = 1 - b2**k
    (`PREVIOUS`, the papers); c1 = 1 - b1**(k+1); both are 1 without `bias_correction`.

    Source: callisti2025, Adam; compagnoni2025, AdamW.

    Args:
        learning_rate: above 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        eps: added to the square root, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step (AdamW), or inside the gradient.
        denominator: which second moment divides.
        bias_correction: whether the moments are corrected for their start at 0.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    b1: Scalar = 0.9
    b2: Scalar = 0.999
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    denominator: Denominator = eqx.field(default=Denominator.UPDATED, static=True)
    bias_correction: bool = eqx.field(default=True, static=True)
    slots = {"params": 0, "mu": 1, "nu": 2}

    def clock(self, step: Scalar) -> AdamClock:
        if not self.bias_correction:
            return AdamClock(1.0, 1.0)
        seen = step + 1 if self.denominator is Denominator.UPDATED else step
        return AdamClock(bias_correction(self.b1, step + 1), bias_correction(self.b2, seen))

    def rule(self, clock: AdamClock, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.b1) * (gradient - state.mu)
        nu = state.nu + (1 - self.b2) * (gradient**2 - state.nu)
        divisor = nu if self.denominator is Denominator.UPDATED else state.nu
        step = (mu / clock.mu) / (jnp.sqrt(divisor / clock.nu) + self.eps)
        return step, mu, nu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        index = "k+1" if self.denominator is Denominator.UPDATED else "k"
        mu, nu = r"\mu_{k+1}", rf"\nu_{{{index}}}"
        if self.bias_correction:
            mu, nu = mu + "/c_{1,k}", nu + "/c_{2,k}"
        lines = [
            rf"\mu_{{k+1}} = \beta_1\,\mu_k + (1-\beta_1)\,{gradient}",
            rf"\nu_{{k+1}} = \beta_2\,\nu_k + (1-\beta_2)\,{gradient}^2",
            rf"x_{{k+1}} = x_k - \eta\,\frac{{{mu}}}{{\sqrt{{{nu}}} + \epsilon}}{beside}",
        ]
        if self.bias_correction:
            lines.append(rf"c_{{1,k}} = 1 - \beta_1^{{k+1}},\quad c_{{2,k}} = 1 - \beta_2^{{{index}}}")
        return lines
