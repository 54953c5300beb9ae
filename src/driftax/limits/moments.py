"""Mean and second moment of a limit, without sampling.

Where the limit is an ODE a trajectory is enough. Where it is an SDE whose drift is affine in the state and
whose diffusion does not depend on it (a quadratic objective with constant noise), mean and covariance obey

    dm/dt = drift(m),   dP/dt = J P + P J^T + S S^T.

Source: kloeden1992, moment equations of linear SDEs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.integrate import solve_ivp

from driftax._errors import DriftaxError
from driftax.limits.limit_equation import LimitEquation

_SMALL = 1e-9  # the start of bias-corrected limits, whose corrections are infinite at 0
_TOLERANCE = 1e-10


class Moments(NamedTuple):
    """E x, E x^2 and the second moment that divides, at one time, for one coordinate."""

    params: float
    params_sq: float
    nu: float


def limit_moments(equation: LimitEquation, params: float, time: float) -> Moments:
    """Moments of a limit at a time, from params at time 0.

    Args:
        equation: of one coordinate.
        params: at the start.
        time: of the limit's clock, above 0.

    Raises:
        DriftaxError: if the limit is an SDE that is not affine: its moments do not close.
    """
    first = _SMALL * time if equation.exponents.bias_correction else 0.0
    mean = equation.start(np.asarray([params]), first)[:, 0]
    size = len(mean)
    noise = equation.diffusion(time, mean[:, None])[:, 0]
    noisy = np.any(noise != 0)
    start = mean
    if noisy:
        _refuse_unless_affine(equation, time, mean)
        # Bias correction divides the momentum by the time passed, so that its first noise counts.
        covariance = np.outer(noise, noise) * (first if "mu" in equation.slots else 0.0)
        start = np.concatenate([mean, covariance.ravel()])

    def velocity(t: float, y: np.ndarray) -> np.ndarray:
        m = y[:size]
        drift = equation.drift(t, m[:, None])[:, 0]
        if not noisy:
            return drift
        p = y[size:].reshape(size, size)
        jacobian, s = _jacobian(equation, t, m), equation.diffusion(t, m[:, None])[:, 0]
        return np.concatenate([drift, (jacobian @ p + p @ jacobian.T + np.outer(s, s)).ravel()])

    found = solve_ivp(velocity, (first, time), start, method="LSODA", rtol=_TOLERANCE, atol=_TOLERANCE)
    m = found.y[:size, -1]
    variance = float(found.y[size, -1]) if noisy else 0.0
    nu = float(equation.second_moment(time, m[:, None])[0])
    return Moments(float(m[0]), float(m[0] ** 2) + variance, nu)


def _jacobian(equation: LimitEquation, time: float, mean: np.ndarray) -> np.ndarray:
    """Of the drift in params and mu; nu does not fluctuate in a limit with noise."""
    size, moving = len(mean), [i for i, name in enumerate(equation.slots) if name != "nu"]
    jacobian = np.zeros((size, size))
    for i in moving:
        shift = np.zeros(size)
        shift[i] = 0.5
        ends = np.stack([mean + shift, mean - shift], axis=1)
        values = equation.drift(time, ends)
        jacobian[:, i] = values[:, 0] - values[:, 1]
    return jacobian


def _refuse_unless_affine(equation: LimitEquation, time: float, mean: np.ndarray) -> None:
    """An affine drift has one Jacobian everywhere, and a constant noise moves with nothing."""
    away = mean.copy()
    away[0] += 1.0
    here, there = _jacobian(equation, time, mean), _jacobian(equation, time, away)
    still = equation.diffusion(time, np.stack([mean, away], axis=1))
    if not (np.allclose(here, there) and np.allclose(still[:, 0], still[:, 1])):
        raise DriftaxError(
            "moments of a limit with noise",
            "a drift that is not affine, or a noise that depends on params",
            "a quadratic objective with constant noise, or an ensemble of LimitEquation.drift and diffusion",
        )
