"""What a number of an objective may be."""

from __future__ import annotations

import math

from driftax._errors import DriftaxError


def positive(asked: str, name: str, value: float) -> float:
    """The value, if it is finite and above 0.

    Raises:
        DriftaxError: otherwise.
    """
    if not (math.isfinite(value) and value > 0):
        raise DriftaxError(asked, f"{name} = {value:g}", f"{name} = a finite number above 0")
    return float(value)


def finite(asked: str, name: str, value: float) -> float:
    """The value, if it is finite.

    Raises:
        DriftaxError: otherwise.
    """
    if not math.isfinite(value):
        raise DriftaxError(asked, f"{name} = {value:g}", f"{name} = a finite number")
    return float(value)
