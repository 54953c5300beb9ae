from __future__ import annotations

import enum

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    DecayForm,
    State,
    bias_correction,
    check_hyperparameters,
    latex_numbers,
)
from driftax.optimizer.adam import AdamClock
from driftax.optimizer.sgd import decay_latex, decay_role
from driftax.regime import Role


class Maximum(enum.Enum):
    """Of which second moments the maximum is kept: before or after bias correction."""

    RAW = "raw"  # PyTorch: max(v), corrected when it divides
    CORRECTED = "corrected"  # optax: max(v/c2)


class AMSGrad(AbstractOptimizer):
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

    def __check_init__(self):
        check_hyperparameters("AMSGrad", **self.numbers)

    @property
    def normalised(self) -> bool:
        return True

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0, "mu": 1, "nu": 2, "nu_max": 2}

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "b1": Role.DECAY,
            "b2": Role.DECAY,
            "eps": Role.EPS,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def clock(self, step: Scalar) -> AdamClock:
        if not self.bias_correction:
            return AdamClock(1.0, 1.0)
        return AdamClock(bias_correction(self.b1, step + 1), bias_correction(self.b2, step + 1))

    def advance(self, clock: AdamClock, state: State, gradient: Vector) -> State:
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        mu = state.mu + (1 - self.b1) * (gradient - state.mu)
        nu = state.nu + (1 - self.b2) * (gradient**2 - state.nu)
        if self.maximum is Maximum.RAW:
            nu_max = jnp.maximum(state.nu_max, nu)
            divisor = nu_max / clock.nu
        else:
            nu_max = divisor = jnp.maximum(state.nu_max, nu / clock.nu)
        step = (mu / clock.mu) / (jnp.sqrt(divisor) + self.eps)
        if decoupled:
            step = step + self.weight_decay * state.params
        return self.unpack((state.params - self.learning_rate * step, mu, nu, nu_max))

    def latex(self) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        gradient = r"\hat{g}_k" if inside else "g_k"
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
        if inside:
            lines.insert(0, rf"\hat{{g}}_k = g_k{inside}")
        if self.bias_correction:
            lines.append(r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k+1}")
        return [*lines, latex_numbers(self)]
