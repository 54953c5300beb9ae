"""The gradients of n units at fixed params, reduced to what the estimators need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError

TOTAL = "total"
FEWEST = 8  # units
KEPT = 4096  # coordinates of a group that are kept as they are
_BLOCK = 1 << 16  # coordinates that are brought to float64 at a time


class GroupUnits(NamedTuple):
    """One parameter group.

    Args:
        gram: inner products of the units' gradients [n, n].
        columns: the gradients [n, kept] at coordinates drawn without replacement.
        dim: number of parameters.
        along: inner products of the gradients with the parameters [n], where those are known.
    """

    gram: np.ndarray
    columns: np.ndarray
    dim: int
    along: np.ndarray | None = None


class Units(NamedTuple):
    """The gradients of n units: single examples, or micro-batches whose gradients are averaged.

    Args:
        groups: per parameter group.
        unit_size: examples in a unit.
        data_size: examples N of which those of all units were drawn without replacement; None where units are
            independent.
    """

    groups: dict[str, GroupUnits]
    unit_size: int = 1
    data_size: int | None = None

    @property
    def size(self) -> int:
        """The number of units n."""
        return next(iter(self.groups.values())).gram.shape[0]

    @property
    def unseen(self) -> float:
        """The finite-population factor 1 - n b / N; 1 for independent units."""
        return 1.0 if self.data_size is None else 1.0 - self.size * self.unit_size / self.data_size

    def total(self) -> GroupUnits:
        """All groups as one, with coordinates in proportion to their number."""
        groups = list(self.groups.values())
        dim = sum(group.dim for group in groups)
        # As many as leave every group with its share: a total must not over-represent small groups.
        rate = min(1.0, *(group.columns.shape[1] / group.dim for group in groups))
        columns = [group.columns[:, : max(1, round(rate * group.dim))] for group in groups]
        joined = np.hstack(columns)
        # In random order again: what looks at the first of them looks at every group.
        order = np.random.default_rng(0).permutation(joined.shape[1])
        along = [group.along for group in groups if group.along is not None]
        return GroupUnits(
            np.sum([group.gram for group in groups], axis=0),
            joined[:, order],
            dim,
            np.sum(along, axis=0) if len(along) == len(groups) else None,
        )


def units_of(
    gradients: Mapping[str, np.ndarray],
    *,
    params: Mapping[str, np.ndarray] | None = None,
    unit_size: int = 1,
    data_size: int | None = None,
    kept: int = KEPT,
    seed: int = 0,
) -> Units:
    """Reduces gradients [n, dim] per group to Gram matrices and some coordinates.

    Args:
        gradients: per group [n, dim], row j the (mean) gradient of unit j.
        params: per group [dim], where the pull of a weight decay is to be known.
        unit_size: examples in a unit.
        data_size: size of the data set, if the units are disjoint draws of it without replacement.
        kept: coordinates of a group that are kept, drawn at random where there are more.
        seed: of that draw.

    Raises:
        DriftaxError: for fewer than 8 units, rows that differ in number, entries that are not finite, or
            more examples than there are.
    """
    arrays = {name: np.asarray(value) for name, value in gradients.items() if np.asarray(value).size}
    _check(arrays, unit_size, data_size)
    random = np.random.default_rng(seed)
    groups = {}
    for name, array in arrays.items():
        dim = array.shape[1]
        # In random order, so that the first of them are a random sample, too.
        index = random.permutation(dim)[: min(kept, dim)]
        along = None if params is None else _along(array, np.asarray(params[name]))
        groups[name] = GroupUnits(gram(array), array[:, index].astype(np.float64), dim, along)
    return Units(groups, unit_size, data_size)


def gram(array: np.ndarray) -> np.ndarray:
    """Inner products [n, n] of rows [n, dim], in float64."""
    result = np.zeros((array.shape[0], array.shape[0]))
    for start in range(0, array.shape[1], _BLOCK):
        block = array[:, start : start + _BLOCK].astype(np.float64)
        result += block @ block.T
    return result


def _along(array: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Inner products [n] of rows [n, dim] with a vector [dim], in float64 and without a copy of all rows."""
    starts = range(0, array.shape[1], _BLOCK)
    parts = [
        array[:, i : i + _BLOCK].astype(np.float64) @ vector[i : i + _BLOCK].astype(np.float64)
        for i in starts
    ]
    return np.sum(parts, axis=0)


def _check(arrays: dict[str, np.ndarray], unit_size: int, data_size: int | None) -> None:
    asked = "a measurement from the gradients of units"
    if not arrays:
        raise DriftaxError(asked, "no gradients", "one array [units, parameters] for each group")
    counts = {name: array.shape[0] if array.ndim == 2 else -1 for name, array in arrays.items()}
    if len(set(counts.values())) > 1 or -1 in counts.values():
        shapes = ", ".join(f"{name}: {list(array.shape)}" for name, array in arrays.items())
        raise DriftaxError(asked, shapes, "arrays [units, parameters] with the same units in every group")
    count = next(iter(counts.values()))
    if count < FEWEST:
        raise DriftaxError(
            asked, f"{count} units: no standard error can be had from so few", f"{FEWEST} units or more"
        )
    for name, array in arrays.items():
        if not np.all(np.isfinite(array)):
            bad = int(np.flatnonzero(~np.all(np.isfinite(array), axis=1))[0])
            raise DriftaxError(
                asked,
                f"a gradient of group {name!r} that is not finite (unit {bad})",
                "a loss whose gradient is finite at these params: look at that example",
            )
    if data_size is not None and count * unit_size > data_size:
        raise DriftaxError(
            asked,
            f"{count} units of {unit_size} examples out of data_size = {data_size}",
            "the size of the data set, or data_size=None for examples drawn with replacement",
        )
