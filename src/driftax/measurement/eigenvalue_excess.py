r"""What the largest eigenvalue of a sample is too large on average.

Its vector is fitted to the errors of the same examples. With the vector that is fitted without a chunk, the Hessian of
that chunk tells a value which is too small by as much, to second order in the error: the mean of both is taken. What
that leaves where eigenvalues lie closer than their errors is found on copies of the chunks, drawn from their normal law
around a truth that is known, and taken off too. The sample would be a poor truth, for errors drive its eigenvalues
apart: a few rounds move them to where copies look like the sample.

Source: re-derived (second-order perturbation: kato1966; the rounds: gourieroux1993, indirect inference).
"""

from __future__ import annotations

import numpy as np

_PAIRS, _ROUNDS = 20, 4  # of copies


def for_all_examples(
    chunks: np.ndarray, count: int, unseen: float = 1.0, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalues [count] of the Hessian of all examples and their standard errors, to first order.

    They stand in the order of the sample: those that are closer than their errors need not fall.

    Args:
        chunks: Hessians of the chunks of a sample [chunk, m, m], of 2 chunks or more.
        count: how many eigenvalues.
        unseen: share of the examples that the sample does not hold.
        seed: of the copies.
    """
    number, mean = len(chunks), chunks.mean(axis=0)
    values, vectors = _descending(mean)
    parts = np.einsum("ir,kij,jr->kr", vectors, chunks, vectors)
    errors = np.sqrt(unseen / number) * parts.std(axis=0, ddof=1)
    weights = np.random.default_rng(seed).normal(size=(_PAIRS, number, number)) / np.sqrt(number - 1)
    weights = np.concatenate([weights, -weights])  # what is linear in them has the mean 0
    noise = np.einsum("ckl,lij->ckij", weights, chunks - mean)
    halved, centre = _halved(chunks), values
    for _ in range(_ROUNDS):
        truth = mean + (vectors * (centre - values)) @ vectors.T
        found = halved + centre - _halved(truth + noise).mean(axis=0)
        centre = np.sort(found)[::-1]  # a truth has its largest first; estimates of close ones may swap
    return (values + unseen * (found - values))[:count], errors[:count]


def _halved(chunks: np.ndarray) -> np.ndarray:
    """The mean of the eigenvalues with vectors of the same examples and of others [..., m]."""
    number, mean = chunks.shape[-3], chunks.mean(axis=-3)
    _, vectors = _descending((number * mean[..., None, :, :] - chunks) / (number - 1))
    crossed = np.einsum("...kir,...kij,...kjr->...r", vectors, chunks, vectors) / number
    return (_descending(mean)[0] + crossed) / 2


def _descending(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues [..., m] from the largest, and vectors [..., m, m]."""
    values, vectors = np.linalg.eigh(matrices)
    return values[..., ::-1], vectors[..., ::-1]
