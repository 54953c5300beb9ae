r"""How noise and signal are spread over the curvatures: a surrogate of the loss around the params.

With `y = P^1/2 x` (P = 1 for SGD) the loss is a quadratic with Hessian `P^-1/2 H P^-1/2`, and what an equation says
of its mean depends on two measures alone, whatever the directions are:

    noise(d lambda) = tr(E_lambda Sigma'),      signal(d lambda) = g' E_lambda g',

E the spectral projections, Sigma' and g' covariance and gradient in y. Both are found by Gaussian quadrature from
Lanczos runs (stochastic Lanczos quadrature), started at random mixtures of gradients for the noise and at the mean
gradient for the signal, those of half of the examples with the Hessian of the other half. They are kept on a few nodes.

Source: golub1969 (quadrature by Lanczos); re-derived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from driftax.measurement.estimates import Estimate
from driftax.measurement.gradient_moments import gradient_moments
from driftax.measurement.krylov import Product, krylov
from driftax.measurement.units import gram

_STEPS = 10  # of Lanczos: exact for polynomials of degree 19
_MIXTURES = 6  # of the gradients of each half of the examples
_SHARES = 10  # bins of the share of noise in a second moment
# Edges of the nodes, over the largest curvature: negative, flat, and half-decades.
_EDGES = np.concatenate([[-np.inf, -1e-4], 10.0 ** np.arange(-4, 0.1, 0.5), [np.inf]])


class Spectrum(NamedTuple):
    """Noise and signal on curvatures, in the geometry of the optimizer.

    Args:
        curvature: of every node [node], of P^-1/2 H P^-1/2.
        noise: of one example by every mixture [mixture, node], each of which adds up to `covariance_trace`.
        signal: [node]; unbiased, so that parts may be negative; adds up to `gradient_norm_squared`.
        gradient_norm_squared: of P^-1/2 grad.
        covariance_trace: of P^-1/2 Sigma P^-1/2, of one example.
        preconditioned: whether P is not 1.
        share: of noise in the second moment, P^2, of a coordinate [share].
        noise_at_share: noise of one example at coordinates of that share [share].
        signal_at_share: signal there by either half of the units, unbiased [half, share].
    """

    curvature: np.ndarray
    noise: np.ndarray
    signal: np.ndarray
    gradient_norm_squared: Estimate
    covariance_trace: Estimate
    preconditioned: bool
    share: np.ndarray
    noise_at_share: np.ndarray
    signal_at_share: np.ndarray


def spectrum(
    products: Sequence[Product],
    gradients: np.ndarray,
    chunks: np.ndarray,
    scale: np.ndarray | None = None,
    unit_size: int = 1,
    data_size: int | None = None,
    batch: int = 1,
    seed: int = 0,
) -> Spectrum:
    """The spectrum from two chunks of examples or more.

    Args:
        products: Hessians of the chunks.
        gradients: of the units [n, dim].
        chunks: of each unit, the number of its chunk [n]; units of higher numbers are not used.
        scale: diagonal of P [dim]; 1 if left out.
        unit_size: examples in a unit.
        data_size: size of the data set, where units were drawn without replacement.
        batch: examples in a step of the optimizer that P is of.
        seed: of the mixtures.
    """
    half = np.ones(gradients.shape[1]) if scale is None else 1 / np.sqrt(scale)
    rows = gradients * half.astype(gradients.dtype)
    n, count = len(rows), len(products)
    unseen = 1.0 if data_size is None else 1.0 - n * unit_size / data_size
    moments = gradient_moments(gram(rows), unit_size, data_size, unseen)
    random = np.random.default_rng(seed)

    noises, signals, left = [], [], []
    for parity in (0, 1):
        part = rows[(chunks < count) & (chunks % 2 == parity)]
        apply = _mean(products[1 - parity :: 2], half)
        centred = part - part.mean(axis=0)
        for _ in range(_MIXTURES):
            signs = random.integers(0, 2, len(part)) * 2.0 - 1.0
            noises.append(_quadrature(apply, signs @ centred / np.sqrt(len(part) - 1)))
        signals.append(_quadrature(apply, part.mean(axis=0).astype(float)))
        left.append((1 - (1 - unseen) * len(part) / n) / len(part))
    top = max(float(np.abs(nodes).max()) for nodes, _ in noises + signals) or 1.0
    noise = np.array([_adding_up(_binned(*one, top), moments.covariance_trace.value) for one in noises])
    raw = np.mean([_binned(*one, top) for one in noises], axis=0)
    # The mean over some units has noise of its own, which is that of a unit over their number.
    signal = np.mean([_binned(*one, top) for one in signals], axis=0) - np.mean(left) * raw
    spread = noise.mean(axis=0) / max(moments.covariance_trace.value, 1e-300)
    return Spectrum(
        _centres(noises + signals, top),
        noise,
        signal + (moments.norm_squared.value - signal.sum()) * spread,
        moments.norm_squared,
        moments.covariance_trace,
        scale is not None,
        *_at_shares(rows, half, unit_size, unseen, batch),
    )


def _at_shares(
    rows: np.ndarray, half: np.ndarray, unit_size: int, unseen: float, batch: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares of noise in second moments P^2, noise at such coordinates [share], and signal there [half, share].

    A step with another batch B' divides by `P sqrt(1 - share (1 - B / B'))`, eps included.
    """
    n = len(rows)
    noise = unit_size * rows.var(axis=0, ddof=1, dtype=np.float64)
    signals = []
    for part in (rows[0::2], rows[1::2]):
        left = (1 - (1 - unseen) * len(part) / n) / len(part)
        signals.append(part.mean(axis=0, dtype=np.float64) ** 2 - left * noise / unit_size)
    share = noise * half**2 / batch  # sigma^2 / (B P^2), where noise is sigma^2 / P; above 1 by its own error
    edges = np.concatenate([np.arange(0, _SHARES) / _SHARES, [np.inf]])
    of_noise, first, *of_signals = (
        np.histogram(share, edges, weights=values)[0] for values in (noise, noise * share, *signals)
    )
    mean = np.where(of_noise > 0, first / np.where(of_noise > 0, of_noise, 1.0), edges[:-1])
    return np.minimum(mean, 1.0), of_noise, np.stack(of_signals)


