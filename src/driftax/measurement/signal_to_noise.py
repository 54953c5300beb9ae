r"""The squared signal ratio `Y_i^2 = (d_i f)^2 / (2 sigma_i^2)` of a step with batch B, per coordinate.

    Y^2 = B/b [ (n - 3)/(n - 1) G^2 / (2 s^2) - (1 - n b / N) / (2 n) ]

is unbiased for Gaussian units of b examples; the jackknife takes off what skewed units add to order 1/n, and adds
nothing for Gaussian ones. It is averaged over coordinates before anything is clipped at 0.

Source: re-derived; efron1981 (the jackknife).
"""

from __future__ import annotations

import numpy as np

from driftax.measurement.estimates import (
    Estimate,
    Skewed,
    bend_of_square,
    jackknife_covariance,
    root,
    shape_of,
)
from driftax.measurement.gradient_moments import squared_covariance

_ONE_UNIT = 0.8  # share of the sum of squares


def signal_ratio_squared(
    columns: np.ndarray, unit_size: int = 1, batch: int = 1, unseen: float = 1.0
) -> np.ndarray:
    """Y^2 of every coordinate [dim]; unclipped, so that means of it are unbiased.

    Args:
        columns: gradients of the units [n, dim] at coordinates that are not silent.
        unit_size: examples b in a unit.
        batch: examples B in a step of the optimizer.
        unseen: 1 - n b / N, or 1.
    """
    n = columns.shape[0]
    mean, variance = columns.mean(axis=0), columns.var(axis=0, ddof=1)
    return _debiased(mean, variance, n, unit_size, batch, unseen)


def mean_signal_ratio_squared(
    columns: np.ndarray, dim: int, unit_size: int = 1, batch: int = 1, unseen: float = 1.0
) -> Skewed:
    """The mean of Y^2 over the coordinates of a group.

    Its standard error is over units (the jackknife, less the part it counts twice) and over the draw of
    coordinates.

    Args:
        columns: gradients of the units [n, kept].
        dim: number of coordinates of which `kept` were drawn.
        unit_size, batch, unseen: as in `signal_ratio_squared`.

    Source: efron1981.
    """
    columns = columns[:, loud(columns)]
    n, kept = columns.shape
    if kept == 0:
        return Skewed(Estimate(float("nan"), float("nan")))
    ratios = signal_ratio_squared(columns, unit_size, batch, unseen)
    mean, variance = columns.mean(axis=0), columns.var(axis=0, ddof=1)
    squares = (columns - mean) ** 2
    others = ((n - 1) * variance - n / (n - 1) * squares) / (n - 2)
    means = (n * mean - columns) / (n - 1)
    others = np.maximum(others, np.finfo(float).tiny)
    left = _debiased(means, others, n - 1, unit_size, batch, unseen).mean(axis=1)
    # As in `gradient_moments`: micro-batches of a whole data set still have an estimated spread.
    total = (unseen if unit_size == 1 else 1.0) * float(jackknife_covariance(left[:, None])[0, 0])
    standard = (columns - mean) / np.sqrt(variance)
    factor = batch / unit_size / (2 * kept)
    own = factor**2 * 2 * max(squared_covariance(standard @ standard.T), 0.0) / (n * (n - 1))
    own *= unseen if unit_size == 1 else 1.0
    units = max(total - own, own * unseen)
    drawn = ratios.var() / kept * max(1 - kept / dim, 0.0)
    value = ratios.mean() + unseen * (n - 1) * (ratios.mean() - left.mean())
    scaled = columns / np.sqrt(variance)
    shape = shape_of(left, bend_of_square(scaled @ scaled.T, units / factor**2))
    return Skewed(Estimate(float(value), root(units + drawn)), shape)


def loud(columns: np.ndarray) -> np.ndarray:
    """The coordinates that vary from unit to unit [dim]; the others are silent and have no ratio.

    Silent is, too, where a single unit has more than four fifths of the sum of squares (a rare row of an
    embedding): without that unit there would be next to no variance, and the jackknife a division by it.
    """
    squares = (columns - columns.mean(axis=0)) ** 2
    largest, total = squares.max(axis=0), squares.sum(axis=0)
    size = np.abs(columns).max(axis=0)
    # Equal numbers have a mean that is another one, by rounding.
    return (largest < _ONE_UNIT * total) & (total > (1e-12 * size) ** 2)


def _debiased(
    mean: np.ndarray, variance: np.ndarray, n: int, unit_size: int, batch: int, unseen: float
) -> np.ndarray:
    naive = (n - 3) / (n - 1) * mean**2 / (2 * variance)
    return batch / unit_size * (naive - unseen / (2 * n))
