r"""The sum of noise deviations `sum_i sigma_i` of one example: the level at which RMSprop, Adam and signs settle.

Near a minimum the stationary loss of RMSprop and Adam is `learning_rate / (4 sqrt(B)) sum_i sigma_i` to leading order,
whatever the curvature is; that of signs under Gaussian noise is sqrt(pi/2) times as large. A sample deviation is too
small on average; where the noise has four moments the jackknife takes that out to order 1/n.

Source: compagnoni2025, Lemma 3.7 and C.57; efron1981 (the jackknife).
"""

from __future__ import annotations

import numpy as np

from driftax.measurement.estimates import Estimate, jackknife_covariance, root


def noise_deviation_sum(columns: np.ndarray, dim: int, unit_size: int = 1, unseen: float = 1.0) -> Estimate:
    """The sum over the coordinates of a group of the deviation of one example's gradient.

    Args:
        columns: gradients of the units [n, kept].
        dim: number of coordinates of which `kept` were drawn.
        unit_size: examples b in a unit.
        unseen: 1 - n b / N, or 1.
    """
    n, kept = columns.shape
    squares = (columns - columns.mean(axis=0)) ** 2
    total = squares.sum(axis=0)
    scale = dim / kept * np.sqrt(unit_size)
    deviation = np.sqrt(total / (n - 1))
    # Without unit j the sum of squares about the new mean falls by n / (n - 1) of its own square.
    others = np.sqrt(np.maximum(total - n / (n - 1) * squares, 0.0) / (n - 2)).sum(axis=1)
    value = n * deviation.sum() - (n - 1) * others.mean()
    known = unseen if unit_size == 1 else 1.0
    units = known * float(jackknife_covariance(others[:, None])[0, 0])
    drawn = kept * deviation.var() * max(1 - kept / dim, 0.0)
    return Estimate(float(scale * value), float(scale * root(units + drawn)))
