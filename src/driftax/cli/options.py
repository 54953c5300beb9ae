"""The arguments and flags commands share, and how their words are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(hint: Any, tokens: Sequence[Any]) -> float:
    """The seconds of a budget such as 90s, 5m or 1h."""
    text = tokens[0].value
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text.strip())
    if not match or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a time above 0 such as 90s, 5m or 1h")
    return float(match[1]) * _UNITS[match[2] or "s"]


def whole(hint: Any, tokens: Sequence[Any]) -> int:
    """A whole number, where the parser would round 1.5 to 2."""
    text = tokens[0].value.strip()
    if not re.fullmatch(r"[+-]?\d+(?:_\d+)*", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def between(low: float, high: float, words: str) -> Callable[[Any, Any], None]:
    """A validator of numbers in [low, high], which are described by `words`."""

    def check(hint: Any, value: Any) -> None:
        if value is not None and not (low <= value <= high):
            raise ValueError(f"{value} is not {words}")

    return check


def readable_accuracy(hint: Any, value: Any) -> None:
    """A validator of accuracies such as 1e-4 or 10%."""
    from driftax.study.accuracy import Accuracy

    if value is not None:
        Accuracy.read(value)


_LARGEST = float(2**63 - 1)
_ABOVE_ZERO = math.ulp(0.0)
StudyFile = Annotated[Path, Parameter(name="STUDY", help="Study file (TOML).")]
StateFile = Annotated[
    Path | None,
    Parameter(
        help='State file: {"params": [...], "mu": [...], "nu": [...], "step": k}; '
        "nu in the regime's own units, k in steps of rung 1."
    ),
]
Order = Annotated[Literal[1, 2], Parameter(help="Weak order.")]
MethodName = Annotated[
    Literal["taylor", "finite-step"] | None,
    Parameter(help="How coefficients are found (default: the study's, else finite-step)."),
]
ModelName = Annotated[
    str | None,
    Parameter(
        help="A published equation by its name in a study, such as callisti-2025-2, in place of the compiled one."
    ),
]
AllowObstructed = Annotated[
    bool, Parameter(help="Take the order-2 equation although order 2 does not exist.")
]
Report = Annotated[bool, Parameter(help="Write report.html too (needs the extra `report`).")]
Seed = Annotated[
    int | None, Parameter(converter=whole, validator=between(0.0, _LARGEST, "a whole number of 0 or more"))
]
Members = Annotated[
    int | None, Parameter(converter=whole, validator=between(2.0, _LARGEST, "a whole number of 2 or more"))
]
Workers = Annotated[
    int | None, Parameter(converter=whole, validator=between(1.0, _LARGEST, "a whole number of 1 or more"))
]
Budget = Annotated[float | None, Parameter(converter=seconds)]
Alpha = Annotated[float, Parameter(validator=between(_ABOVE_ZERO, 0.5, "a probability in (0, 0.5]"))]
AccuracyText = Annotated[
    str | None,
    Parameter(
        name="--accuracy",
        validator=readable_accuracy,
        help="Half-width of every weak error's 95 % interval, such as 1e-4 or 10% of it: the integration and the "
        "members are chosen, and the cost is told beforehand.",
    ),
]
Rung = Annotated[float, Parameter(validator=between(_ABOVE_ZERO, 1.0, "a factor in (0, 1]"))]


@Parameter(name="*")
@dataclass(frozen=True)
class Output:
    """How a command answers.

    Args:
        json: Print one JSON object on standard output and nothing else there.
        md: Print tables as markdown.
        quiet: Say nothing but the answer.
        traceback: Show where an error was raised.
    """

    json: bool = False
    md: bool = False
    quiet: Annotated[bool, Parameter(name=["--quiet", "-q"])] = False
    traceback: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class Ensemble:
    """How an ensemble is run and where its results go.

    Args:
        out: Directory for the results (default driftax-out/VERB-NAME/).
        seed: Seed of every random number, instead of the file's.
        members: Members of every ensemble, instead of the file's.
        budget: Time to spend, such as 90s, 5m or 1h.
        fresh: Compute again: the results and the finished chunks of this request are not used.
    """

    out: Path | None = None
    seed: Seed = None
    members: Members = None
    budget: Budget = None
    fresh: bool = False


@Parameter(name="*")
@dataclass(frozen=True)
class Cluster:
    """Who computes the members.

    Args:
        executor: This process with all its devices, or the workers of a dask cluster.
        scheduler: Address of the dask scheduler (default $DRIFTAX_SCHEDULER, else a cluster on this machine).
        workers: Worker processes of the cluster on this machine (default one per core).
    """

    executor: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    workers: Workers = None


OUTPUT = Output()
ENSEMBLE = Ensemble()
CLUSTER = Cluster()
