from __future__ import annotations

import enum

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State, bias_correction
from driftax.optimizer.adam import AdamClock
from driftax.optimizer.decay import DecayedOptimizer


class Maximum(enum.Enum):
    """Of which second moments the maximum is kept: before or after bias correction."""

    RAW = "raw"  # PyTorch: max(v), corrected when it divides
    CORRECTED = "corrected"  # optax: max(v/c2)


class AMSGrad(DecayedOptimizer):
    """AMSGrad(W): Adam divided by the largest second moment so far,
    `n' = max(n, v')`, `x' = x - lr (m'/c1) / (sqrt(n'/c2) + eps) - lr weight_decay x` (`Maximum.RAW`, PyTorch) or
    `n' = max(n, v'/c2)`, `x' = x - lr (m'/c1) / (sqrt(n') + eps) - lr weight_decay x` (`CORRECTED`, optax).

    m', v', c1 and c2 are those of Adam; the slot `nu_max` is n. The maximum is not smooth where it is just
    being reached: weak orders hold where nu_max is above nu by more than one step of nu.

    Source: reddi2018, AMSGrad.

    Args:
        learning_rate: above 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        eps: added to the square root, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.
        maximum: of which second moments.
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
    maximum: Maximum = eqx.field(default=Maximum.RAW, static=True)
    bias_correction: bool = eqx.field(default=True, static=True)
    slots = {"params": 0, "mu": 1, "nu": 2, "nu_max": 2}

    def clock(self, step: Scalar) -> AdamClock:
        if not self.bias_correction:
            return AdamClock(1.0, 1.0)
        return AdamClock(bias_correction(self.b1, step + 1), bias_correction(self.b2, step + 1))

    def rule(self, clock: AdamClock, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.b1) * (gradient - state.mu)
        nu = state.nu + (1 - self.b2) * (gradient**2 - state.nu)
        if self.maximum is Maximum.RAW:
            nu_max = jnp.maximum(state.nu_max, nu)
            divisor = nu_max / clock.nu
        else:
            nu_max = divisor = jnp.maximum(state.nu_max, nu / clock.nu)
        step = (mu / clock.mu) / (jnp.sqrt(divisor) + self.eps)
        return step, mu, nu, nu_max

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        mu, new, largest = r"\mu_{k+1}", r"\nu_{k+1}", r"\bar{\nu}_{k+1}"
        if self.bias_correction:
            mu += "/c_{1,k}"
            if self.maximum is Maximum.RAW:
                largest += "/c_{2,k}"
            else:
                new += "/c_{2,k}"
        lines = [
            rf"\mu_{{k+1}} = \beta_1\,\mu_k + (1-\beta_1)\,{gradient}",
            rf"\nu_{{k+1}} = \beta_2\,\nu_k + (1-\beta_2)\,{gradient}^2",
            rf"\bar{{\nu}}_{{k+1}} = \max(\bar{{\nu}}_k,\,{new})",
            rf"x_{{k+1}} = x_k - \eta\,\frac{{{mu}}}{{\sqrt{{{largest}}} + \epsilon}}{beside}",
        ]
        if self.bias_correction:
            lines.append(r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k+1}")
        return lines
