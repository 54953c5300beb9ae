"""An experiment of a paper as a value, and what came of it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from driftax.report.figures import Figure

Results = Mapping[str, dict[str, Any]]  # by the name of a part: the JSON of `simulate` or `verify`


class Answer(enum.Enum):
    """Whether the measurement bears the statement out."""

    AGREES = "agrees"
    DISAGREES = "disagrees"
    INCONCLUSIVE = "inconclusive"


class Row(NamedTuple):
    """One statement of a paper (or of the theory page that stands for it) beside our number.

    Attributes:
        statement: what is claimed, in words.
        paper: the claim's number, in words.
        measured: ours, with its standard error where it has one.
        answer: whether they agree.
    """

    statement: str
    paper: str
    measured: str
    answer: Answer


class Part(NamedTuple):
    """One study of an experiment.

    Attributes:
        name: of its folder.
        verb: `verify` or `simulate`.
        study: the text of its file.
        share: of the experiment's budget.
        files: what the study reads beside itself, as text by name.
    """

    name: str
    verb: str
    study: str
    share: float = 1.0
    files: Mapping[str, str] = MappingProxyType({})


class Experiment(NamedTuple):
    """What is run and how it is judged.

    Attributes:
        id: on the command line.
        title: in words.
        source: bibkey and place in the paper.
        parts: the studies.
        judge: from the results of all parts to rows.
        draw: from the results of all parts to figures.
        full: the studies at the paper's size, where they are larger.
    """

    id: str
    title: str
    source: str
    parts: tuple[Part, ...]
    judge: Callable[[Results], list[Row]]
    draw: Callable[[Results], list[Figure]]
    full: tuple[Part, ...] = ()


class Outcome(NamedTuple):
    """An experiment that was run."""

    experiment: Experiment
    rows: list[Row]
    files: list[str]
    seconds: float
