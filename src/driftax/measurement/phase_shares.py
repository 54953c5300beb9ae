r"""The share of coordinates in each phase of SignSGD and Adam.

The estimated signal of a coordinate is its true one plus noise, which spreads a histogram of it over the
thresholds. What is counted is therefore the law of |Y| whose noisy image is the histogram: with
T = |G| sqrt(n) / s, a folded normal around `|Y| sqrt(2 n b / B)`, the weights of a grid of |Y| are found by
expectation maximisation from a flat start, stopped early so that they stay smooth.

Source: compagnoni2025, Lemma 3.4 (the phases); re-derived (the deconvolution).
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from driftax.measurement.estimates import Estimate, root
from driftax.measurement.signal_to_noise import loud
from driftax.predict.phases import phase_of

LEFT_OUT = 8  # blocks of units
_STEPS, _BINS = 200, 120


def phase_shares(
    columns: np.ndarray, dim: int, unit_size: int = 1, batch: int = 1, unseen: float = 1.0
) -> tuple[Estimate, Estimate, Estimate]:
    """The shares of coordinates in phases 1 (signal), 2 and 3 (noise) of a step with `batch` examples.

    Standard errors are over blocks of units left out, and over the draw of coordinates; none is below that of a
    count with one coordinate more, for nothing found is what little would look like, too.

    Args:
        columns: gradients of the units [n, kept].
        dim: number of coordinates of which `kept` were drawn.
        unit_size: examples b in a unit.
        batch: examples B in a step of the optimizer.
        unseen: 1 - n b / N, or 1.
    """
    columns = columns[:, loud(columns)]
    n, kept = columns.shape
    if kept == 0:
        nothing = Estimate(float("nan"), float("nan"))
        return nothing, nothing, nothing
    scale = np.sqrt(2 * unit_size / batch)  # of sqrt(n) |Y|
    shares = _shares(columns, scale, unseen)
    left = np.stack([_shares(np.delete(columns, block, axis=0), scale, unseen) for block in _blocks(n)])
    # Blocks are as good as equal: the delete-a-group jackknife.
    known = unseen if unit_size == 1 else 1.0
    variance = known * (len(left) - 1) / len(left) * ((left - left.mean(axis=0)) ** 2).sum(axis=0)
    drawn = shares * (1 - shares) / kept * max(1 - kept / dim, 0.0)
    little = (kept * shares + 1) / (kept + 2)
    least = little * (1 - little) / kept if unseen > 0 else 0.0
    first, second, third = (
        Estimate(float(share), root(total))
        for share, total in zip(shares, np.maximum(variance + drawn, least), strict=True)
    )
    return first, second, third


def _blocks(n: int) -> list[np.ndarray]:
    return np.array_split(np.arange(n), min(LEFT_OUT, n))


def _shares(columns: np.ndarray, scale: float, unseen: float) -> np.ndarray:
    """The shares [3]."""
    n = columns.shape[0]
    columns = columns[:, np.ptp(columns, axis=0) > 0]  # a block left out may silence more of them
    seen = np.abs(columns.mean(axis=0)) * np.sqrt(n) / columns.std(axis=0, ddof=1)
    if unseen <= 0:
        ratio = seen / (scale * np.sqrt(n))  # every example was seen: nothing to take out
        return np.array([(phase_of(ratio) == phase).mean() for phase in (1, 2, 3)])
    grid = _grid(seen.max() / (scale * np.sqrt(n)))
    weights = _deconvolved(seen, grid * scale * np.sqrt(n), n, unseen)
    phases = phase_of(grid)
    return np.array([weights[phases == phase].sum() for phase in (1, 2, 3)])


def _grid(largest: float) -> np.ndarray:
    """Values of |Y|: even through the thresholds, then geometric; none of them on a threshold."""
    even = np.arange(0.025, 2.0, 0.05)
    if largest <= 2.0:
        return even
    return np.concatenate([even, np.geomspace(2.05, 1.5 * largest, 30)])


def _deconvolved(seen: np.ndarray, centres: np.ndarray, n: int, unseen: float) -> np.ndarray:
    """Weights of the grid points whose images have the histogram of `seen`."""
    edges = np.unique(np.quantile(seen, np.linspace(0, 1, _BINS + 1)))
    if len(edges) < 2:
        edges = np.array([edges[0], edges[0] + 1.0])
    counts = np.histogram(seen, edges)[0] / len(seen)
    edges[0], edges[-1] = 0.0, np.inf
    centre = centres * (1 + 3 / (4 * (n - 1)))  # 1/s is larger than 1/sigma on average
    spread = np.sqrt(unseen + centres**2 / (2 * (n - 1)))
    upper = (edges[:, None] - centre) / spread
    lower = (-edges[:, None] - centre) / spread
    image = np.maximum(np.diff(norm.cdf(upper) - norm.cdf(lower), axis=0), 1e-300)
    weights = np.full(len(centres), 1 / len(centres))
    for _ in range(_STEPS):
        weights = weights * ((counts / (image @ weights)) @ image)
    return weights / weights.sum()
