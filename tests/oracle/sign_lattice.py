"""The exact stationary law of SignSGD on a quadratic in one dimension: a birth-death chain on a lattice.

Params move by one learning rate up or down, so they stay on `learning_rate * (integers + offset)`, and detailed
balance gives the law as a product of ratios. Nothing of driftax is used.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from scipy.special import erfc, erfcx


def stationary_variance(
    learning_rate: float, curvature: float, noise: float, dof: float = math.inf, offset: float = 0.0
) -> float:
    """The variance about the minimum 0.

    Args:
        learning_rate, curvature: above 0.
        noise: scale of the gradient noise.
        dof: of Student-t noise; infinite for Gaussian noise.
        offset: where the lattice lies, in learning rates.
    """
    reach = 400 * math.ceil((1 + noise) / math.sqrt(learning_rate * curvature))
    sites = learning_rate * (np.arange(-reach, reach + 1) + offset)
    up = log_above(curvature * sites / noise, dof)  # the noise is below -gradient, so the sign is -1
    down = log_above(-curvature * sites / noise, dof)
    ratios = up[:-1] - down[1:]  # of the law at a site to that at the one before
    right, left = np.cumsum(ratios[reach:]), -np.cumsum(ratios[:reach][::-1])[::-1]
    log_law = np.concatenate([left, [0.0], right])  # summed from the middle, where no digits are lost
    weights = np.exp(log_law - np.max(log_law))
    weights /= weights.sum()
    assert max(weights[0], weights[-1]) < 1e-25, "the lattice is too short"
    # A chain of steps of one site is periodic: its two halves are visited in turns, and both have this mean.
    return float(weights @ sites**2)


def log_above(z: np.ndarray, dof: float) -> np.ndarray:
    """The logarithm of the probability that a noise of scale 1 lies above z."""
    if math.isfinite(dof):
        return np.asarray(stats.t.logsf(z, dof))
    high = np.maximum(z, 0.0)
    tail = np.log(0.5 * erfcx(high / math.sqrt(2))) - high**2 / 2
    return np.where(z > 0, tail, np.log1p(-0.5 * erfc(np.maximum(-z, 0.0) / math.sqrt(2))))
