"""Which examples are taken where not all are wanted."""

from __future__ import annotations

import numpy as np

from driftax._errors import DriftaxError


def checked_count(asked: str, key: str, count: int | None, size: int) -> int:
    """The number of examples wanted; all of them for None.

    Raises:
        DriftaxError: if there are not as many.
    """
    if count is None:
        return size
    if not 1 <= count <= size:
        raise DriftaxError(asked, f"{key} = {count}", f"{key} = 1 to {size:,}")
    return count


def spread(size: int, count: int) -> np.ndarray:
    """`count` of `size` places, evenly spread, in order."""
    return np.arange(count) * size // count


def at_random(size: int, count: int, seed: int) -> np.ndarray:
    """`count` of `size` places, each as likely as the others, in order."""
    if count == size:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).permutation(size)[:count])


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """`count` places with the classes in the shares of the whole, in order."""
    if count == len(labels):
        return np.arange(count)
    order = np.random.default_rng(seed).permutation(len(labels))
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    exact = count * sizes / len(labels)
    quota = np.floor(exact).astype(int)
    # What rounding left over goes to the classes it took most from.
    quota[np.argsort(quota - exact, kind="stable")[: count - quota.sum()]] += 1
    picked = [order[inverse[order] == label][:share] for label, share in enumerate(quota)]
    return np.sort(np.concatenate(picked))
