"""Stationary mean, variance and loss of SGD and SignSGD on a quadratic, coordinate by coordinate.

The loss is `sum curvature_i (x_i - minimum_i)^2 / 2`, the noise is independent of the params. Both forms of
weight decay are the same for SGD. The loss never contains the penalty of a decay.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict import student
from driftax.predict._arguments import degrees, number, together
from driftax.predict._value import Numbers, Prediction, beside, judged, largest, missing, worse
from driftax.predict.sign_law import slope, slope_at

_LI, _SIGN = "litaie2019, the equations of SGD of order 1 and 2", "compagnoni2025, Lemma 3.7"
_FORMS = ("decoupled", "l2")
_ROUNDS = 80  # of a fixed point that at least halves its error in each
# r above which the exact law depends on where the lattice of params lies, by up to 25 % at r = 1.9
_LATTICE = 1.0


class Stationary(NamedTuple):
    """A stationary law on a quadratic.

    Args:
        mean: of the params [dim].
        variance: of the params [dim].
        loss: expected loss above the minimum.
    """

    mean: np.ndarray
    variance: np.ndarray
    loss: float


def law_of(mean: np.ndarray, variance: np.ndarray, curvature: np.ndarray, minimum: np.ndarray) -> Stationary:
    """The law with its loss."""
    with np.errstate(invalid="ignore"):
        terms = 0.5 * curvature * (variance + (mean - minimum) ** 2)
    return Stationary(mean, variance, float(np.sum(np.where(curvature > 0, terms, 0.0))))


def is_l2(form: str) -> bool:
    """Whether a weight decay stands inside the gradient.

    Raises:
        DriftaxError: for a form that does not exist.
    """
    if form not in _FORMS:
        raise DriftaxError(f"weight_decay_form = {form!r}", "an unknown form", " or ".join(_FORMS))
    return form == "l2"


def decay_places(curvature: np.ndarray, weight_decay: float, form: str) -> tuple[np.ndarray, float]:
    """The slope [dim] of the gradient with an L2 decay in it, and the decoupled decay beside the step."""
    return (curvature + weight_decay, 0.0) if is_l2(form) else (curvature, weight_decay)


# --- SGD ---------------------------------------------------------------------------------------------------


def sgd_stationary(
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    weight_decay: Numbers = 0.0,
    minimum: Numbers = 0.0,
    dof: Numbers = math.inf,
) -> dict[str, Prediction]:
    """Stationary laws of SGD: `exact`, and those of its equations `order 1`, `order 2` and `stability`.

    With eta the learning rate and k = curvature + weight_decay, the variance eta s^2 / (2 k) of order 1 is
    divided by 1 - eta k / 2 for SGD itself (which is also that of the stability equation) and by
    1 + eta k / 2 for the order-2 equation.

    Args:
        curvature: eigenvalues of the Hessian [dim], above 0.
        noise: scale of the gradient noise of one step [dim] (the standard deviation, if Gaussian).
        learning_rate: above 0.
        weight_decay: PyTorch's convention; either form.
        minimum: of the loss without the decay [dim].
        dof: of Student-t noise; SGD has no stationary variance up to 2.

    Returns:
        name of the formula to a prediction of a `Stationary`.

    Raises:
        DriftaxError: for wrong numbers.

    Source: litaie2019, the equations of SGD of order 1 and 2; the stability equation: compagnoniinteraction2025.
    """
    h, s, x = together(
        curvature=(curvature, "positive"), noise=(noise, "non-negative"), minimum=(minimum, "finite")
    )
    eta = number("learning_rate", learning_rate, "positive")
    k, dof = h + number("weight_decay", weight_decay, "non-negative"), degrees(dof)
    mean = np.where(dof > 1, x * h / k, math.nan)
    leading = eta * np.where(s > 0, s**2 * student.variance(dof), 0.0) / (2 * k)
    half = eta * k / 2
    exact = np.where(half < 1, leading / np.where(half < 1, 1 - half, 1.0), math.inf)
    laws = {
        "exact": law_of(mean, exact, h, x),
        "order 1": law_of(mean, leading, h, x),
        "order 2": law_of(mean, leading / (1 + half), h, x),
        "stability": law_of(mean, exact, h, x),
    }
    sources = dict.fromkeys(laws, _LI) | {"exact": "re-derived", "stability": "compagnoniinteraction2025"}
    cause = largest("learning_rate * (curvature + weight_decay) / 2", half)
    why = ""
    if dof <= 2 and np.any(s > 0):
        why = f"dof = {dof:g} is not above 2: no stationary variance" + ("" if dof > 1 else ", nor a mean")
    elif np.max(half) >= 1:
        why = f"{cause} is not below 1: SGD diverges"
    if why:
        return {name: missing(law, why, sources[name]) for name, law in laws.items()}
    answer = {
        name: _beside_law(laws[name], laws["exact"], "SGD itself", cause, sources[name]) for name in laws
    }
    answer["exact"] = judged(laws["exact"], 0.0, f"{cause} is below 1", sources["exact"])
    return answer


def sgd_covariance(hessian: Numbers, covariance: Numbers, learning_rate: Numbers) -> np.ndarray:
    """Exact stationary covariance [dim, dim] of SGD on any quadratic: `P = (1 - eta H) P (1 - eta H) + eta^2 S`.

    Args:
        hessian: symmetric positive definite [dim, dim].
        covariance: of the gradient noise of one step [dim, dim].
        learning_rate: above 0, below 2 / (largest eigenvalue).

    Raises:
        DriftaxError: for wrong numbers, or where SGD diverges.

    Source: textbook, discrete Lyapunov equation.
    """
    from scipy.linalg import solve_discrete_lyapunov

    h, s = (
        np.asarray(number("hessian", hessian, "finite")),
        np.asarray(number("covariance", covariance, "finite")),
    )
    eta = number("learning_rate", learning_rate, "positive")
    if h.ndim != 2 or h.shape[0] != h.shape[1] or s.shape != h.shape or not np.allclose(h, h.T):
        found = f"shapes {list(h.shape)} and {list(s.shape)}"
        raise DriftaxError("a stationary covariance of SGD", found, "two symmetric matrices [dim, dim]")
    low, high = np.linalg.eigvalsh(h)[[0, -1]]
    if low <= 0 or eta * high >= 2:
        found = f"eigenvalues from {low:g} to {high:g} at learning_rate = {eta:g}"
        raise DriftaxError(
            "a stationary covariance of SGD", found, f"eigenvalues above 0 and below {2 / eta:g}"
        )
    return solve_discrete_lyapunov(np.eye(len(h)) - eta * h, eta**2 * s)


# --- SignSGD -----------------------------------------------------------------------------------------------


def signsgd_stationary(
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    weight_decay: Numbers = 0.0,
    weight_decay_form: str = "decoupled",
    minimum: Numbers = 0.0,
    dof: Numbers = math.inf,
) -> dict[str, Prediction]:
    """Stationary laws of SignSGD: `closure` (accurate), `leading` and `paper`.

    `closure` solves the exact identity of the chain's second moment with a Gaussian law for the params;
    without decay and under Gaussian noise it is `s^2/h^2 (r sqrt(1 + r^2/4) + r^2/2)`, with
    `r = eta h / (2 s) sqrt(pi/2)`. Its relative error is below (0.05 + 0.4 / dof^2) r^2
    (with a decay up to 0.4 r^2 more), measured on exact laws for r up to 1. Under decoupled decay with a minimum other
    than 0, means are those of the linear drift.

    Args:
        curvature: eigenvalues of the Hessian h [dim], above 0.
        noise: scale s of the gradient noise of one step [dim], above 0.
        learning_rate: eta, above 0.
        weight_decay: PyTorch's convention.
        weight_decay_form: "decoupled" or "l2".
        minimum: of the loss without the decay [dim].
        dof: of Student-t noise; every dof above 0 has a stationary variance.

    Returns:
        name of the formula to a prediction of a `Stationary`.

    Raises:
        DriftaxError: for wrong numbers.

    Source: compagnoni2025, Lemma 3.7; the closure, and both with a decay, are re-derived.
    """
    h, s, x = together(
        curvature=(curvature, "positive"), noise=(noise, "positive"), minimum=(minimum, "finite")
    )
    eta = number("learning_rate", learning_rate, "positive")
    theta = number("weight_decay", weight_decay, "non-negative")
    steep, beside_step = decay_places(h, theta, weight_decay_form)
    dof = degrees(dof)
    a = slope(dof) * steep / s
    mean = x * h / steep * (a / (a + beside_step))
    laws = {
        "closure": closure_variance(steep / s, eta, beside_step, dof),
        "leading": eta / (2 * (a + beside_step)),
        "paper": eta / (2 * (a + beside_step) + eta * a**2),
    }
    laws = {name: law_of(mean, variance, h, x) for name, variance in laws.items()}
    r = eta * steep / (2 * s * slope(dof))
    cause = largest("r = learning_rate * curvature / (2 * slope * noise)", r)
    offset = steep / s * np.abs(mean - x * h / steep)
    error, reason = _closure_error(r, cause, beside_step, a, offset, dof)
    answer = {"closure": judged(laws["closure"], error, reason, "re-derived")}
    for name in ("leading", "paper"):
        told = _beside_law(laws[name], laws["closure"], "the closure", cause, _SIGN)
        answer[name] = worse(told, answer["closure"])
    return answer


def _closure_error(
    r: np.ndarray, cause: str, decay: float, pull: np.ndarray, offset: np.ndarray, dof: float
) -> tuple[np.ndarray, str]:
    """The relative error [dim] of the closure, and what it was estimated from.

    `decay` and `pull` draw the params to 0 and to the minimum; `offset` is the mean gradient over the noise.
    """
    # Over r^2, an upper bound of the error on exact laws with r up to 1.
    share = 0.05 + 0.4 / dof**2 + 0.4 * decay / (pull + decay)
    error = np.where(r > _LATTICE, np.inf, share * r**2) + offset**2 / 2
    reason = f"error below {float(np.max(share)):.2g} r^2, {cause}"
    if np.max(offset) > 0:
        reason += f"; the mean gradient is {np.max(offset):.3g} noises from 0"
    return error, reason


def closure_variance(
    ratio: np.ndarray, learning_rate: float, decay: float = 0.0, dof: float = math.inf
) -> np.ndarray:
    """The variance p [dim] of SignSGD by Gaussian closure, the root of
    `p = (1 - eta decay)^2 p - 2 eta (1 - eta decay) p k E[D'(k x)] + eta^2` at x of N(0, p), k = `ratio`.

    D is the mean sign, and by Stein's identity E[x D(k x)] = p k E[D'(k x)]. The right-hand side is solved for
    p where it stands alone; from 0 that fixed point rises to the only root.

    Args:
        ratio: curvature over noise [dim].
        learning_rate: eta.
        decay: decoupled weight decay.
        dof: of Student-t noise.

    Source: re-derived.
    """
    shrink = 1 - learning_rate * decay
    if shrink <= 0:
        found = f"learning_rate * weight_decay = {learning_rate * decay:g}"
        raise DriftaxError("a stationary law of SignSGD", found, "a product below 1")
    variance = np.zeros_like(ratio)
    for _ in range(_ROUNDS):
        pull = 2 * shrink * ratio * _mean_slope(ratio**2 * variance, dof)
        variance = learning_rate / (decay * (1 + shrink) + pull)
    return variance


def _mean_slope(spread: np.ndarray, dof: float) -> np.ndarray:
    """E D'(y) at y of N(0, spread) [dim]."""
    if math.isinf(dof):
        return slope() / np.sqrt(1 + spread)
    nodes, weights = np.polynomial.hermite_e.hermegauss(120)
    values = slope_at(np.sqrt(spread)[:, None] * nodes, dof)
    return values @ weights / math.sqrt(2 * math.pi)


