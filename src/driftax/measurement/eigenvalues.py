"""The largest eigenvalues of the Hessian.

Source: lanczos1950.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement.eigenvalue_excess import for_all_examples
from driftax.measurement.estimates import Estimate
from driftax.measurement.krylov import Product, krylov

_BESIDE = 7  # eigenvectors beside those that are asked for


class Eigenvalues(NamedTuple):
    """The largest eigenvalues.

    Args:
        values: from the largest, for all examples; standard errors are those of the draw of examples, to first order,
            with the residual. For a single chunk those of the sample, with nan.
        residuals: |H v - lambda v| of each: an eigenvalue of this Hessian is that near.
        of_sample: the eigenvalues of the Hessian of the examples that were used.
    """

    values: tuple[Estimate, ...]
    residuals: np.ndarray
    of_sample: np.ndarray


def top_eigenvalues(
    products: Sequence[Product],
    dim: int,
    count: int = 1,
    scale: np.ndarray | None = None,
    tolerance: float = 1e-4,
    most: int = 100,
    seed: int = 0,
    whole: Product | None = None,
    unseen: float = 1.0,
) -> Eigenvalues:
    """The algebraically largest eigenvalues of H, or of `P^-1/2 H P^-1/2`.

    Args:
        products: Hessians of the chunks; their mean is H.
        dim: number of parameters.
        count: how many eigenvalues.
        scale: diagonal of P [dim], above 0.
        tolerance: of the residual over the largest eigenvalue, at which it stops.
        most: steps, one product of H each.
        seed: of the first vector.
        whole: H itself, where one product with it is cheaper than one with each chunk.
        unseen: 1 - n b / N, where the examples are drawn without replacement.

    Raises:
        DriftaxError: for a diagonal with entries that are not above 0.

    Source: lanczos1950.
    """
    if scale is not None and not np.all(scale > 0):
        raise DriftaxError(
            "eigenvalues of P^-1/2 H P^-1/2", f"min(P) = {np.min(scale):g}", "a diagonal P above 0: add eps"
        )
    half = np.ones(dim) if scale is None else 1 / np.sqrt(scale)
    applied = [lambda v, product=product: half * product(half * v) for product in products]

    def mean(vector: np.ndarray) -> np.ndarray:
        if whole is not None:
            return half * whole(half * vector)
        return np.mean([part(vector) for part in applied], axis=0)

    values, vectors, residuals = _lanczos(mean, dim, tolerance, min(count, dim), most, seed)
    found = len(residuals)
    if len(applied) == 1:
        unknown = tuple(Estimate(float(value), float("nan")) for value in values[:found])
        return Eigenvalues(unknown, residuals, values[:found])
    chunks = _in_small(applied, vectors, found)
    corrected, errors = for_all_examples(chunks, found, unseen, seed)
    spreads = np.hypot(errors, residuals)
    estimates = tuple(Estimate(float(v), float(e)) for v, e in zip(corrected, spreads, strict=True))
    return Eigenvalues(estimates, residuals, values[:found])


def _in_small(applied: Sequence[Product], vectors: np.ndarray, count: int) -> np.ndarray:
    """The Hessians of the chunks in a space [chunk, m, m] that holds their eigenvectors to first order.

    It is spanned by the first eigenvectors of the mean and by what the chunks make of the first `count`: a chunk left
    out moves an eigenvector along the others, and out of the Krylov space along its own product.
    """
    products = [part(vectors[:, rank]) for part in applied for rank in range(count)]
    basis, _ = np.linalg.qr(np.stack([*vectors[:, : count + _BESIDE].T, *products], axis=1))
    small = np.stack([np.stack([basis.T @ part(v) for v in basis.T]) for part in applied])
    return (small + small.transpose(0, 2, 1)) / 2


def _lanczos(
    apply: Product, dim: int, tolerance: float, count: int, most: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ritz values from the largest [step], vectors [dim, step], and residuals of the first `count` of them."""
    start = np.random.default_rng(seed).normal(size=dim)
    for basis, tridiagonal, beta in krylov(apply, start, most):
        values, small = np.linalg.eigh(tridiagonal)
        values, small = values[::-1], small[:, ::-1]
        residuals = np.abs(beta * small[-1, :count])
        size = max(float(np.abs(np.diag(tridiagonal)).max()), float(np.abs(values).max()), 1e-300)
        if len(basis) >= count and residuals.max() <= tolerance * size:
            break
    return values, basis.T @ small, residuals
