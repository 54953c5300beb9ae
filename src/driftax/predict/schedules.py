"""The expected loss of SGD and of SignSGD in phase 3 under a learning-rate schedule, on a quadratic.

A schedule is a factor eta_t on the learning rate, a function of t = (steps taken) * learning_rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict import student
from driftax.predict._arguments import degrees, number, together
from driftax.predict._value import Numbers, Prediction, judged, largest, missing
from driftax.predict.sign_law import linearisation, slope

Factor = Callable[[np.ndarray], Any]
_POINTS = 6  # per panel of the quadrature
_PANELS = 400


def relaxing(times: Numbers, start: Numbers, rate: Numbers, push: Numbers, factor: Factor) -> np.ndarray:
    """The solution [time, dim] of `S' = -rate eta_t S + push eta_t^2` at rising times, by Gauss-Legendre panels.

    Args:
        times: [time], 0 or more, rising.
        start: S at time 0 [dim].
        rate: of relaxation at a factor of 1 [dim].
        push: of the noise at a factor of 1 [dim].
        factor: eta_t, at an array of times.

    Raises:
        DriftaxError: for wrong times, or factors that are negative or not finite.

    Source: compagnoni2025, SignSGD with schedulers (re-derived).
    """
    times = np.atleast_1d(number("times", times, "non-negative"))
    s, r, q = together(start=(start, "non-negative"), rate=(rate, "positive"), push=(push, "non-negative"))
    if np.any(np.diff(times) <= 0):
        raise DriftaxError("a loss under a schedule", "times that do not rise", "rising times")
    edges = np.union1d(np.linspace(0.0, times[-1], _PANELS + 1), np.append(times, 0.0))
    nodes, weights, inner = _rule(_POINTS)
    width = np.diff(edges)
    points = edges[:-1, None] + width[:, None] * nodes
    eta = np.broadcast_to(np.asarray(factor(points), dtype=float), points.shape)
    if not np.all(np.isfinite(eta)) or np.any(eta < 0):
        raise DriftaxError(
            "a learning-rate schedule", f"a factor of {np.min(eta):g}", "finite factors of 0 or more"
        )
    passed = width[:, None] * (eta @ inner.T)  # int of eta from the start of the panel to each node
    total = width * (eta @ weights)
    states = [s]
    for j, step in enumerate(width):
        kept = np.exp(-r[:, None] * (total[j] - passed[j]))
        noise = q * step * (kept @ (weights * eta[j] ** 2))
        states.append(states[-1] * np.exp(-r * total[j]) + noise)
    return np.stack(states)[np.searchsorted(edges, times)]


def signsgd_schedule_loss(
    times: Numbers,
    start: Numbers,
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    factor: Factor,
    dof: Numbers = math.inf,
) -> Prediction:
    """Expected loss [time] of SignSGD in phase 3 under a schedule, by its linear equation.

    Judged by the linearisation of the mean sign at the larger of the start and the stationary spread.

    Args:
        times: (steps taken) * learning_rate [time], rising.
        start: params at time 0, the minimum being 0 [dim].
        curvature: eigenvalues of the Hessian [dim].
        noise: scale of the gradient noise of one step [dim].
        learning_rate: at a factor of 1.
        factor: eta_t.
        dof: of Student-t noise.

    Source: compagnoni2025, SignSGD with schedulers (re-derived; without its term of order learning_rate).
    """
    x, h, s = together(start=(start, "finite"), curvature=(curvature, "positive"), noise=(noise, "positive"))
    eta = number("learning_rate", learning_rate, "positive")
    rate = 2 * slope(dof) * h / s
    second = relaxing(times, x**2, rate, np.full_like(h, eta), factor)
    signal = h / s * np.sqrt(np.maximum(x**2, eta / rate))
    source = "compagnoni2025, SignSGD with schedulers"
    return judged(second @ (0.5 * h), *linearisation(signal, dof), source)


def sgd_schedule_loss(
    times: Numbers,
    start: Numbers,
    curvature: Numbers,
    noise: Numbers,
    learning_rate: Numbers,
    factor: Factor,
    dof: Numbers = math.inf,
) -> Prediction:
    """Expected loss [time] of the order-1 equation of SGD under a schedule; infinite for dof up to 2.

    Judged by learning_rate * curvature / 2, its relative distance from SGD itself at a factor of 1.

    Args:
        times: (steps taken) * learning_rate [time], rising.
        start: params at time 0, the minimum being 0 [dim].
        curvature: eigenvalues of the Hessian [dim].
        noise: scale of the gradient noise of one step [dim].
        learning_rate: at a factor of 1.
        factor: eta_t.
        dof: of Student-t noise.

    Source: compagnoni2025, SGD with schedulers (re-derived).
    """
    x, h, s = together(start=(start, "finite"), curvature=(curvature, "positive"), noise=(noise, "positive"))
    eta, dof = number("learning_rate", learning_rate, "positive"), degrees(dof)
    source = "compagnoni2025, SGD with schedulers"
    if dof <= 2:
        nowhere = np.full(np.shape(np.atleast_1d(times)), np.inf)
        return missing(nowhere, f"dof = {dof:g} is not above 2: no variance", source)
    second = relaxing(times, x**2, 2 * h, eta * s**2 * student.variance(dof), factor)
    half = 0.5 * eta * h
    return judged(second @ (0.5 * h), half, largest("learning_rate * curvature / 2", half), source)


def level_per_factor(curvature: Numbers, noise: Numbers, learning_rate: Numbers, optimizer: str) -> float:
    """The limit of loss / eta_t under slowly falling schedules, such as (t + 1)^-a with 0 < a < 1.

    Args:
        curvature: eigenvalues of the Hessian [dim].
        noise: standard deviation of the gradient noise of one step [dim].
        learning_rate: at a factor of 1.
        optimizer: "sgd" or "signsgd".

    Source: compagnoni2025, schedulers (re-derived).
    """
    h, s = together(curvature=(curvature, "positive"), noise=(noise, "positive"))
    eta = number("learning_rate", learning_rate, "positive")
    if optimizer not in ("sgd", "signsgd"):
        raise DriftaxError(f"optimizer = {optimizer!r}", "no such level", "sgd or signsgd")
    return float(np.sum(eta * (s / slope() if optimizer == "signsgd" else s**2) / 4))


def _rule(points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1], and the weights [node, node] of the integrals from 0 to each node."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    nodes, weights = 0.5 * (nodes + 1), 0.5 * weights
    powers = np.arange(points)
    values = nodes[:, None] ** powers
    inner = nodes[:, None] ** (powers + 1) / (powers + 1) @ np.linalg.inv(values)
    return nodes, weights, inner
