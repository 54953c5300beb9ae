"""The three phases of SignSGD, per coordinate, and the step that each of them gives.

The signal ratio is `Y = gradient / (sqrt(2) * noise)`, with the sign of the gradient: mixed phases, one per
coordinate, are the rule in practice. Drift and variance are per unit of t = step * learning_rate; the
variance still lacks its factor learning_rate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from driftax.predict._arguments import number, together
from driftax.predict._value import Numbers, Prediction, judged
from driftax.predict.sign_law import linearisation, mean_sign, slope

FIRST, THIRD = 1.5, 1.0  # |Y| above which a coordinate is in phase 1, below which in phase 3
# Phase 2: erf lies between its chord over [1, 3/2] and the parallel tangent.
CHORD = 2 * (math.erf(FIRST) - math.erf(THIRD))
CHORD_OFFSET = math.erf(THIRD) - CHORD
_TOUCH = math.sqrt(-math.log(CHORD * math.sqrt(math.pi) / 2))
TANGENT_OFFSET = math.erf(_TOUCH) - CHORD * _TOUCH
_SOURCE = "compagnoni2025, Lemma 3.4"


class PhaseStep(NamedTuple):
    """The step of SignSGD by the formulas of its phases, all [dim].

    Args:
        phase: 1, 2 or 3.
        ratio: the signal ratio Y.
        drift_low, drift_high: ends of the band of the mean step (equal but in phase 2).
        variance_low, variance_high: ends of the band of the variance.
        drift, variance: the exact ones.
    """

    phase: np.ndarray
    ratio: np.ndarray
    drift_low: np.ndarray
    drift_high: np.ndarray
    variance_low: np.ndarray
    variance_high: np.ndarray
    drift: np.ndarray
    variance: np.ndarray


def signal_ratio(gradient: Numbers, noise: Numbers) -> np.ndarray:
    """Y = gradient / (sqrt(2) noise) per coordinate [dim].

    Args:
        gradient: of the loss, per coordinate.
        noise: scale of the gradient noise of one step (the standard deviation, if Gaussian), above 0.

    Raises:
        DriftaxError: for wrong numbers.

    Source: compagnoni2025, Lemma 3.4.
    """
    g, s = together(gradient=(gradient, "finite"), noise=(noise, "positive"))
    return g / (math.sqrt(2) * s)


def phase_of(ratio: Numbers) -> np.ndarray:
    """1 (|Y| above 3/2), 2 (from 1 to 3/2) or 3 (below 1), per coordinate.

    Source: compagnoni2025, Lemma 3.4.
    """
    size = np.abs(np.atleast_1d(number("ratio", ratio, "finite")))
    return np.where(size > FIRST, 1, np.where(size >= THIRD, 2, 3))


def phase_step(gradient: Numbers, noise: Numbers, dof: Numbers = math.inf) -> Prediction:
    """The step of every coordinate by the formulas of its phase, beside the exact one.

    Judged by the largest distance of the drift from the exact one, relative to it. The phase-3 variance
    `1 - (slope * signal)^2` is negative above |Y| = 0.886 under Gaussian noise: simulate the exact equation,
    and use the phases for formulas only.

    Args:
        gradient: of the loss, per coordinate.
        noise: scale of the gradient noise of one step.
        dof: degrees of freedom of Student-t noise; the thresholds and the band of phase 2 are those of
            Gaussian noise.

    Returns:
        a `PhaseStep`.

    Raises:
        DriftaxError: for wrong numbers.

    Source: compagnoni2025, Lemma 3.4.
    """
    ratio = signal_ratio(gradient, noise)
    phase, size, sign = phase_of(ratio), np.abs(ratio), np.sign(ratio)
    linear = slope(dof) * math.sqrt(2) * size
    low = np.select([phase == 1, phase == 2], [np.ones_like(size), CHORD * size + CHORD_OFFSET], linear)
    high = np.where(phase == 2, CHORD * size + TANGENT_OFFSET, low)
    exact = np.abs(mean_sign(math.sqrt(2) * ratio, dof))
    ends = np.sort(np.stack([-sign * low, -sign * high]), axis=0)
    step = PhaseStep(phase, ratio, ends[0], ends[1], 1 - high**2, 1 - low**2, -sign * exact, 1 - exact**2)
    middle = np.where(exact > 0, 0.5 * (low + high) / np.where(exact > 0, exact, 1.0) - 1, 0.0)
    worst = int(np.argmax(np.abs(middle)))
    reason = (
        f"drift {100 * middle[worst]:+.2g} % from exact at |Y| = {size[worst]:.3g} (phase {phase[worst]})"
    )
    return judged(step, middle, reason, _SOURCE)


def phase_1_params(time: Numbers, start: Numbers, minimum: Numbers = 0.0) -> np.ndarray:
    """Params [dim] under the sign flow of phase 1, exact on separable losses: a ramp to the minimum.

    Args:
        time: step * learning_rate.
        start: params at time 0, per coordinate.
        minimum: of the loss, per coordinate.

    Source: compagnoni2025, Lemma 3.4.
    """
    x, centre = together(start=(start, "finite"), minimum=(minimum, "finite"))
    return centre + np.sign(x - centre) * np.maximum(
        np.abs(x - centre) - number("time", time, "non-negative"), 0.0
    )


def phase_3_moments(
    time: Numbers,
    start: Numbers,
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    dof: Numbers = math.inf,
) -> Prediction:
    """Mean and second moment [2, dim] of the params under the linear equation of phase 3, on a quadratic.

    Judged by the linearisation of the mean sign at the larger of the start and the stationary spread.

    Args:
        time: step * learning_rate.
        start: params at time 0, the minimum being 0.
        curvature: eigenvalues of the Hessian, above 0.
        noise: scale of the gradient noise of one step.
        learning_rate: above 0.
        dof: of Student-t noise.

    Source: compagnoni2025, Lemma 3.7 (re-derived).
    """
    x, h, s = together(start=(start, "finite"), curvature=(curvature, "positive"), noise=(noise, "positive"))
    t, eta = number("time", time, "non-negative"), number("learning_rate", learning_rate, "positive")
    a = slope(dof) * h / s
    rate = 2 * a + eta * a**2
    level = eta / rate
    second = level + (x**2 - level) * np.exp(-rate * t)
    signal = h / s * np.sqrt(np.maximum(x**2, level))
    moments = np.stack([x * np.exp(-a * t), second])
    return judged(moments, *linearisation(signal, dof), "compagnoni2025, Lemma 3.7")
