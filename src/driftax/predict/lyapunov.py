"""Stationary variances of linear systems of two variables, many coordinates at once.

Arrays are laid out [2, 2, dim] and [2, dim]: params first, first moment second.
"""

from __future__ import annotations

import numpy as np


def stationary_discrete(step: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The (1, 1) entry [dim] of `P = A P A^T + g g^T`; infinite where the system is not stable.

    Args:
        step: A, [2, 2, dim].
        noise: g, [2, dim], of one standard normal per step and coordinate.

    Source: textbook, discrete Lyapunov equation.
    """
    (a, b), (c, d) = step
    trace, determinant = a + d, a * d - b * c
    stable = (np.abs(determinant) < 1) & (np.abs(trace) < 1 + determinant)
    # Unknowns: P11, P12, P22; entries are those of A P A^T - P.
    system = np.array(
        [[a**2 - 1, 2 * a * b, b**2], [a * c, a * d + b * c - 1, b * d], [c**2, 2 * c * d, d**2 - 1]]
    )
    return _solve(system, noise, stable)


def stationary_continuous(drift: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """The (1, 1) entry [dim] of `B P + P B^T + g g^T = 0`; infinite where the system is not stable.

    Args:
        drift: B, [2, 2, dim].
        noise: g, [2, dim], of one Brownian motion per coordinate.

    Source: textbook, Lyapunov equation.
    """
    (a, b), (c, d) = drift
    stable = (a + d < 0) & (a * d - b * c > 0)
    zero = np.zeros_like(a)
    system = np.array([[2 * a, 2 * b, zero], [c, a + d, b], [zero, 2 * c, 2 * d]])
    return _solve(system, noise, stable)


def steps_to_forget(step: np.ndarray) -> np.ndarray:
    """Steps [dim] in which powers of A fall by e: `-1 / log(spectral radius)`; infinite where they do not fall.

    Args:
        step: A, [2, 2, dim].

    Source: textbook, powers of a matrix.
    """
    (a, b), (c, d) = step
    trace, determinant = a + d, a * d - b * c
    root = np.sqrt((trace**2 - 4 * determinant).astype(complex))
    return steps_of(0.5 * np.maximum(np.abs(trace + root), np.abs(trace - root)))


def steps_of(radius: np.ndarray) -> np.ndarray:
    """Steps in which powers of a number of 0 or more fall by e; infinite where they do not fall."""
    with np.errstate(divide="ignore"):
        return np.where(radius < 1, -1 / np.log(np.minimum(radius, 1.0)), np.inf)


def _solve(system: np.ndarray, noise: np.ndarray, stable: np.ndarray) -> np.ndarray:
    g, k = noise
    right = -np.stack([g * g, g * k, k * k])
    matrices, vectors = np.moveaxis(system, 2, 0), right.T
    safe = np.where(stable[:, None, None], matrices, np.eye(3))
    found = np.linalg.solve(safe, vectors[:, :, None])[:, 0, 0]
    return np.where(stable, found, np.inf)
