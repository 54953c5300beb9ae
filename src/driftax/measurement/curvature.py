r"""The Hessian through its products with vectors: trace, top eigenvalues, tr(H Sigma), edge of stability.

A Hessian is given as a function `vector [dim] -> H vector [dim]`, or as several of them, each from a chunk of
the examples: their mean is the Hessian, and their spread what the standard errors of the sampling come from.

Source: hutchinson1990; lanczos1950; cohen2022, eq. (3) for the edge of Adam.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement.estimates import Estimate, jackknife_covariance, root

Product = Callable[[np.ndarray], np.ndarray]


def hessian_trace(
    products: Sequence[Product], groups: Mapping[str, slice], probes: int | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """The trace of the Hessian's block of every group, by random signs (Hutchinson).

    Probe k meets the Hessian of chunk k (in turn): values are independent where there are as many chunks as
    probes, and their spread then covers the draw of the examples as well as that of the signs.

    Args:
        products: Hessians of the chunks.
        groups: where the parameters of a group stand.
        probes: number of them; as many as there are chunks (2 at least) if left out.
        seed: of the signs.

    Source: hutchinson1990.
    """
    dim = max(part.stop for part in groups.values())
    probes = max(len(products), 2) if probes is None else probes
    random = np.random.default_rng(seed)
    values = np.zeros((probes, len(groups)))
    for k in range(probes):
        signs = random.integers(0, 2, dim) * 2.0 - 1.0
        product = signs * products[k % len(products)](signs)
        values[k] = [product[part].sum() for part in groups.values()]
    errors = values.std(axis=0, ddof=1) / np.sqrt(probes)
    return {
        name: Estimate(float(mean), float(error))
        for name, mean, error in zip(groups, values.mean(axis=0), errors, strict=True)
    }


class Eigenvalues(NamedTuple):
    """The largest eigenvalues.

    Args:
        values: from the largest; standard errors are those of the draw of examples, to first order, with the
            residual, and nan for a single chunk. By how much the largest eigenvalue of a sample exceeds that of all
            examples on average is taken off to second order; where eigenvalues lie closer than their errors, some of
            it is left.
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
    estimates = []
    for rank in range(len(residuals)):
        value, error = float(values[rank]), float("nan")
        if len(applied) > 1:
            columns = np.stack([part(vectors[:, rank]) for part in applied], axis=1)
            parts = vectors[:, rank] @ columns
            error = float(np.hypot(np.sqrt(unseen / len(parts)) * parts.std(ddof=1), residuals[rank]))
            value -= unseen * _excess(values, vectors, rank, columns, error)
        estimates.append(Estimate(value, error))
    return Eigenvalues(tuple(estimates), residuals, values[: len(residuals)])


def _excess(values: np.ndarray, vectors: np.ndarray, rank: int, columns: np.ndarray, error: float) -> float:
    """By how much the eigenvalue of a sample is too large on average, by perturbation to second order.

    `sum_k E |v_k' E v|^2 / (lambda - lambda_k)` for an error E of the Hessian, whose covariance is taken from the
    spread over chunks; directions outside the Krylov space count with the curvature 0. Gaps below two standard errors
    are not told from ties, and count as those.

    Args:
        values, vectors: Ritz values [step] and vectors [dim, step].
        rank: of the eigenvalue.
        columns: of every chunk, the product of its Hessian and the vector [dim, chunk].
        error: standard error of the eigenvalue.

    Source: kato1966, second-order perturbation of an eigenvalue.
    """
    chunks = columns.shape[1]
    errors = (columns - columns.mean(axis=1, keepdims=True)) / np.sqrt(chunks * (chunks - 1))
    seen = ((vectors.T @ errors) ** 2).sum(axis=1)
    beyond = max(float((errors**2).sum() - seen.sum()), 0.0)
    gaps = values[rank] - values
    wide = np.where(np.abs(gaps) < 2 * error, np.where(gaps < 0, -1, 1) * 2 * error, gaps)
    shares = np.delete(seen / np.where(wide == 0, np.inf, wide), rank)
    rest = beyond / values[rank] if values[rank] > 2 * error else 0.0
    return float(shares.sum() + rest)


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


