"""Krylov spaces of the Hessian, which is known by its products with vectors alone.

Source: lanczos1950.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Product = Callable[[np.ndarray], np.ndarray]


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
