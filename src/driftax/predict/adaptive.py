"""Stationary laws of RMSprop(W) and Adam(W) on a quadratic, by several formulas of rising accuracy.

Per coordinate: curvature h, standard deviation s of the gradient noise of one step, minimum x*. RMSprop is
b1 = 0. A decoupled decay takes the step `learning_rate * weight_decay * params` (PyTorch); an L2 decay is a
part of the gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict import student
from driftax.predict._arguments import degrees, number, together
from driftax.predict._value import Numbers, Prediction, beside, judged, largest, missing, worse
from driftax.predict.lyapunov import stationary_continuous, stationary_discrete, steps_to_forget
from driftax.predict.stationary import Stationary, is_l2, law_of

Variant = Literal["plain", "paper", "consistent"]
_PAPER = "compagnoni2025, Lemma C.57"
_HALVINGS = 60


@dataclass(frozen=True)
class AdaptiveRule:
    """The numbers of RMSprop(W) or Adam(W) at rung 1.

    Args:
        learning_rate: above 0.
        b1: decay of the first moment, in [0, 1); 0 for RMSprop.
        b2: decay of the second moment, in [0, 1).
        weight_decay: PyTorch's convention, 0 or more.
        weight_decay_form: "decoupled" or "l2".
        eps: beside the square root, 0 or more.
        decay_after: whether a decoupled decay shrinks the params after the step, `(1 - eta theta)(x - step)`,
            where PyTorch takes both from the old params, `(1 - eta theta) x - step`.

    Raises:
        DriftaxError: if a number is out of its range.
    """

    learning_rate: Any
    b1: Any = 0.0
    b2: Any = 0.999
    weight_decay: Any = 0.0
    weight_decay_form: str = "decoupled"
    eps: Any = 0.0
    decay_after: bool = False

    def __post_init__(self) -> None:
        number("learning_rate", self.learning_rate, "positive")
        number("b1", self.b1, "decay")
        number("b2", self.b2, "decay")
        number("weight_decay", self.weight_decay, "non-negative")
        number("eps", self.eps, "non-negative")
        is_l2(self.weight_decay_form)
        if self.learning_rate * self.beside_step >= 1:
            found = f"learning_rate * weight_decay = {self.learning_rate * self.beside_step:g}"
            raise DriftaxError("a decoupled weight decay", found, "a product below 1")

    @property
    def beside_step(self) -> float:
        """The decay beside the step."""
        return 0.0 if is_l2(self.weight_decay_form) else float(self.weight_decay)

    def steepness(self, curvature: np.ndarray) -> np.ndarray:
        """The slope [dim] of the gradient that the moments see."""
        return curvature + self.weight_decay if is_l2(self.weight_decay_form) else curvature

    @property
    def interaction(self) -> float:
        """The product `eta theta b1 / (1 - b1)`: the decay over the memory of the first moment.

        The factor `1 / (1 + interaction)` on the variance is that of the equation with plain momentum,
        `rho1 / (rho1 + theta)`, but for a term eta theta, so that it is 1 for RMSpropW.
        """
        return self.learning_rate * self.beside_step * self.b1 / (1 - self.b1)


# --- the laws ----------------------------------------------------------------------------------------------


def adaptive_stationary(
    curvature: Numbers, noise: Numbers, rule: AdaptiveRule, minimum: Numbers = 0.0, dof: Numbers = math.inf
) -> dict[str, Prediction]:
    """Stationary laws of RMSprop(W) or Adam(W): `refined`, `paper` and `paper with momentum`.

    * `refined`: the discrete Lyapunov equation of params and first moment, the second moment being
      self-consistent with the gradients it averages.
    * `paper`: `eta/2 (h/s + theta)^-1`, and with an L2 decay `eta/2 s/(h + theta)`.
    * `paper with momentum`: times `1 / (1 + eta theta b1 / (1 - b1))`.

    Args:
        curvature: eigenvalues of the Hessian [dim], above 0.
        noise: scale of the gradient noise of one step [dim] (the standard deviation, if Gaussian), above 0.
        rule: the optimizer.
        minimum: of the loss without the decay [dim].
        dof: of Student-t noise; the formulas need a variance (dof above 2) and hold only where that of the
            squared gradient exists too (dof above 4).

    Returns:
        name of the formula to a prediction of a `Stationary`.

    Raises:
        DriftaxError: for wrong numbers.

    Source: compagnoni2025, Lemmas C.52 and C.57; the others are re-derived.
    """
    h, s, x = together(
        curvature=(curvature, "positive"), noise=(noise, "positive"), minimum=(minimum, "finite")
    )
    dof = degrees(dof)
    if dof <= 2:
        why = f"dof = {dof:g} is not above 2: the second moment has no mean"
        gone = missing(Stationary(np.full_like(h, np.nan), np.full_like(h, np.nan), math.nan), why, _PAPER)
        return dict.fromkeys(("refined", "paper", "paper with momentum"), gone)
    s = s * math.sqrt(student.variance(dof))
    mean, second, variance = self_consistent(h, s, x, rule)
    refined = law_of(mean, variance, h, x)
    error, reason = accuracy(rule.steepness(h), second, variance, rule, (student.kurtosis(dof) - 1) / 2)
    if not np.all(np.isfinite(variance)):
        error, reason = np.inf, f"the optimizer diverges at {largest('curvature', h)}"
    answer = {"refined": judged(refined, error, reason, "re-derived")}
    paper = _paper_law(h, s, x, rule)
    kept = law_of(paper.mean, paper.variance / (1 + rule.interaction), h, x)
    cause = f"learning_rate * weight_decay * b1 / (1 - b1) = {rule.interaction:.3g}"
    for name, law in (("paper", paper), ("paper with momentum", kept)):
        told = _judge(law, refined, cause, _PAPER)
        answer[name] = worse(told, answer["refined"])
    return answer


def paper_variance(curvature: Numbers, noise: Numbers, rule: AdaptiveRule) -> np.ndarray:
    """`eta/2 (h/s + theta)^-1` [dim], for any eps and either form of decay.

    Source: compagnoni2025, Lemma C.57.
    """
    h, s = together(curvature=(curvature, "non-negative"), noise=(noise, "positive"))
    return _paper_law(h, s, np.zeros_like(h), rule).variance


def refined_variance(curvature: Numbers, noise: Numbers, rule: AdaptiveRule) -> np.ndarray:
    """The self-consistent stationary variance [dim]; infinite where the optimizer diverges.

    Source: re-derived.
    """
    h, s = together(curvature=(curvature, "non-negative"), noise=(noise, "positive"))
    return self_consistent(h, s, np.zeros_like(h), rule)[2]


def frozen_variance(
    curvature: Numbers, noise: Numbers, rule: AdaptiveRule, second_moment: Numbers | None = None
) -> np.ndarray:
    """The exact stationary variance [dim] of the optimizer with its second moment frozen.

    Args:
        curvature: of the loss [dim].
        noise: standard deviation of the gradient noise of one step [dim].
        rule: the optimizer.
        second_moment: frozen v [dim]; left out, noise**2.

    Source: re-derived (discrete Lyapunov equation).
    """
    h, s, v = _frozen(curvature, noise, second_moment)
    return _discrete(rule.steepness(h), s, v, rule)


def equation_variance(
    curvature: Numbers,
    noise: Numbers,
    rule: AdaptiveRule,
    variant: Variant = "consistent",
    second_moment: Numbers | None = None,
) -> np.ndarray:
    """The stationary variance [dim] of an order-1 equation of Adam(W), its second moment frozen.

    With h1 = 1 - b1 the drift of the params is that of the moment M (`plain`), or of
    `M + h1 (gradient - M)` (`paper`), to which `consistent` adds the noise that belongs to it.

    Args:
        curvature: of the loss [dim].
        noise: standard deviation of the gradient noise of one step [dim].
        rule: the optimizer, with b1 above 0.
        variant: of the equation.
        second_moment: frozen V [dim]; left out, noise**2.

    Raises:
        DriftaxError: for wrong numbers, or b1 = 0, which has no moment.

    Source: compagnoni2025, AdamW; the variants are re-derived.
    """
    h, s, v = _frozen(curvature, noise, second_moment)
    if not rule.b1:
        raise DriftaxError("an equation of Adam(W)", "b1 = 0: no first moment", "b1 above 0")
    if variant not in ("plain", "paper", "consistent"):
        raise DriftaxError(f"variant = {variant!r}", "an unknown variant", "plain, paper or consistent")
    steep, gain = rule.steepness(h), 1 / (np.sqrt(v) + rule.eps)
    rate, eta = (1 - rule.b1) / rule.learning_rate, rule.learning_rate
    ahead = 0.0 if variant == "plain" else 1 - rule.b1
    one = np.ones_like(h)
    drift = np.array(
        [[-gain * ahead * steep - rule.beside_step, -gain * (1 - ahead)], [rate * steep, -rate * one]]
    )
    direct = -gain * (1 - rule.b1) * s if variant == "consistent" else 0.0 * one
    return stationary_continuous(drift, np.sqrt(eta) * np.array([direct, rate * s]))


def decay_forms(
    curvature: Numbers, noise: Numbers, rule: AdaptiveRule
) -> dict[str, tuple[Prediction, Prediction]]:
    """The `paper` and the `refined` law of `rule` under decoupled and under L2 decay of the same number.

    Decoupled decay saturates at large noise, `loss -> eta/(4 theta) sum curvature`; with an L2 decay the loss
    stays linear in the noise.

    Source: compagnoni2025, decoupled decay at high noise.
    """
    answer = {}
    for form in ("decoupled", "l2"):
        numbers = {**rule.__dict__, "weight_decay_form": form}
        laws = adaptive_stationary(curvature, noise, AdaptiveRule(**numbers))
        answer[form] = (laws["paper"], laws["refined"])
    return answer


# --- how they are computed ---------------------------------------------------------------------------------


def _paper_law(h: np.ndarray, s: np.ndarray, x: np.ndarray, rule: AdaptiveRule) -> Stationary:
    """The law with the second moment s^2 and continuous time; the mean solves `h/s (m - x*) + theta m = 0`."""
    steep, gain, theta = rule.steepness(h), 1 / (s + rule.eps), rule.beside_step
    pull = gain * steep + theta
    with np.errstate(divide="ignore"):
        variance = rule.learning_rate / 2 * (gain * s) ** 2 / pull
        mean = np.where(pull > 0, x * gain * h / np.where(pull > 0, pull, 1.0), x)
    return law_of(mean, variance, h, x)


def self_consistent(
    h: np.ndarray, s: np.ndarray, x: np.ndarray, rule: AdaptiveRule
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, second moment and variance [dim] of coordinates with deviations s.

    The second moment is `V = s^2 + (steep mean - h x*)^2 + steep^2 variance(V)`. Over V the right-hand side
    falls, or rises more slowly than V, so bisection finds the only root; where the optimizer is not stable at a
    V, its variance is infinite and the root lies higher.

    Source: re-derived.
    """
    steep, theta = rule.steepness(h), rule.beside_step
    if rule.decay_after:
        theta = theta / (1 - rule.learning_rate * theta)

    def mean(v: np.ndarray) -> np.ndarray:
        pull = steep + theta * (np.sqrt(v) + rule.eps)
        return np.where(pull > 0, h * x / np.where(pull > 0, pull, 1.0), x)

    def excess(v: np.ndarray) -> np.ndarray:
        # Written so that a coordinate without curvature has none, whatever its variance.
        spread = np.where(steep > 0, steep**2 * _finite(_discrete(steep, s, v, rule)), 0.0)
        return s**2 + (steep * mean(v) - h * x) ** 2 + spread - v

    low, high = s**2, 2 * s**2
    for _ in range(400):
        short = excess(high) > 0
        if not np.any(short):
            break
        high = np.where(short, 4 * high, high)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        above = excess(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    second = np.where(excess(s**2) > 0, np.sqrt(low * high), s**2)
    return mean(second), second, _discrete(steep, s, second, rule)


def _discrete(steep: np.ndarray, s: np.ndarray, v: np.ndarray, rule: AdaptiveRule) -> np.ndarray:
    step, gain = frozen_step(steep, v, rule)
    new = 1 - rule.b1
    return stationary_discrete(step, np.array([-gain * new * s, new * s]))


def frozen_step(steep: np.ndarray, v: np.ndarray, rule: AdaptiveRule) -> tuple[np.ndarray, np.ndarray]:
    """One step [2, 2, dim] of (params, first moment) at a frozen second moment, and the gain [dim] of a moment.

    Args:
        steep: slope of the gradient [dim].
        v: second moment [dim].
        rule: the optimizer.

    Source: re-derived.
    """
    eta, new, one = rule.learning_rate, 1 - rule.b1, np.ones_like(v)
    shrink = 1 - eta * rule.beside_step
    gain = eta / (np.sqrt(v) + rule.eps) * (shrink if rule.decay_after else 1.0)
    return np.array([[shrink - gain * new * steep, -gain * rule.b1], [new * steep, rule.b1 * one]]), gain


def accuracy(
    steep: np.ndarray, second: np.ndarray, variance: np.ndarray, rule: AdaptiveRule, fluctuation: float = 1.0
) -> tuple[float, str]:
    """An estimate of the relative error of a frozen second moment, and what it was made from.

    The second moment fluctuates with the squares of the noise, by 1 - b2 of their variance, and with those of
    the params, as far as these keep their value for as long as the second moment remembers.

    Args:
        steep: slope of the gradient [dim].
        second: second moment [dim].
        variance: of the params [dim].
        rule: the optimizer.
        fluctuation: half the variance of the squared noise over that of its mean; 1 for Gaussian noise.

    Source: re-derived (orders of magnitude).
    """
    rate = 1 - rule.b2
    swing = steep**2 * variance / second
    steps = steps_to_forget(frozen_step(steep, second, rule)[0])
    error = rate * fluctuation + float(np.max(np.minimum(1.0, rate * steps) * swing**2))
    reason = f"1 - b2 = {rate:.3g}, {largest('signal in the second moment', swing)}"
    if fluctuation > 1:
        reason += f", half the variance of squared noises = {fluctuation:.3g}"
    return error, reason


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, 1e300)


def _frozen(curvature: Numbers, noise: Numbers, second: Numbers | None) -> tuple[Any, ...]:
    h, s = together(curvature=(curvature, "non-negative"), noise=(noise, "positive"))
    v = s**2 if second is None else np.broadcast_to(number("second_moment", second, "positive"), s.shape)
    return h, s, v


def _judge(law: Stationary, better: Stationary, cause: str, source: str) -> Prediction:
    """A law judged by its variances and by the loss of its mean."""
    told = beside(law.variance, better.variance, "the refined law", cause, source)
    loss = beside(law.loss, better.loss, "the loss of the refined law", cause, source)
    return worse(told, loss)._replace(value=law)
