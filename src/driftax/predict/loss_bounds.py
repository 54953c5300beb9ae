"""Bounds on the expected loss of SGD, SignSGD and Adam(W) above its minimum.

The loss has curvature mu in the sense of Polyak and Lojasiewicz, `|grad f|^2 >= 2 mu (f - f*)`, and its
Hessian a trace of at most `trace`. Time is step * learning_rate. A bound does not say how close it is.
"""

from __future__ import annotations

import math

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict._arguments import number
from driftax.predict._value import Numbers, Prediction, beside, judged
from driftax.predict.phases import CHORD, CHORD_OFFSET, FIRST, THIRD
from driftax.predict.sign_law import mean_sign, slope

_SIGN, _SGD = "compagnoni2025, Lemma 3.5", "compagnoni2025, Lemma 3.6"


def phase_1_bound(
    time: Numbers, start_loss: Numbers, pl: Numbers, smallest_ratio: Numbers, sharp: bool = True
) -> Prediction:
    """Bound on the loss of SignSGD in phase 1: `(sqrt(S0) - t sqrt(mu/2))^2`, or the looser one of the paper.

    Judged by the drift that phase 1 neglects, 1 - erf(smallest |Y|).

    Args:
        time: step * learning_rate.
        start_loss: the loss above its minimum at time 0.
        pl: mu, above 0.
        smallest_ratio: the smallest |Y| of a coordinate on the way; phase 1 needs 3/2.
        sharp: whether from |grad|_1 >= sqrt(2 mu S), else `(sqrt(mu) t - 2 sqrt(S0))^2 / 4`.

    Source: compagnoni2025, Lemma 3.5; the sharper form is re-derived.
    """
    t, s0 = number("time", time, "non-negative"), number("start_loss", start_loss, "non-negative")
    mu, ratio = number("pl", pl, "positive"), number("smallest_ratio", smallest_ratio, "non-negative")
    speed = math.sqrt(mu / 2) if sharp else math.sqrt(mu) / 2
    value = np.maximum(math.sqrt(s0) - speed * t, 0.0) ** 2
    reason = f"smallest |Y| = {ratio:.3g}, phase 1 needs more than {FIRST}"
    inside = ratio > FIRST
    if speed * np.max(t) > math.sqrt(s0):
        inside, reason = False, f"phase 1 has ended before time {math.sqrt(s0) / speed:.3g}"
    return judged(value, math.erfc(ratio) if inside else np.inf, reason, _SIGN)


def phase_2_bound(
    time: Numbers,
    start_loss: Numbers,
    pl: Numbers,
    trace: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    dim: Numbers,
    smallest_ratio: Numbers,
    largest_ratio: Numbers,
) -> Prediction:
    """Bound on the loss of SignSGD while every coordinate is in phase 2.

    The chord of erf is a lower bound of it there, so with the chord's offset the bound is one of the exact
    equation. It needs second derivatives of at least mu per coordinate.

    Args:
        time: step * learning_rate.
        start_loss: the loss above its minimum at time 0.
        pl: mu, above 0.
        trace: largest trace of the Hessian.
        noise: largest standard deviation of the gradient noise of one step.
        learning_rate: above 0.
        dim: number of params.
        smallest_ratio, largest_ratio: range of |Y|; phase 2 is from 1 to 3/2.

    Source: compagnoni2025, Lemma 3.5 (constants re-derived).
    """
    s, eta = number("noise", noise, "positive"), number("learning_rate", learning_rate, "positive")
    mu = number("pl", pl, "positive")
    rate = 2 * mu * (CHORD / (math.sqrt(2) * s) + eta * mu * CHORD**2 / (4 * s**2))
    push = 0.5 * eta * (number("trace", trace, "positive") - mu * dim * CHORD_OFFSET**2)
    inside = THIRD <= smallest_ratio and largest_ratio <= FIRST
    reason = f"|Y| from {smallest_ratio:.3g} to {largest_ratio:.3g}, phase 2 is from {THIRD:g} to {FIRST}"
    return judged(_relaxing(time, start_loss, rate, push), 0.0 if inside else np.inf, reason, _SIGN)


def phase_3_bound(
    time: Numbers,
    start_loss: Numbers,
    pl: Numbers,
    trace: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    dof: Numbers = math.inf,
    largest_ratio: Numbers | None = None,
) -> Prediction:
    """Bound on the loss of SignSGD under the linear equation of phase 3; the limit at time inf.

    The linear equation falls faster than SignSGD itself, so this bounds SignSGD only up to the error of the
    linearisation, which judges it. See `secant_bound` for a bound without it.

    Args:
        time: step * learning_rate; infinite for the limit.
        start_loss: the loss above its minimum at time 0.
        pl: mu, above 0; the correction of order learning_rate needs second derivatives of at least mu.
        trace: largest trace of the Hessian.
        noise: largest scale of the gradient noise of one step.
        learning_rate: above 0.
        dof: of Student-t noise.
        largest_ratio: the largest |Y| on the way; left out, that of the stationary spread.

    Source: compagnoni2025, Lemma 3.5.
    """
    s, eta = number("noise", noise, "positive"), number("learning_rate", learning_rate, "positive")
    mu, a = number("pl", pl, "positive"), slope(dof) / s
    trace = number("trace", trace, "positive")
    value = _relaxing(time, start_loss, 2 * mu * (a + eta * mu * a**2 / 2), 0.5 * eta * trace)
    # The stationary |gradient|^2 of the steepest coordinate is that of curvature `trace` at most.
    ratio = math.sqrt(eta * trace * s / slope(dof)) / 2 / s if largest_ratio is None else largest_ratio
    error = math.sqrt(2) * ratio * slope(dof) / mean_sign(math.sqrt(2) * ratio, dof) - 1 if ratio else 0.0
    return judged(value, error, f"linear drift {100 * error:+.2g} % at |Y| = {ratio:.3g}", _SIGN)


