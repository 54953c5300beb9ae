from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer


class DampenedMomentum(DecayedOptimizer):
    """Momentum whose very first step is not dampened: `m' = momentum m + (1 - momentum) c g`, `x' = x - lr m'`.

    c is `1/(1 - dampening)` in step 0 and 1 afterwards: PyTorch's SGD starts its buffer at the first gradient
    and takes `(1 - dampening) g` from then on. Its buffer is `m (1 - dampening)/(1 - momentum)`, so that its
    own lr is `learning_rate (1 - momentum)/(1 - dampening)`. Start an equation behind step 0.

    Args:
        learning_rate: above 0; the time step.
        momentum: in [0, 1).
        dampening: in [0, 1).
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    momentum: Scalar
    dampening: Scalar
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.L2, static=True)
    slots = {"params": 0, "mu": 1}

    def clock(self, step: Scalar) -> Scalar:
        """The factor c of the gradient."""
        return jnp.where(jnp.asarray(step) < 0.5, 1 / (1 - self.dampening), 1.0)

    def rule(self, clock: Scalar, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.momentum) * (clock * gradient - state.mu)
        return mu, mu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        return [
            rf"\mu_{{k+1}} = \text{{momentum}}\;\mu_k + (1-\text{{momentum}})\,c_k\,{gradient}",
            rf"x_{{k+1}} = x_k - \eta\,\mu_{{k+1}}{beside}",
            r"c_0 = 1/(1-\text{dampening}),\quad c_k = 1\ \text{for } k \geq 1",
        ]
