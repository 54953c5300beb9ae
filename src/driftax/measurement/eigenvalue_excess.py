r"""What the largest eigenvalue of a sample is too large on average.

Its vector is fitted to the errors of the same examples. With the vector that is fitted without a chunk, the Hessian of
that chunk tells a value which is too small by as much, to second order in the error: the mean of both is taken. What
that leaves where eigenvalues lie closer than their errors is found on copies of the chunks, drawn from their normal law
with the Hessian of the sample as the truth, and taken off too.

Source: re-derived (second-order perturbation: kato1966).
"""

from __future__ import annotations

import numpy as np

_PAIRS = 20  # of copies


def for_all_examples(
    chunks: np.ndarray, count: int, unseen: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues [count] of the Hessian of all examples and their standard errors, to first order.

    Args:
        chunks: Hessians of the chunks of a sample [chunk, m, m], of 2 chunks or more.
        count: how many eigenvalues.
        unseen: share of the examples that the sample does not hold.
        seed: of the copies.
    """
    number, mean = len(chunks), chunks.mean(axis=0)
    values, vectors = _largest(mean, count)
    parts = np.einsum("ir,kij,jr->kr", vectors, chunks, vectors)
    errors = np.sqrt(unseen / number) * parts.std(axis=0, ddof=1)
    weights = np.random.default_rng(seed).normal(size=(_PAIRS, number, number)) / np.sqrt(number - 1)
    weights = np.concatenate([weights, -weights])  # what is linear in them has the mean 0
    copies = mean + np.einsum("ckl,lij->ckij", weights, chunks - mean)
    left = _halved(copies, count).mean(axis=0) - values
    return values + unseen * (_halved(chunks, count) - values - left), errors


def _halved(chunks: np.ndarray, count: int) -> np.ndarray:
    """The mean of the eigenvalues with vectors of the same examples and of others [..., count]."""
    number, mean = chunks.shape[-3], chunks.mean(axis=-3)
    _, vectors = _largest((number * mean[..., None, :, :] - chunks) / (number - 1), count)
    crossed = np.einsum("...kir,...kij,...kjr->...r", vectors, chunks, vectors) / number
    return (_largest(mean, count)[0] + crossed) / 2


def _largest(matrices: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [..., count] from the largest, and vectors [..., m, count]."""
    values, vectors = np.linalg.eigh(matrices)
    return values[..., ::-1][..., :count], vectors[..., ::-1][..., :count]
