"""The mean sign of a noisy gradient and its slope at 0, for Gaussian and Student-t noise."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betainc, erf, gammaln

from driftax.predict._arguments import degrees, number
from driftax.predict._value import Numbers


def mean_sign(signal: Numbers, dof: Numbers = math.inf) -> np.ndarray:
    """E sign(gradient) at gradient / scale of the noise = `signal`, of the shape of `signal`.

    Through the incomplete beta function, which keeps its relative accuracy at small signals.

    Source: compagnoni2025, Corollaries 3.3 and 3.4.
    """
    y, dof = np.asarray(number("signal", signal, "finite")), degrees(dof)
    if math.isinf(dof):
        return np.asarray(erf(y / math.sqrt(2)))
    return np.asarray(np.sign(y) * betainc(0.5, dof / 2, y**2 / (dof + y**2)))


def slope(dof: Numbers = math.inf) -> float:
    """The slope of the mean sign at signal 0: sqrt(2/pi) for Gaussian noise, 2/pi for Cauchy noise.

    Source: compagnoni2025, the constant l_nu of Student-t noise.
    """
    dof = degrees(dof)
    if math.isinf(dof):
        return math.sqrt(2 / math.pi)
    # gammaln loses digits for huge dof, where the expansion of the ratio is exact to rounding.
    if dof > 1e6:
        return math.sqrt(2 / math.pi) * (1 - 0.25 / dof)
    return 2 * math.exp(float(gammaln((dof + 1) / 2) - gammaln(dof / 2))) / math.sqrt(math.pi * dof)


def linearisation(signal: np.ndarray, dof: Numbers = math.inf) -> tuple[np.ndarray, str]:
    """The relative error of the linear mean sign `slope * signal` at signals above 0, and the largest in words.

    Args:
        signal: gradient / scale of the noise.
        dof: of Student-t noise.
    """
    error = slope(dof) * signal / mean_sign(signal, dof) - 1
    ratio = float(np.max(signal)) / math.sqrt(2)
    return error, f"linear drift {100 * float(np.max(error)):+.2g} % at |Y| = {ratio:.3g}"


def slope_at(signal: Numbers, dof: Numbers = math.inf) -> np.ndarray:
    """The slope of the mean sign at any signal: twice the density of the noise."""
    y, dof = np.asarray(number("signal", signal, "finite")), degrees(dof)
    if math.isinf(dof):
        return np.asarray(slope() * np.exp(-0.5 * y**2))
    return np.asarray(slope(dof) * (1 + y**2 / dof) ** (-(dof + 1) / 2))
