from __future__ import annotations

import enum
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State, bias_correction
from driftax.optimizer.decay import DecayedOptimizer


class Rectification(enum.Enum):
    """How the rectified step is written.

    They differ where eps stands and at the very threshold.
    """

    TORCH = "torch"  # r sqrt(c2) m / (sqrt(v') + eps), for a length above 5
    OPTAX = "optax"  # r m / (sqrt(v'/c2) + eps), for a length of 5 or more


class RAdamClock(NamedTuple):
    """The bias corrections, and the weights of the rectified and of the plain step; one of them is 0."""

    mu: Scalar
    nu: Scalar
    rectified: Scalar
    plain: Scalar


class RAdam(DecayedOptimizer):
    """RAdam(W): Adam whose step is multiplied by `r`, or not divided by a second moment while that has seen little.

    `rho = rho_max - 2 t b2**t / (1 - b2**t)` with `rho_max = 2/(1 - b2) - 1` and `t = k + 1` is the length of
    the average behind the second moment; where it exceeds 5,
    `r^2 = (rho - 4) (rho - 2) rho_max / ((rho_max - 4) (rho_max - 2) rho)`, and the step is `lr m'/c1`
    where it does not. All of this depends on the step alone. The steps of the second kind are the first five
    or so on every rung, and they are not normalised: start an equation behind them.

    Source: liu2020, RAdam.

    Args:
        learning_rate: above 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        eps: added to the square root, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.
        rectification: how PyTorch or optax write the rectified step.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    b1: Scalar = 0.9
    b2: Scalar = 0.999
    eps: Scalar = 1e-8
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    rectification: Rectification = eqx.field(default=Rectification.TORCH, static=True)
    slots = {"params": 0, "mu": 1, "nu": 2}

    def clock(self, step: Scalar) -> RAdamClock:
        steps = step + 1
        mu, nu = bias_correction(self.b1, steps), bias_correction(self.b2, steps)
        longest = 2 / (1 - self.b2) - 1
        length = longest - 2 * steps * (1 - nu) / nu
        rectified = length > 5 if self.rectification is Rectification.TORCH else length >= 5
        safe = jnp.where(rectified, length, 6.0)  # the other branch has no root, nor its derivative
        squared = (safe - 4) * (safe - 2) * longest / ((longest - 4) * (longest - 2) * safe)
        factor = jnp.where(rectified, jnp.sqrt(jnp.where(rectified, squared, 1.0)), 0.0)
        return RAdamClock(mu, nu, factor, jnp.where(rectified, 0.0, 1.0))

    def rule(self, clock: RAdamClock, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.b1) * (gradient - state.mu)
        nu = state.nu + (1 - self.b2) * (gradient**2 - state.nu)
        if self.rectification is Rectification.TORCH:
            normaliser = jnp.sqrt(clock.nu) / (jnp.sqrt(nu) + self.eps)
        else:
            normaliser = 1 / (jnp.sqrt(nu / clock.nu) + self.eps)
        step = (mu / clock.mu) * (clock.rectified * normaliser + clock.plain)
        return step, mu, nu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        torch = self.rectification is Rectification.TORCH
        divided = (
            r"\frac{r_k\,\sqrt{c_{2,k}}}{\sqrt{\nu_{k+1}} + \epsilon}"
            if torch
            else r"\frac{r_k}{\sqrt{\nu_{k+1}/c_{2,k}} + \epsilon}"
        )
        threshold = r"\rho_k > 5" if torch else r"\rho_k \geq 5"
        lines = [
            rf"\mu_{{k+1}} = \beta_1\,\mu_k + (1-\beta_1)\,{gradient}",
            rf"\nu_{{k+1}} = \beta_2\,\nu_k + (1-\beta_2)\,{gradient}^2",
            rf"x_{{k+1}} = x_k - \eta\,\frac{{\mu_{{k+1}}}}{{c_{{1,k}}}}\,{divided}{beside}"
            rf"\quad \text{{if }} {threshold}",
            rf"x_{{k+1}} = x_k - \eta\,\frac{{\mu_{{k+1}}}}{{c_{{1,k}}}}{beside}\quad \text{{otherwise}}",
            r"\rho_k = \rho_\infty - \frac{2\,(k+1)\,\beta_2^{k+1}}{c_{2,k}},\quad "
            r"\rho_\infty = \frac{2}{1-\beta_2} - 1,\quad "
            r"r_k^2 = \frac{(\rho_k-4)(\rho_k-2)\,\rho_\infty}{(\rho_\infty-4)(\rho_\infty-2)\,\rho_k}",
            r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k+1}",
        ]
        return lines
