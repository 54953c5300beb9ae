r"""Student's law fitted to standardised noise by maximum likelihood: `1/dof`, which is 0 for Gaussian noise.

The scale of each coordinate is estimated from n units, which spreads the standardised values and adds about
`3 / (1 + 5/dof) / n` to 1/dof (measured, for n from 16 to 256); that is taken off, so that the estimate for
Gaussian noise falls on either side of 0. What is left is in the table of `python -m benchmarks.ground_truth`.

Source: lange1989 (the likelihood); the correction is measured.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from driftax.measurement.estimates import Estimate
from driftax.measurement.standardised import clustered_variance

_SMALLEST, _LARGEST = 1e-4, 4.0
_WIDEST = 20.0  # of the logarithm of the scale
_BINS = 4000


def inverse_dof(noise: np.ndarray, correct: bool = True) -> Estimate:
    """One over the degrees of freedom; within two standard errors of 0 noise is not told from Gaussian.

    Args:
        noise: standardised, [n, dim].
        correct: take off what standardising over n units adds.
    """
    n = noise.shape[0]
    if noise.size < 50:
        return Estimate(float("nan"), float("nan"))
    values, counts = _binned(np.abs(noise))

    def loss(at: np.ndarray) -> float:
        rho, log_scale = np.clip(at[0], _SMALLEST, _LARGEST), np.clip(at[1], -_WIDEST, _WIDEST)
        outside = abs(at[0] - rho) + abs(at[1] - log_scale)
        return float(-(counts * _log_density(values, rho, log_scale)).sum() / counts.sum() + outside)

    found = minimize(loss, [0.15, 0.0], method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-12})
    rho, log_scale = (
        float(np.clip(found.x[0], _SMALLEST, _LARGEST)),
        float(np.clip(found.x[1], -_WIDEST, _WIDEST)),
    )
    error = _error(np.abs(noise), values, counts, rho, log_scale)
    value = 0.0 if rho <= 2 * _SMALLEST else rho
    return Estimate(_corrected(value, n) if correct else value, error)


def _corrected(fitted: float, n: int) -> float:
    """1/dof without what the estimated scales add."""
    value = fitted
    for _ in range(5):
        value = fitted - 3 / (1 + 5 * max(value, 0.0)) / n
    return value


def _log_density(sizes: np.ndarray, rho: float, log_scale: float) -> np.ndarray:
    dof = 1 / rho
    z = (sizes * np.exp(-log_scale)) ** 2
    head = gammaln((dof + 1) / 2) - gammaln(dof / 2) - 0.5 * np.log(dof * np.pi) - log_scale
    return head - (dof + 1) / 2 * np.log1p(z / dof)


def _binned(sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values with counts: as they are where they are few, else in fine logarithmic bins."""
    flat = sizes.reshape(-1)
    if flat.size <= _BINS:
        return flat, np.ones(flat.size)
    top = max(float(flat.max()), 2.0)
    edges = np.concatenate([[0.0], np.geomspace(1e-3, top * (1 + 1e-9), _BINS)])
    counts = np.histogram(flat, edges)[0].astype(float)
    middle = np.sqrt(np.maximum(edges[:-1], 1e-4) * edges[1:])
    return middle[counts > 0], counts[counts > 0]


def _error(sizes: np.ndarray, values: np.ndarray, counts: np.ndarray, rho: float, log_scale: float) -> float:
    """Standard error of rho from the scores of the values, which share units and coordinates."""
    step_rho, step = 1e-3 * max(rho, 0.01), 1e-4
    low, high = max(rho - step_rho, _SMALLEST / 2), rho + step_rho

    def scores(at: np.ndarray, rho_low: float, rho_high: float, scale: float) -> np.ndarray:
        by_rho = (_log_density(at, rho_high, scale) - _log_density(at, rho_low, scale)) / (rho_high - rho_low)
        middle = 0.5 * (rho_low + rho_high)
        by_scale = _log_density(at, middle, scale + step) - _log_density(at, middle, scale - step)
        return np.stack([by_rho, by_scale / (2 * step)], axis=-1)

    each = scores(sizes, low, high, log_scale)
    variance = clustered_variance(each)
    binned = scores(values, low, high, log_scale)
    # The information as the mean square of the scores: it is positive, and equal under the law itself.
    information = np.einsum("i,ij,ik->jk", counts, binned, binned)
    inverse = np.linalg.pinv(information)
    return float(np.sqrt(max((inverse @ variance @ inverse)[0, 0], 0.0)))