def erf_equation_variance(curvature: float, noise: float, learning_rate: float) -> float:
    """Stationary variance of the order-1 equation of SignSGD with its full error function, in one dimension.

    From the stationary density `exp(-2/eta int D/(1 - D^2)) / (1 - D^2)` by quadrature.

    Args:
        curvature: above 0.
        noise: standard deviation of the gradient noise of one step, above 0.
        learning_rate: above 0.

    Source: compagnoni2025, Corollary 3.3 (the equation).
    """
    from scipy.special import erf, erfc

    h, s = number("curvature", curvature, "positive"), number("noise", noise, "positive")
    unit = math.sqrt(2) * s / h  # params at |Y| = 1
    tall = 2 * unit / number("learning_rate", learning_rate, "positive")
    edges = np.linspace(0.0, 5.0, 20001) * min(1.0, 4.0 / math.sqrt(tall))
    nodes, weights = np.polynomial.legendre.leggauss(4)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * (edges[1] - edges[0])
    y = middle[:, None] + half * nodes
    panels = half * (erf(y) / (erfc(y) * (1 + erf(y)))) @ weights
    potential = np.concatenate([[0.0], np.cumsum(panels)])
    density = np.exp(-tall * potential) / (erfc(edges) * (1 + erf(edges)))
    return float(unit**2 * np.sum(edges**2 * density) / (np.sum(density) - 0.5 * density[0]))


# --- verdicts ----------------------------------------------------------------------------------------------


def _beside_law(law: Stationary, better: Stationary, name: str, cause: str, source: str) -> Prediction:
    """A law judged by its variances."""
    return beside(law.variance, better.variance, name, cause, source)._replace(value=law)