def krylov(apply: Product, start: np.ndarray, most: int) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """After every step of Lanczos: the basis [step, dim], H in it [step, step], and the norm of what lies outside.

    It ends after `most` steps, or where nothing lies outside. Every new vector is orthogonalised twice against all
    before it: without that, single precision has ghosts of the largest eigenvalue.

    Source: lanczos1950.
    """
    most = min(most, len(start))
    basis = np.empty((most, len(start)))
    basis[0] = start / np.linalg.norm(start)
    diagonal: list[float] = []
    beside: list[float] = []
    for step in range(1, most + 1):
        before = basis[:step]
        product = apply(before[-1])
        diagonal.append(float(before[-1] @ product))
        for _ in range(2):
            product = product - before.T @ (before @ product)
        beta = float(np.linalg.norm(product))
        yield before, np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1), beta
        if step == most or beta <= 1e-12 * float(np.abs(diagonal).max()):
            return
        beside.append(beta)
        basis[step] = product / beta


def hessian_covariance_trace(
    products: Sequence[Product], gradients: np.ndarray, chunks: np.ndarray, unit_size: int = 1
) -> Estimate:
    """tr(H Sigma) of one example, unbiased: `mean of (g - g')' H (g - g') / 2` over pairs of units of a chunk.

    A pair of one chunk meets the Hessians of all others: with that of its own examples the mean would be biased
    by their dependence. The standard error is the jackknife over chunks. Given a single Hessian, that one is
    taken as fixed, and centred gradients give the same with the divisor n - 1.

    Args:
        products: Hessians of the chunks.
        gradients: of the units [n, dim].
        chunks: of each unit, the number of its chunk [n]; units of higher numbers are not used.
        unit_size: examples in a unit.

    Source: re-derived; efron1981.
    """
    if len(products) == 1:
        centred = gradients - gradients.mean(axis=0)
        n = len(centred)
        values = unit_size * np.array([row @ products[0](row) for row in centred]) * n / (n - 1)
        return Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)))
    count = len(products)
    crossed = np.zeros((count, count))  # pairs of a chunk, Hessian of another
    for chunk in range(count):
        rows = gradients[chunks == chunk]
        differences = rows[0 : len(rows) - 1 : 2] - rows[1::2]
        for other in range(count):
            if other != chunk:
                crossed[chunk, other] = np.mean([row @ products[other](row) / 2 for row in differences])
    total = crossed.sum()
    value = unit_size * total / (count * (count - 1))
    if count < 3:
        return Estimate(float(value), float("nan"))
    left = unit_size * (total - crossed.sum(axis=0) - crossed.sum(axis=1)) / ((count - 1) * (count - 2))
    return Estimate(float(value), root(float(jackknife_covariance(left[:, None])[0, 0])))


def stability_edge(
    learning_rate: float, momentum: float = 0.0, averaged: bool = True, nesterov: bool = False
) -> float:
    """The curvature at which an optimizer turns unstable on a quadratic, preconditioned if it is adaptive.

    `2 / lr` without momentum; `2 (1 + b) / ((1 - b) lr)` for an averaged first moment (Adam);
    `2 (1 + b) / lr` for a summed one (heavy ball), over `1 + 2 b` if it is Nesterov's.

    Args:
        learning_rate: above 0.
        momentum: decay b of the first moment.
        averaged: whether the first moment is (1 - b) times a sum, as in Adam.
        nesterov: whether the step looks ahead; of a summed moment only.

    Raises:
        DriftaxError: for numbers out of range.

    Source: cohen2022, eq. (3); cohen2021 for heavy ball and Nesterov.
    """
    if not (learning_rate > 0 and 0 <= momentum < 1):
        found = f"learning_rate = {learning_rate:g}, momentum = {momentum:g}"
        raise DriftaxError("the edge of stability", found, "a learning rate above 0, a momentum in [0, 1)")
    edge = 2 * (1 + momentum) / learning_rate
    if averaged:
        return edge / (1 - momentum)
    return edge / (1 + 2 * momentum) if nesterov else edge
