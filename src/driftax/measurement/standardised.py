"""Gradient noise in units of its own scale, coordinate by coordinate.

Pooling coordinates of different scale makes Gaussian noise look heavy-tailed. The scale is the median
distance from the median: a standard deviation would bound what it divides by sqrt(n).

Source: re-derived.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

_ATOM = 0.25  # share of units beyond which a common value is an atom
_NEAR = 0.01  # of the standard deviation, below which a scale is that of an atom
_TO_SIGMA = 1 / float(norm.ppf(0.75))


def standardised(columns: np.ndarray) -> np.ndarray:
    """Noise [n, dim] over its scale, of the coordinates that have one.

    Those that are the same in more than a quarter of the units are left out (behind a ReLU, in rows of an
    embedding), and those as good as the same, whose scale is below a hundredth of their standard deviation:
    an atom beside a spread is no tail, and its middle half says nothing of the spread. (Of 64 values of a
    Cauchy law that happens to 1 in 20 coordinates, of one with 1.5 degrees of freedom to 1 in 300.)

    Args:
        columns: gradients of the units [n, dim].
    """
    noise = columns - np.median(columns, axis=0)
    scale = _TO_SIGMA * np.median(np.abs(noise), axis=0)
    wide = scale > np.maximum(_NEAR * columns.std(axis=0), 1e-12 * np.abs(columns).max(axis=0, initial=0.0))
    wide &= (np.diff(np.sort(noise, axis=0), axis=0) == 0).mean(axis=0) <= _ATOM
    return noise[:, wide] / scale[wide]


def unstandardised(columns: np.ndarray) -> np.ndarray:
    """Noise [n, dim] over one scale for all coordinates: what pooling would look at."""
    noise = columns - np.median(columns, axis=0)
    noise = noise[:, np.ptp(noise, axis=0) > 0]
    scale = _TO_SIGMA * np.median(np.abs(noise)) if noise.size else 1.0
    return noise / scale if scale > 0 else noise / max(float(noise.std()), 1e-300)


def clustered_variance(influence: np.ndarray) -> np.ndarray:
    """Covariance [k, k] of the sum of influences [n, dim, k] that share units and share coordinates.

    Source: cameron2011.
    """
    centred = influence - influence.mean(axis=(0, 1))
    by_unit, by_coordinate = centred.sum(axis=1), centred.sum(axis=0)
    flat = centred.reshape(-1, centred.shape[-1])
    alone = flat.T @ flat
    both = by_unit.T @ by_unit + by_coordinate.T @ by_coordinate - alone
    # Subtracting may leave less than nothing where there is nothing to share.
    return both if np.all(np.diag(both) > 0.5 * np.diag(alone)) else alone
