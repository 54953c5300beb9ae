"""What predictions are asked with: numbers per coordinate, checked once."""

from __future__ import annotations

from typing import Any

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict._value import Numbers

_WORDS = {
    "positive": "above 0",
    "non-negative": "of 0 or more",
    "finite": "of finite size",
    "decay": "in [0, 1)",
}


def number(name: str, value: Numbers, kind: str) -> Any:
    """A float or an array of floats of a kind.

    Args:
        name: of the argument, for the message.
        value: a number or a list of numbers.
        kind: positive, non-negative, finite, or decay (in [0, 1)).

    Raises:
        DriftaxError: if an entry is not a finite number of that kind.
    """
    instead = f"{name} = a number {_WORDS[kind]}"
    try:
        array = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise DriftaxError(f"a prediction for {name}", f"{name} = {value!r}", instead) from None
    ok = np.isfinite(array)
    if kind == "positive":
        ok &= array > 0
    elif kind != "finite":
        ok &= array >= 0
    if kind == "decay":
        ok &= array < 1
    if array.size == 0 or not np.all(ok):
        bad = array[~ok].reshape(-1)
        found = f"{name} = {bad[0]:g}" if bad.size else f"{name} is empty"
        raise DriftaxError(f"a prediction for {name}", found, instead)
    return array if array.ndim else float(array)


def together(**named: tuple[Numbers, str]) -> tuple[Any, ...]:
    """Checked arrays [dim] of one length; numbers are repeated.

    Args:
        named: name of the argument to (value, kind).

    Raises:
        DriftaxError: if a value is wrong or two lengths differ.
    """
    arrays = [np.atleast_1d(number(name, value, kind)) for name, (value, kind) in named.items()]
    sizes = {name: len(array) for name, array in zip(named, arrays, strict=True) if len(array) > 1}
    if len(set(sizes.values())) > 1 or any(array.ndim > 1 for array in arrays):
        found = ", ".join(f"{name}: shape {list(a.shape)}" for name, a in zip(named, arrays, strict=True))
        raise DriftaxError(
            "a prediction per coordinate", found, "one number, or one per coordinate, for each"
        )
    return tuple(np.broadcast_arrays(*arrays))


def degrees(dof: Numbers) -> float:
    """Degrees of freedom of Student-t noise; infinite for Gaussian noise.

    Raises:
        DriftaxError: if it is not above 0.
    """
    try:
        value = float(dof)
    except (TypeError, ValueError):
        value = float("nan")
    if not value > 0:
        raise DriftaxError(
            "a Student-t noise", f"dof = {dof}", "dof = a number above 0, inf for Gaussian noise"
        )
    return value