def secant_bound(
    time: Numbers,
    start_loss: Numbers,
    pl: Numbers,
    trace: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    largest_ratio: Numbers,
    dof: Numbers = math.inf,
) -> Prediction:
    """Bound on the loss of SignSGD while |Y| stays below a number: the mean sign lies above its secant.

    Args:
        time: step * learning_rate; infinite for the limit.
        start_loss: the loss above its minimum at time 0.
        pl: mu, above 0.
        trace: largest trace of the Hessian.
        noise: largest scale of the gradient noise of one step.
        learning_rate: above 0.
        largest_ratio: the largest |Y| of a coordinate on the way, above 0.
        dof: of Student-t noise.

    Source: re-derived (concavity of the mean sign).
    """
    s, eta = number("noise", noise, "positive"), number("learning_rate", learning_rate, "positive")
    signal = math.sqrt(2) * number("largest_ratio", largest_ratio, "positive")
    rate = 2 * number("pl", pl, "positive") * float(mean_sign(signal, dof)) / (signal * s)
    value = _relaxing(time, start_loss, rate, 0.5 * eta * number("trace", trace, "positive"))
    return judged(value, 0.0, f"holds while |Y| <= {signal / math.sqrt(2):.3g}", "re-derived")


def sgd_bound(
    time: Numbers,
    start_loss: Numbers,
    pl: Numbers,
    trace: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
) -> Prediction:
    """Bound on the loss of the order-1 equation of SGD; the limit at time inf.

    Judged by learning_rate * trace / 2, the largest relative excess of SGD itself over its equation.

    Args:
        time: step * learning_rate; infinite for the limit.
        start_loss: the loss above its minimum at time 0.
        pl: mu, above 0.
        trace: largest trace of the Hessian.
        noise: largest standard deviation of the gradient noise of one step.
        learning_rate: above 0.

    Source: compagnoni2025, Lemma 3.6.
    """
    s, eta = number("noise", noise, "non-negative"), number("learning_rate", learning_rate, "positive")
    trace = number("trace", trace, "positive")
    value = _relaxing(time, start_loss, 2 * number("pl", pl, "positive"), 0.5 * eta * trace * s**2)
    reason = f"learning_rate * trace / 2 = {0.5 * eta * trace:.3g}"
    return judged(value, 0.5 * eta * trace, reason, _SGD)


def adaptive_bound(
    pl: Numbers,
    smoothness: Numbers,
    trace: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    b1: Numbers = 0.0,
    weight_decay: Numbers = 0.0,
) -> Prediction:
    """Bound on the asymptotic loss of RMSprop(W) and Adam(W) with decoupled decay, the minimum being 0.

    Judged by the factor `1 + learning_rate * weight_decay / (1 - b1)` by which momentum and decay lower the loss,
    and which it leaves out; so does it the gradient in the second moment, which lowers the loss too.

    Args:
        pl: strong convexity mu, above 0.
        smoothness: largest eigenvalue of the Hessian, mu or more.
        trace: largest trace of the Hessian.
        noise: standard deviation of the gradient noise of one step.
        learning_rate: above 0.
        b1: decay of the first moment.
        weight_decay: decoupled, in PyTorch's convention.

    Source: compagnoni2025, the asymptotic loss of AdamW (re-derived).
    """
    mu, high = number("pl", pl, "positive"), number("smoothness", smoothness, "positive")
    if high < mu:
        raise DriftaxError(
            "a bound on the loss", f"smoothness = {high} below pl = {mu}", f"smoothness = {mu} or more"
        )
    s, eta = number("noise", noise, "positive"), number("learning_rate", learning_rate, "positive")
    theta, b1 = number("weight_decay", weight_decay, "non-negative"), number("b1", b1, "decay")
    value = eta * trace * s * high / 2 / (2 * mu * high + s * theta * (high + mu))
    kept = 1 + eta * theta / (1 - b1)
    return beside(
        value,
        value / kept,
        "the bound with the momentum-decay factor",
        f"that factor is 1/{kept:.4g}",
        "compagnoni2025, Lemma 3.13",
    )


def _relaxing(time: Numbers, start_loss: Numbers, rate: float, push: float) -> np.ndarray:
    """The solution of `S' = -rate S + push`."""
    t, s0 = np.asarray(time, dtype=float), number("start_loss", start_loss, "non-negative")
    if np.any(np.isnan(t)) or np.any(t < 0):
        raise DriftaxError("a bound on the loss", f"time = {time}", "time = a number of 0 or more, or inf")
    level = push / rate
    return np.asarray(level + (s0 - level) * np.exp(-rate * t))
