"""A page of questions with answers in words, tables and figures, for someone who trains models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driftax.report.figures import Figure
from driftax.report.page import write_page


@dataclass(frozen=True)
class Sheet:
    """A titled table of words."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Part:
    """A question, the answer in sentences, and what it rests on."""

    question: str
    sentences: Sequence[str]
    tables: Sequence[Sheet] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True)
class Answers:
    """What the page says."""

    title: str
    headline: str
    parts: Sequence[Part]


def write_answers(directory: Path, content: Answers) -> Path:
    """Writes `report.html` and `figures/*.png` into a directory, and returns the path of the page.

    Raises:
        DriftaxError: if the extra `report` is not installed.
    """
    sections = {part.question: part.figures for part in content.parts}
    return write_page(
        directory, "answers.html", sections, {"content": content, "verdict": None, "symbols": {}}
    )
