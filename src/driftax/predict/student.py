"""The moments of Student-t noise with dof degrees of freedom, which is Gaussian at infinite dof."""

from __future__ import annotations

import math


def variance(dof: float) -> float:
    """The variance at scale 1; infinite for dof up to 2.

    Source: textbook, Student's law.
    """
    if math.isinf(dof):
        return 1.0
    return dof / (dof - 2) if dof > 2 else math.inf


def kurtosis(dof: float) -> float:
    """The fourth moment over the square of the variance; infinite for dof up to 4.

    Source: textbook, Student's law.
    """
    if math.isinf(dof):
        return 3.0
    return 3 + 6 / (dof - 4) if dof > 4 else math.inf
