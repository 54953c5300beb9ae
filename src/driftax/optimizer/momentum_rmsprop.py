from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import AbstractOptimizer, DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer, decay_role
from driftax.regime import Regime, Role


class MomentumRMSprop(DecayedOptimizer):
    """RMSprop with momentum on its step, or centred, or both.

    `v' = decay v + (1 - decay) g^2`, `m' = decay m + (1 - decay) g` and `w = v' - m'^2` if `centered`, else
    `w = v'`; `b' = momentum b + (1 - momentum) g / (sqrt(w) + eps)`, `x' = x - lr b' - lr weight_decay x`.
    PyTorch's buffer is `b/(1 - momentum)`, so that its own lr is `learning_rate (1 - momentum)`; it counts by
    this learning rate, which is the time step. In the batch-equivalent regime b falls like the learning rate,
    in units of which it is kept.

    Args:
        learning_rate: above 0.
        decay: of the moments, in [0, 1).
        momentum: in [0, 1); None for no buffer.
        eps: added to the square root, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.
        centered: whether the second moment is reduced to a variance.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    decay: Scalar
    momentum: Scalar | None
    eps: Scalar
    weight_decay: Scalar
    gain: Scalar  # what a step adds to the buffer: 1 - momentum, but in the units of `rescaled_at`
    unit: Scalar  # of the buffer: 1, but in those units
    weight_decay_form: DecayForm = eqx.field(static=True)
    centered: bool = eqx.field(static=True)

    def __init__(
        self,
        learning_rate: Scalar,
        decay: Scalar = 0.99,
        momentum: Scalar | None = None,
        eps: Scalar = 1e-8,
        weight_decay: Scalar = 0.0,
        weight_decay_form: DecayForm = DecayForm.DECOUPLED,
        centered: bool = False,
    ):
        self.learning_rate, self.decay, self.momentum, self.eps = learning_rate, decay, momentum, eps
        self.gain, self.unit = 1.0 if momentum is None else 1 - momentum, 1.0
        self.weight_decay, self.weight_decay_form, self.centered = weight_decay, weight_decay_form, centered

    @property
    def slots(self) -> dict[str, int]:
        slots = {"params": 0, "nu": 2}
        if self.centered:
            slots["mu"] = 1
        return slots if self.momentum is None else {**slots, "buffer": 0}

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "decay": Role.DECAY,
            **({} if self.momentum is None else {"momentum": Role.DECAY}),
            "eps": Role.EPS,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        nu = state.nu + (1 - self.decay) * (gradient**2 - state.nu)
        spread, rows = nu, [nu]
        if self.centered:
            mu = state.mu + (1 - self.decay) * (gradient - state.mu)
            spread = nu - mu**2
            rows.append(mu)
        step = gradient / (jnp.sqrt(spread) + self.eps)
        if self.momentum is not None:
            buffer = self.momentum * state.buffer + self.gain * step
            rows.append(buffer)
            step = self.unit * buffer
        return step, *rows

    def units(self, regime: Regime) -> dict[str, Scalar]:
        units = super().units(regime)
        if regime is Regime.BALLISTIC or self.momentum is None:
            return units
        return {**units, "buffer": 1 / self.learning_rate}

    def scaled(self, factors: Mapping[str, Scalar]) -> AbstractOptimizer:
        moved = super().scaled(factors)
        return eqx.tree_at(lambda o: o.gain, moved, self.gain * factors.get("momentum", 1.0))

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> AbstractOptimizer:
        """As in the base class, and for a buffer that falls like the learning rate."""
        moved = super().rescaled_at(root_scale, regime)
        if regime is Regime.BALLISTIC or self.momentum is None:
            return moved
        # Not through the momentum's 1 - momentum, which would be divided by the unit: 0/0.
        return eqx.tree_at(
            lambda o: (o.gain, o.unit), moved, (self.gain * root_scale, self.unit * root_scale)
        )

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        spread = r"\nu_{k+1} - \mu_{k+1}^2" if self.centered else r"\nu_{k+1}"
        step = rf"\frac{{{gradient}}}{{\sqrt{{{spread}}} + \epsilon}}"
        lines = [rf"\nu_{{k+1}} = \beta\,\nu_k + (1-\beta)\,{gradient}^2"]
        if self.centered:
            lines.append(rf"\mu_{{k+1}} = \beta\,\mu_k + (1-\beta)\,{gradient}")
        if self.momentum is not None:
            momentum = r"\text{momentum}"
            lines.append(
                rf"b_{{k+1}} = {momentum}\,b_k + (1-{momentum})\,{step}\quad \text{{(b is the buffer)}}"
            )
            step = "b_{k+1}"
        lines.append(rf"x_{{k+1}} = x_k - \eta\,{step}{beside}")
        return lines
