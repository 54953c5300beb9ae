r"""The squared norm of the mean gradient and the covariance trace of one example.

With units g_j of b examples each, G their mean and s^2 the trace of their sample covariance,

    |grad|^2 = |G|^2 - (1 - n b / N) s^2 / n,        tr Sigma = b s^2 (N - 1) / N,

both unbiased; for independent units (no N) the first is the U-statistic `sum_{i != j} g_i . g_j / n(n-1)`.
Its variance is `4 m' S m / n + 2 tr S^2 / n(n-1)` (S the covariance of a unit, m the mean), whose two parts
have unbiased estimates in the Gram matrix: the jackknife counts the second twice, and that part is all there
is where noise dominates.

Source: mccandlish2018, Appendix A (two batch sizes are two of the terms here); chen2010 for the parts of the
variance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from driftax.measurement.estimates import (
    NORMAL,
    Estimate,
    Shape,
    bend_of_square,
    jackknife_covariance,
    root,
    shape_of,
)


class GradientMoments(NamedTuple):
    """Norm and trace with the covariance of the two estimates.

    Args:
        norm_squared: of the mean gradient, [gradient]^2; may be negative where noise dominates.
        covariance_trace: of the gradient of one example, [gradient]^2.
        covariance: of the two estimates in this order [2, 2].
        norm_shape, trace_shape: of what a unit adds to them.
        ratio_shape: of what it adds to `trace - ratio norm`, for the ratio that was found.
    """

    norm_squared: Estimate
    covariance_trace: Estimate
    covariance: np.ndarray
    norm_shape: Shape = NORMAL
    trace_shape: Shape = NORMAL
    ratio_shape: Shape = NORMAL


def gradient_moments(
    gram: np.ndarray, unit_size: int = 1, data_size: int | None = None, unseen: float = 1.0
) -> GradientMoments:
    """Estimates norm and trace from inner products of the units' gradients.

    Args:
        gram: [n, n], n of 4 or more.
        unit_size: examples b in a unit.
        data_size: N, where units were drawn without replacement.
        unseen: 1 - n b / N, or 1.
    """
    n = gram.shape[0]
    centred = gram - gram.mean(axis=0)[:, None] - gram.mean(axis=1)[None, :] + gram.mean()
    sizes = np.diag(centred)
    spread = sizes.sum() / (n - 1)  # s^2
    mean_squared = gram.sum() / n**2
    norm = mean_squared - unseen * spread / n
    scale = unit_size * (1.0 if data_size is None else 1 - 1 / data_size)

    left = np.stack(_left_out(gram, sizes, unseen), axis=1)
    covariance = jackknife_covariance(left)
    # The spread of single examples is known once all are seen; that of micro-batches depends on the split.
    covariance *= np.array([[unseen, unseen], [unseen, unseen if unit_size == 1 else 1.0]])
    # The part of the variance that depends on the mean, and the part that does not.
    mean_part = max(mean_spread(gram), 0.0)
    own_part = max(squared_covariance(centred), 0.0)
    covariance[0, 0] = unseen * 4 * mean_part / n + unseen**2 * 2 * own_part / (n * (n - 1))
    limit = root(covariance[0, 0] * covariance[1, 1])
    covariance[0, 1] = covariance[1, 0] = np.clip(covariance[0, 1], -limit, limit)
    bend = bend_of_square(gram, covariance[0, 0])
    ratio = spread / norm if norm > 0 else 0.0
    apart = np.array([-ratio, 1.0])
    variance = float(apart @ covariance @ apart)
    against = bend * (ratio * root(covariance[0, 0] / variance)) ** 3 if variance > 0 else 0.0
    covariance *= np.outer([1, scale], [1, scale])
    return GradientMoments(
        Estimate(float(norm), root(covariance[0, 0])),
        Estimate(float(scale * spread), root(covariance[1, 1])),
        covariance,
        shape_of(left[:, 0], bend),
        shape_of(left[:, 1]),
        shape_of(left @ apart, -against),
    )


def _left_out(gram: np.ndarray, sizes: np.ndarray, unseen: float) -> tuple[np.ndarray, np.ndarray]:
    """Norm and spread with each unit left out [n]."""
    n = gram.shape[0]
    spread = (sizes.sum() - n / (n - 1) * sizes) / (n - 2)
    mean_squared = (gram.sum() - 2 * gram.sum(axis=1) + np.diag(gram)) / (n - 1) ** 2
    return mean_squared - unseen * spread / (n - 1), spread


def _distinct_sums(gram: np.ndarray) -> tuple[float, float, float]:
    """Means of K_ij^2, K_ij K_jk and K_ij K_kl over distinct indices.

    Source: chen2010.
    """
    n = gram.shape[0]
    off = gram - np.diag(np.diag(gram))
    rows = off.sum(axis=1)
    pairs = float((off**2).sum())
    chains = float((rows**2).sum()) - pairs
    apart = float(rows.sum()) ** 2 - 4 * chains - 2 * pairs
    count = n * (n - 1)
    return pairs / count, chains / (count * (n - 2)), apart / (count * (n - 2) * (n - 3))


def squared_covariance(gram: np.ndarray) -> float:
    """Unbiased tr S^2 of one unit, from any inner products of the units (centred ones round less).

    Source: chen2010.
    """
    pairs, chains, apart = _distinct_sums(gram)
    return pairs - 2 * chains + apart


def mean_spread(gram: np.ndarray) -> float:
    """Unbiased m' S m of one unit.

    Source: chen2010.
    """
    _, chains, apart = _distinct_sums(gram)
    return chains - apart
