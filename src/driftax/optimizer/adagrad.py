from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Scalar, Vector
from driftax.optimizer._base import DecayForm, State, check_hyperparameters, latex_number
from driftax.optimizer.decay import DecayedOptimizer, decay_role
from driftax.regime import Regime, Role


class Adagrad(DecayedOptimizer):
    """Adagrad: `n' = n + g^2`, `x' = x - lr_k g/(sqrt(n') + eps) - lr_k weight_decay x`,
    `lr_k = lr/(1 + k learning_rate_decay)`.

    The slot `nu` is n. It is a sum, not an average, and grows with the number of steps, so that its clock is
    not that of other optimizers (dimensional analysis: x must move by h per step, nu by its own size per
    unit of time):

    * ballistic, h = lr^2: nu is in units of h, and on a rung s the learning rate moves by sqrt(s), eps (it
      counts beside sqrt(nu)) by 1/sqrt(s), a decoupled decay by sqrt(s);
    * batch-equivalent, h = lr^2 on rung 1 and h s on rung s: the noise of a gradient is 1/sqrt(h), nu is in
      units of h^2, and the learning rate stays as it is, while eps moves by 1/s and a decoupled decay by s.

    An initial accumulator moves as nu does, a learning_rate_decay by s, an L2 decay not at all. Where nu is 0
    an equation has no start: give [start] nu, an initial accumulator or a handover.

    Source: duchi2011, Adagrad; the clocks are re-derived.

    Args:
        learning_rate: above 0.
        eps: added to the square root, 0 or more.
        learning_rate_decay: 0 or more; PyTorch's `lr_decay`.
        initial_accumulator: where nu starts, 0 or more.
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: beside the step, or inside the gradient (PyTorch).

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Scalar
    eps: Scalar
    learning_rate_decay: Scalar
    initial_accumulator: Scalar
    weight_decay: Scalar
    scale: Scalar  # the rung, which no other number tells in the batch-equivalent regime
    gain: Scalar  # of g^2 in nu: 1, but in the units of `rescaled_at`
    weight_decay_form: DecayForm = eqx.field(static=True)
    slots = {"params": 0, "nu": 2}

    def __init__(
        self,
        learning_rate: Scalar,
        eps: Scalar = 1e-10,
        learning_rate_decay: Scalar = 0.0,
        initial_accumulator: Scalar = 0.0,
        weight_decay: Scalar = 0.0,
        weight_decay_form: DecayForm = DecayForm.DECOUPLED,
    ):
        self.learning_rate, self.eps, self.learning_rate_decay = learning_rate, eps, learning_rate_decay
        self.initial_accumulator, self.weight_decay = initial_accumulator, weight_decay
        self.scale, self.gain = 1.0, 1.0
        self.weight_decay_form = weight_decay_form
        check_hyperparameters("Adagrad", initial_accumulator=initial_accumulator)

    @property
    def roles(self) -> dict[str, Role]:
        return {
            "learning_rate": Role.LEARNING_RATE,
            "eps": Role.EPS,
            "learning_rate_decay": Role.RATE,
            "weight_decay": decay_role(self.weight_decay_form),
        }

    def init(self, params: Vector) -> State:
        return self.unpack((params, jnp.full_like(params, self.initial_accumulator)))

    def clock(self, step: Scalar) -> Scalar:
        return 1 / (1 + step * self.learning_rate_decay)

    def step_size(self, clock: Scalar) -> Scalar:
        return clock * self.learning_rate

    def rule(self, clock: Scalar, state: State, gradient: Vector) -> tuple[Vector, ...]:
        nu = state.nu + self.gain * gradient**2
        step = gradient / (jnp.sqrt(nu) + self.eps)
        return step, nu

    def time_step(self, regime: Regime) -> Scalar:
        if regime is Regime.BATCH_EQUIVALENT:
            return self.scale * self.learning_rate**2
        return self.learning_rate**2

    def time_step_latex(self, regime: Regime) -> str:
        return r"\eta^2" if regime is Regime.BALLISTIC else r"s\,\eta^2"

    def units(self, regime: Regime) -> dict[str, Scalar]:
        power = 1 if regime is Regime.BALLISTIC else 2
        return {"nu": self.time_step(regime) ** power}

    def ladder(self, regime: Regime) -> dict[str, float]:
        size = 0.5 if regime is Regime.BALLISTIC else 1.0  # a root of nu grows like s**-size
        decoupled = self.weight_decay_form is DecayForm.DECOUPLED
        return {
            "learning_rate": 1 - size,
            "eps": -size,
            "learning_rate_decay": 1.0,
            "initial_accumulator": -2 * size,
            "weight_decay": size if decoupled else 0.0,
        }

    def at(self, scale: Scalar, regime: Regime) -> Adagrad:
        moved = super().at(scale, regime)
        assert isinstance(moved, Adagrad)
        if regime is Regime.BALLISTIC:
            return moved
        return eqx.tree_at(lambda o: o.scale, moved, self.scale * scale)

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> Adagrad:
        """As in the base class, and for nu in the units of this rung: the sum has a limit in no others."""
        rate = root_scale if regime is Regime.BATCH_EQUIVALENT else root_scale**2
        decay = root_scale if regime is Regime.BATCH_EQUIVALENT else 1.0
        moved = self.scaled({"learning_rate": rate, "weight_decay": decay})
        return eqx.tree_at(lambda o: o.gain, moved, self.gain * root_scale**2)

    def rule_latex(self, gradient: str, beside: str) -> list[str]:
        decays = bool(self.learning_rate_decay)
        rate = r"\eta_k" if decays else r"\eta"
        beside = beside.replace(r"\eta", rate)
        lines = [
            rf"\nu_{{k+1}} = \nu_k + {gradient}^2",
            rf"x_{{k+1}} = x_k - {rate}\,\frac{{{gradient}}}{{\sqrt{{\nu_{{k+1}}}} + \epsilon}}{beside}",
        ]
        if decays:
            lines.append(r"\eta_k = \frac{\eta}{1 + k\,\text{learning\_rate\_decay}}")
        if self.initial_accumulator:
            lines.append(rf"\nu_0 = {latex_number(self.initial_accumulator)}")
        return lines
