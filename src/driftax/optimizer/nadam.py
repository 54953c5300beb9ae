from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State, bias_correction
from driftax.optimizer.decay import DecayedOptimizer, decay_role
from driftax.regime import Role

_BASE = 0.96  # PyTorch's, of the warm-up of the momentum


class NAdamClock(NamedTuple):
    """What depends on the step: bias corrections (constant momentum), or the warm-up now and one step on."""

    now: Scalar
    next: Scalar
    nu: Scalar


class NAdam(DecayedOptimizer):
    """NAdam(W): Adam whose step looks one momentum ahead,
    `x' = x - lr (a m' + (1 - mu) c g) / (sqrt(v'/c2) + eps) - lr weight_decay x`.

    With a constant momentum mu = b1 (optax) `a = b1/(1 - b1**(k+2))` and `c = 1/(1 - b1**(k+1))`. With a
    `momentum_decay` psi (PyTorch) the momentum warms up, `mu_k = b1 - momentum_warmup 0.96**((k+1) psi)`, and
    the products of all mu so far take the place of the powers of b1: they are a slot of their own,
    `mu_product`, which starts at 1 and has no noise. On a rung s of the ladder 1 - mu moves by s and psi
    still counts steps of rung 1.

    Source: dozat2016, NAdam; the product as a coordinate is re-derived.

    Args:
        learning_rate: above 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        eps: added to the square root, 0 or more.
        momentum_decay: PyTorch's psi, 0 or more (its default is 0.004); None for a constant momentum.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step (NAdamW), or inside the gradient.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    b1: Scalar
    b2: Scalar
    eps: Scalar
    momentum_decay: Scalar | None
    momentum_warmup: Scalar | None  # b1/2 on rung 1
    weight_decay: Scalar
    weight_decay_form: DecayForm = eqx.field(static=True)

    def __init__(
        self,
        learning_rate: Scalar,
        b1: Scalar = 0.9,
        b2: Scalar = 0.999,
        eps: Scalar = 1e-8,
        momentum_decay: Scalar | None = None,
        weight_decay: Scalar = 0.0,
        weight_decay_form: DecayForm = DecayForm.DECOUPLED,
    ):
        self.learning_rate, self.b1, self.b2, self.eps = learning_rate, b1, b2, eps
        self.momentum_decay = momentum_decay
        self.momentum_warmup = None if momentum_decay is None else 0.5 * b1
        self.weight_decay, self.weight_decay_form = weight_decay, weight_decay_form

    @property
    def slots(self) -> dict[str, int]:
        slots = {"params": 0, "mu": 1, "nu": 2}
        return slots if self.momentum_decay is None else {**slots, "mu_product": 0}

    @property
    def roles(self) -> dict[str, Role]:
        roles = {"b1": Role.DECAY, "b2": Role.DECAY, "eps": Role.EPS}
        if self.momentum_decay is not None:
            roles |= {"momentum_decay": Role.RATE, "momentum_warmup": Role.RATE}
        return {
            "learning_rate": Role.LEARNING_RATE,
            **roles,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def init(self, params: Vector) -> State:
        zero, one = jnp.zeros_like(params), jnp.ones_like(params)
        return self.unpack((params, zero, zero) if self.momentum_decay is None else (params, zero, zero, one))

    def clock(self, step: Scalar) -> NAdamClock:
        nu = bias_correction(self.b2, step + 1)
        if self.momentum_decay is None:
            return NAdamClock(bias_correction(self.b1, step + 1), bias_correction(self.b1, step + 2), nu)
        return NAdamClock(
            _BASE ** ((step + 1) * self.momentum_decay), _BASE ** ((step + 2) * self.momentum_decay), nu
        )

    def rule(self, clock: NAdamClock, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.b1) * (gradient - state.mu)
        nu = state.nu + (1 - self.b2) * (gradient**2 - state.nu)
        if self.momentum_decay is None:
            product: tuple[Vector, ...] = ()
            ahead = self.b1 * mu / clock.next + (1 - self.b1) * gradient / clock.now
        else:
            now, after = self._momentum(clock.now), self._momentum(clock.next)
            seen = state.mu_product * now
            product = (seen,)
            ahead = after * mu / (1 - seen * after) + (1 - now) * gradient / (1 - seen)
        step = ahead / (jnp.sqrt(nu / clock.nu) + self.eps)
        return step, mu, nu, *product

    def _momentum(self, warmth: Scalar) -> Scalar:
        assert self.momentum_warmup is not None
        return self.b1 - self.momentum_warmup * warmth

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        constant = self.momentum_decay is None
        momentum, ahead = (r"\beta_1", r"\beta_1") if constant else (r"p_k", r"p_{k+1}")
        first, second = ("c_{1,k+1}", "c_{1,k}") if constant else (r"1 - P_{k+1}\,p_{k+1}", "1 - P_{k+1}")
        look = rf"\frac{{{ahead}\,\mu_{{k+1}}}}{{{first}}} + \frac{{(1-{momentum})\,{gradient}}}{{{second}}}"
        lines = [
            rf"\mu_{{k+1}} = \beta_1\,\mu_k + (1-\beta_1)\,{gradient}",
            rf"\nu_{{k+1}} = \beta_2\,\nu_k + (1-\beta_2)\,{gradient}^2",
            rf"x_{{k+1}} = x_k - \frac{{\eta}}{{\sqrt{{\nu_{{k+1}}/c_{{2,k}}}} + \epsilon}}"
            rf"\,({look}){beside}",
        ]
        if constant:
            lines.append(r"c_{1,k} = 1 - \beta_1^{k+1},\quad c_{2,k} = 1 - \beta_2^{k+1}")
        else:
            warmup, psi = (rf"\text{{{name}}}" for name in (r"momentum\_warmup", r"momentum\_decay"))
            lines.append(
                rf"p_k = \beta_1 - {warmup}\,\cdot 0.96^{{(k+1)\,{psi}}},\quad "
                r"P_{k+1} = P_k\,p_k\ (P\ \text{is mu\_product}),\quad c_{2,k} = 1 - \beta_2^{k+1}"
            )
        return lines