def _mean(products: Sequence[Product], half: np.ndarray) -> Product:
    """P^-1/2 H P^-1/2, with the mean of some Hessians."""
    return lambda vector: half * np.mean([product(half * vector) for product in products], axis=0)


def _quadrature(apply: Product, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the spectral measure of a vector, which add up to its squared norm."""
    size = float(vector @ vector)
    if size == 0:
        return np.zeros(1), np.zeros(1)
    *_, (_, tridiagonal, _) = krylov(apply, vector, _STEPS)
    nodes, vectors = np.linalg.eigh(tridiagonal)
    return nodes, size * vectors[0] ** 2


def _binned(nodes: np.ndarray, weights: np.ndarray, top: float) -> np.ndarray:
    return np.histogram(nodes, _EDGES * top, weights=weights)[0]


def _centres(measures: Sequence[tuple[np.ndarray, np.ndarray]], top: float) -> np.ndarray:
    """The mean curvature in every bin, or its middle where nothing is."""
    nodes, weights = (np.concatenate(part) for part in zip(*measures, strict=True))
    mass, first = _binned(nodes, weights, top), _binned(nodes, weights * nodes, top)
    inner = _EDGES[1:-1] * top
    middles = np.concatenate([inner[:1], 0.5 * (inner[1:] + inner[:-1]), inner[-1:]])
    return np.where(mass > 0, first / np.where(mass > 0, mass, 1.0), middles)


def _adding_up(weights: np.ndarray, total: float) -> np.ndarray:
    return weights * (total / weights.sum()) if weights.sum() > 0 else np.zeros_like(weights)
