"""A prediction with its validity, and the one rule by which all of them are judged."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Numbers: TypeAlias = Any  # a number, a list of numbers or an array [dim]

_OK, _DOUBTFUL = 0.05, 0.25  # relative errors up to which a prediction is `ok` and `doubtful`


class Validity(enum.Enum):
    """How far a prediction can be trusted, from the best to the worst."""

    OK = "ok"
    DOUBTFUL = "doubtful"
    OUT_OF_RANGE = "out of range"


class Prediction(NamedTuple):
    """A predicted number or array, with what is known of its truth.

    Args:
        value: a float or an array; infinite where the quantity does not exist.
        validity: the verdict on the worst coordinate.
        reason: the number that decided the verdict, in words.
        source: bibliography key and place of the formula.
    """

    value: Any
    validity: Validity
    reason: str
    source: str


def judged(value: Numbers, error: Numbers, reason: str, source: str) -> Prediction:
    """A prediction judged by an estimate of its relative error: `ok` to 5 %, `doubtful` to 25 %.

    Args:
        value: what is predicted.
        error: estimated relative error, of either sign, per coordinate or one number.
        reason: what the error was estimated from.
        source: of the formula.
    """
    sizes = np.abs(np.asarray(error, dtype=float))
    worst = float(np.max(np.where(np.isnan(sizes), np.inf, sizes), initial=0.0))
    if worst <= _OK:
        return Prediction(value, Validity.OK, reason, source)
    verdict = Validity.DOUBTFUL if worst <= _DOUBTFUL else Validity.OUT_OF_RANGE
    return Prediction(value, verdict, reason, source)


def beside(value: Numbers, better: Numbers, name: str, cause: str, source: str) -> Prediction:
    """A prediction judged by its distance from a more accurate one.

    Args:
        value: what is predicted.
        better: the same quantity by the best formula there is.
        name: of that formula.
        cause: the number that makes them differ, in words.
        source: of the formula.
    """
    value, better = np.asarray(value, dtype=float), np.asarray(better, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(value == better, 0.0, value / better - 1)
    if not np.all(np.isfinite(better)):
        return judged(value, np.inf, f"{name} has no stationary value; {cause}", source)
    worst = error.reshape(-1)[np.argmax(np.abs(error))] if error.size else 0.0
    return judged(value, error, f"{100 * worst:+.2g} % from {name}; {cause}", source)


def worse(told: Prediction, reference: Prediction) -> Prediction:
    """A prediction that cannot be better than the one it was compared with."""
    order = list(Validity)
    if order.index(told.validity) >= order.index(reference.validity):
        return told
    return told._replace(validity=reference.validity, reason=f"{told.reason}; {reference.reason}")


def missing(value: Numbers, reason: str, source: str) -> Prediction:
    """A quantity that does not exist."""
    return Prediction(value, Validity.OUT_OF_RANGE, reason, source)


def largest(label: str, numbers: Numbers) -> str:
    """The largest of some numbers, in words."""
    return f"{label} = {float(np.max(numbers)):.3g}"
