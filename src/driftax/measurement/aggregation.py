r"""Does the tail index move with the block size: heavy tails, or mixed scales?

Sums of m independent units tend to a Gaussian (1/dof falls like 1/m) if the variance is finite, and keep
their index if it is not (a stable law). Gaussian coordinates of different scales that are pooled keep an
index, too, whatever m: what tells them apart is that theirs disappears as each is put in units of its scale.

Source: re-derived.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from driftax.measurement.estimates import Estimate
from driftax.measurement.hill import hill
from driftax.measurement.standardised import standardised, unstandardised
from driftax.measurement.student_fit import inverse_dof

BLOCKS = (1, 2, 4, 8)
_SPARSE = 2.0  # 1/dof beyond which there is no law with a tail, but events (rare rows of an embedding)
_FEWEST = 16  # blocks that a scale is estimated from
_Z, _KEPT = 3.0, 2 / 3


class Tail(enum.Enum):
    """What the noise of a group looks like."""

    GAUSSIAN = "not told from Gaussian"
    MIXED_SCALES = "Gaussian coordinates of mixed scales"
    FINITE_VARIANCE = "heavier than Gaussian, and averaging out as the batch grows"
    HEAVY = "heavy tails that do not average out as the batch grows"
    SPARSE = "sparse: most units give next to nothing, and a few almost everything"
    UNKNOWN = "not known: too few coordinates that vary from unit to unit"
    UNDECIDED = "heavier than Gaussian; not decided whether it averages out as the batch grows"


class Aggregation(NamedTuple):
    """Indices at growing block sizes.

    Args:
        blocks: units in a block; those that leave 16 blocks.
        inverse_dof: of standardised noise, at each block size.
        pooled: of noise that is not standardised, at block size 1.
        far: Hill's index at the smallest fraction of values that has one.
        verdict: what they say together.
    """

    blocks: tuple[int, ...]
    inverse_dof: tuple[Estimate, ...]
    pooled: Estimate
    far: Estimate
    verdict: Tail


def aggregation(columns: np.ndarray, blocks: Sequence[int] = BLOCKS) -> Aggregation:
    """Fits Student's law to means over blocks of units.

    Args:
        columns: gradients of the units [n, dim].
        blocks: units in a block; sizes that would leave fewer than 16 blocks are left out.
    """
    n = columns.shape[0]
    sizes = tuple(m for m in blocks if m == 1 or n // m >= _FEWEST)
    found = tuple(inverse_dof(standardised(block_means(columns, m))) for m in sizes)
    pooled = inverse_dof(unstandardised(columns), correct=False)
    far = farthest([one.estimate for one in hill(standardised(columns))])
    return Aggregation(sizes, found, pooled, far, verdict(sizes, found, pooled, far))


def farthest(found: Sequence[Estimate]) -> Estimate:
    """The first of Hill's indices, from the smallest fraction, that is known."""
    known = [one for one in found if not math.isnan(one.value)]
    return known[0] if known else Estimate(math.nan, math.nan)


def block_means(columns: np.ndarray, size: int) -> np.ndarray:
    """Means over blocks of `size` consecutive units [n // size, dim]."""
    count = columns.shape[0] // size
    return columns[: count * size].reshape(count, size, -1).mean(axis=1)


def verdict(sizes: Sequence[int], found: Sequence[Estimate], pooled: Estimate, far: Estimate) -> Tail:
    """Judges indices by three standard errors.

    The largest block size decides, against two thirds of the index of single units: at blocks of 8 Student's
    law keeps 0.85 of it at 1.5 degrees of freedom, 0.72 at 2, 0.55 at 3 and 0.35 at 5.

    Args:
        sizes: of the blocks, from 1.
        found: 1/dof at each of them.
        pooled: 1/dof of noise that is not standardised.
        far: Hill's index, far out: a tail that does not average out has 2 or less there, while rare events
            look heavy to a fit of all values and are not.
    """
    first, last = found[0], found[-1]
    if math.isnan(first.value):
        return Tail.UNKNOWN
    if first.value > _SPARSE:
        return Tail.SPARSE
    if not first.value > _Z * first.standard_error:
        mixed = pooled.value > max(_Z * pooled.standard_error, 0.05)
        return Tail.MIXED_SCALES if mixed else Tail.GAUSSIAN
    if len(sizes) == 1 or math.isnan(last.value):
        return Tail.UNDECIDED
    kept = last.value - _KEPT * first.value
    error = _Z * math.hypot(last.standard_error, _KEPT * first.standard_error)
    if kept < -error:
        return Tail.FINITE_VARIANCE
    # An index above 1/4 (fewer than 4 degrees of freedom) that stays: a small one would fall too slowly to see.
    if not (kept > error and last.value > 1 / 4):
        return Tail.UNDECIDED
    if far.value <= 2 + _Z * far.standard_error:
        return Tail.HEAVY
    return Tail.SPARSE if first.value > 1 / 2 else Tail.UNDECIDED
