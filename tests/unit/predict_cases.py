"""What the tests of predictions share: a curvature, and the known tables by column."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from driftax.predict import tables as known

H = np.array([1.0, 2.0])


@cache
def rows_of(compute: Callable[[], known.RecomputedTable]) -> list[dict]:
    table = compute()
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]
