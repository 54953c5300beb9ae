from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State
from driftax.optimizer.decay import DecayedOptimizer
from driftax.regime import Regime


class Signum(DecayedOptimizer):
    """The sign of a moving average: `mu' = decay mu + (1 - decay) g`, `x' = x - lr sign(mu') - lr weight_decay x`.

    The average is slow, so that on a fine clock the sign jumps where mu changes sign and nowhere else: weak
    orders hold away from mu = 0. In the batch-equivalent regime there is no limit, and it is refused there.

    Source: bernstein2018, Signum.

    Args:
        learning_rate: above 0.
        decay: of the average, in [0, 1).
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    decay: Scalar = 0.9
    weight_decay: Scalar = 0.0
    weight_decay_form: DecayForm = eqx.field(default=DecayForm.DECOUPLED, static=True)
    slots = {"params": 0, "mu": 1}
    normalised = True

    def check_regime(self, regime: Regime) -> None:
        if regime is Regime.BATCH_EQUIVALENT:
            raise DriftaxError(
                "Signum in the batch-equivalent regime",
                "a step with no limit there: the average mu keeps its size, so a step of size learning_rate "
                "has the same sign for many steps, and per unit of time (learning_rate^2) that is "
                "sign(mu)/learning_rate, which grows without bound",
                'the ballistic regime, or lion (name = "lion"), whose sign sees the newest gradient',
            )

    def rule(self, clock: Any, state: State, gradient: Vector) -> tuple[Vector, ...]:
        mu = state.mu + (1 - self.decay) * (gradient - state.mu)
        step = jnp.sign(mu)
        return step, mu

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        return [
            rf"\mu_{{k+1}} = \beta\,\mu_k + (1-\beta)\,{gradient}",
            rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}(\mu_{{k+1}}){beside}",
        ]
