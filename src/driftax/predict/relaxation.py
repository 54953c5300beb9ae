"""How many steps an optimizer needs to forget where it was, per coordinate of a quadratic.

Times are numbers of steps in which the mean of the params falls by e; second moments and the loss fall twice
as fast.
"""

from __future__ import annotations

import math

import numpy as np

from driftax.predict._arguments import number, together
from driftax.predict._value import Numbers, Prediction, beside, judged, largest, missing
from driftax.predict.adaptive import AdaptiveRule, accuracy, frozen_step, self_consistent
from driftax.predict.lyapunov import steps_of, steps_to_forget
from driftax.predict.sign_law import mean_sign, slope
from driftax.predict.stationary import decay_places

_ADAM = "compagnoni2025, the rate of AdamW"


def sgd_relaxation(curvature: Numbers, learning_rate: Numbers, weight_decay: Numbers = 0.0) -> Prediction:
    """Steps [dim] of SGD, exact: `-1 / log |1 - learning_rate (curvature + weight_decay)|`.

    Args:
        curvature: eigenvalues of the Hessian [dim].
        learning_rate: above 0.
        weight_decay: PyTorch's convention; either form.

    Source: textbook, gradient descent on a quadratic.
    """
    (h,) = together(curvature=(curvature, "positive"))
    eta = number("learning_rate", learning_rate, "positive")
    k = eta * (h + number("weight_decay", weight_decay, "non-negative"))
    cause = largest("learning_rate * (curvature + weight_decay)", k)
    if np.max(k) >= 2:
        return missing(steps_of(np.abs(1 - k)), f"{cause} is not below 2: SGD diverges", "textbook")
    return judged(steps_of(np.abs(1 - k)), 0.0, f"{cause} is below 2", "textbook")


def signsgd_relaxation(
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    weight_decay: Numbers = 0.0,
    weight_decay_form: str = "decoupled",
    dof: Numbers = math.inf,
    gradient: Numbers | None = None,
) -> Prediction:
    """Steps [dim] of SignSGD in phase 3: `1 / (learning_rate (slope curvature / noise + weight_decay))`.

    Judged by the linearisation of the mean sign, at the gradient where one is given.

    Args:
        curvature: eigenvalues of the Hessian [dim].
        noise: scale of the gradient noise of one step [dim].
        learning_rate: above 0.
        weight_decay: PyTorch's convention.
        weight_decay_form: "decoupled" or "l2".
        dof: of Student-t noise.
        gradient: where the params are [dim]; left out, in the stationary law.

    Source: compagnoni2025, Lemma 3.7.
    """
    h, s = together(curvature=(curvature, "positive"), noise=(noise, "positive"))
    eta = number("learning_rate", learning_rate, "positive")
    theta = number("weight_decay", weight_decay, "non-negative")
    steep, beside_step = decay_places(h, theta, weight_decay_form)
    rate = slope(dof) * steep / s + beside_step
    if gradient is None:
        signal = steep / s * np.sqrt(eta / (2 * rate))
    else:
        signal = np.abs(together(gradient=(gradient, "finite"), curvature=(h, "positive"))[0]) / s
    exact = np.where(signal > 0, mean_sign(signal, dof) / np.where(signal > 0, signal, 1.0), slope(dof))
    error = slope(dof) / exact - 1
    worst = int(np.argmax(error))
    reason = f"linear drift {100 * error[worst]:+.2g} % at |Y| = {signal[worst] / math.sqrt(2):.3g}"
    return judged(1 / (eta * rate), error, reason, "compagnoni2025, Lemma 3.7")


def signsgd_descent(distance: Numbers, learning_rate: Numbers, smallest_ratio: Numbers) -> Prediction:
    """Steps [dim] of SignSGD from a distance to the minimum while in phase 1: `distance / learning_rate`.

    Args:
        distance: |params - minimum| [dim].
        learning_rate: above 0.
        smallest_ratio: the smallest |Y| on the way.

    Source: compagnoni2025, Lemma 3.4.
    """
    (far,) = together(distance=(distance, "non-negative"))
    ratio = number("smallest_ratio", smallest_ratio, "non-negative")
    reason = f"neglected drift 1 - erf|Y| = {math.erfc(ratio):.3g} at |Y| = {ratio:.3g}"
    eta = number("learning_rate", learning_rate, "positive")
    return judged(far / eta, math.erfc(ratio), reason, "compagnoni2025, Lemma 3.4")


def adaptive_relaxation(
    curvature: Numbers, noise: Numbers, rule: AdaptiveRule, minimum: Numbers = 0.0
) -> dict[str, Prediction]:
    """Steps [dim] of RMSprop(W) or Adam(W) at the stationary second moment: `spectral` and `paper`.

    `spectral` is that of the slower eigenvalue of params and first moment, `paper`
    `1 / (learning_rate (curvature / noise + weight_decay))`.

    Args:
        curvature: eigenvalues of the Hessian [dim].
        noise: standard deviation of the gradient noise of one step [dim].
        rule: the optimizer.
        minimum: of the loss without the decay [dim].

    Source: compagnoni2025, the rate of AdamW; the spectral one is re-derived.
    """
    h, s, x = together(
        curvature=(curvature, "positive"), noise=(noise, "positive"), minimum=(minimum, "finite")
    )
    steep, eta = rule.steepness(h), rule.learning_rate
    _, second, variance = self_consistent(h, s, x, rule)
    if not np.all(np.isfinite(variance)):
        gone = missing(np.full_like(h, np.inf), "the optimizer diverges", "re-derived")
        return {"spectral": gone, "paper": gone}
    spectral = steps_to_forget(frozen_step(steep, second, rule)[0])
    paper = 1 / (eta * (steep / (s + rule.eps) + rule.beside_step))
    best = judged(spectral, *accuracy(steep, second, variance, rule), "re-derived")
    cause = f"1/(1 - b1) = {1 / (1 - rule.b1):.3g} steps of memory"
    return {"spectral": best, "paper": beside(paper, spectral, "the spectral time", cause, _ADAM)}


def memory(decay: Numbers) -> float:
    """Steps in which an exponential average forgets: `-1 / log(decay)`; 0 without one."""
    decay = number("decay", decay, "decay")
    return -1 / math.log(decay) if decay else 0.0
