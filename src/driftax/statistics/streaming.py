"""Means and co-moments of an ensemble, merged leaf by leaf in a fixed order (Chan's formula)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MEMBERS_PER_CONTROL = 20  # fewer would fit the noise they are to remove


class Moments(NamedTuple):
    """Number of members, mean [..., column] and centred co-moments [..., column, column] of columns over members."""

    members: np.ndarray
    mean: np.ndarray
    comoment: np.ndarray

    @property
    def covariance(self) -> np.ndarray:
        """The sample covariance of the columns over members."""
        return self.comoment / np.maximum(self.members - 1, 1)[..., None, None]


def merge(left: Moments | None, right: Moments) -> Moments:
    """The moments of two sets of members together."""
    if left is None:
        return right
    total = left.members + right.members
    safe = np.maximum(total, 1)
    shift = right.mean - left.mean
    share = (right.members / safe)[..., None]
    mean = left.mean + shift * share
    weight = (left.members * right.members / safe)[..., None, None]
    comoment = left.comoment + right.comoment + weight * shift[..., :, None] * shift[..., None, :]
    return Moments(total, mean, comoment)


def as_one_value(moments: Moments) -> Moments:
    """The mean of a set of members as a single value; nothing where no member was finite."""
    one = np.minimum(moments.members, 1)
    return Moments(one, moments.mean, np.zeros_like(moments.comoment))


def controlled(
    moments: Moments, target: int | np.integer, controls: np.ndarray, members: Moments | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a column, improved by columns whose exact mean is 0, and its standard error.

    The coefficients are the regression of the target on the controls over all members; an ensemble too small
    for a regression goes without.

    Args:
        moments: of independent values of all columns; any leading axes.
        target: the column wanted.
        controls: columns of exact mean 0; may be empty.
        members: moments over the members, where the independent values are means of many of them.

    Returns:
        Mean and standard error, over the leading axes; nan where no member is left.
    """
    covariance = moments.covariance
    weights = np.zeros(moments.mean.shape)
    weights[..., target] = 1.0
    regressed = moments if members is None else members
    freedom = moments.members - 1
    if len(controls) and int(np.min(regressed.members)) > _MEMBERS_PER_CONTROL * len(controls):
        over = regressed.covariance
        gram = over[..., controls[:, None], controls[None, :]]
        inverse = np.linalg.pinv(gram, rcond=1e-10, hermitian=True)
        weights[..., controls] = -np.einsum("...ij,...j->...i", inverse, over[..., controls, target])
        freedom = freedom - (len(controls) if members is None else 0)  # many more members than values
    mean = np.sum(weights * moments.mean, axis=-1)
    variance = np.einsum("...i,...ij,...j->...", weights, covariance, weights)
    variance = variance * ((moments.members - 1) / np.maximum(freedom, 1))
    error = np.sqrt(np.maximum(variance, 0.0) / np.maximum(moments.members, 1))
    some = moments.members > 0
    return np.where(some, mean, np.nan), np.where(some, error, np.nan)
