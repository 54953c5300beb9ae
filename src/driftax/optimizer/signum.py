from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    DecayForm,
    State,
    check_hyperparameters,
    latex_numbers,
)
from driftax.optimizer.sgd import decay_latex, decay_role
from driftax.regime import Regime, Role


class Signum(AbstractOptimizer):
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

    def __check_init__(self):
        check_hyperparameters(
            "Signum", learning_rate=self.learning_rate, decay=self.decay, weight_decay=self.weight_decay
        )

    @property
    def normalised(self) -> bool:
        return True

    @property
    def slots(self) -> dict[str, int]:
        return {"params": 0, "mu": 1}

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "decay": Role.DECAY,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def check_regime(self, regime: Regime) -> None:
        if regime is Regime.BATCH_EQUIVALENT:
            raise DriftaxError(
                "Signum in the batch-equivalent regime",
                "a step with no limit there: the average mu keeps its size, so a step of size learning_rate "
                "has the same sign for many steps, and per unit of time (learning_rate^2) that is "
                "sign(mu)/learning_rate, which grows without bound",
                'the ballistic regime, or lion (name = "lion"), whose sign sees the newest gradient',
            )

    def clock(self, step: Scalar) -> tuple[()]:
        return ()

    def advance(self, clock: tuple[()], state: State, gradient: Vector) -> State:
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        if not decoupled:
            gradient = gradient + self.weight_decay * state.params
        mu = state.mu + (1 - self.decay) * (gradient - state.mu)
        step = jnp.sign(mu)
        if decoupled:
            step = step + self.weight_decay * state.params
        return self.unpack((state.params - self.learning_rate * step, mu))

    def latex(self) -> list[str]:
        inside, beside = decay_latex(self.weight_decay, self.weight_decay_form)
        gradient = r"\hat{g}_k" if inside else "g_k"
        lines = [
            rf"\mu_{{k+1}} = \beta\,\mu_k + (1-\beta)\,{gradient}",
            rf"x_{{k+1}} = x_k - \eta\,\operatorname{{sign}}(\mu_{{k+1}}){beside}",
        ]
        if inside:
            lines.insert(0, rf"\hat{{g}}_k = g_k{inside}")
        return [*lines, latex_numbers(self)]
