"""The tutorial runs from top to bottom, and prints what it says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import NamedTuple

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "tutorial_own_optimizer.md"
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")
WITHIN = 0.02  # of a number, unless the page says otherwise
ROUNDING = 1e-4  # a number below it is rounding error or quadrature error, of which only the size counts


class Block(NamedTuple):
    """Code, what it prints according to the page, and how closely."""

    code: str
    printed: str
    within: float
    needs_torch: bool


def blocks(text):
    fences = re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    found = []
    for position, (language, info, code) in enumerate(fences):
        if language != "python":
            continue
        after = fences[position + 1] if position + 1 < len(fences) else ("", "", "")
        shown = after[0] == "text"
        share = re.search(r"within (\d+) %", after[1]) if shown else None
        within = float(share[1]) / 100 if share else WITHIN
        found.append(Block(code, after[2] if shown else "", within, "needs torch" in info))
    return found


def check_printed(printed, shown, within):
    """The words are the same, and the numbers are close."""
    words, expected = (NUMBER.sub("#", text).split() for text in (printed, shown))
    assert words == expected
    for one, other in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        one, other = float(one), float(other)
        assert one == pytest.approx(other, rel=within) or max(abs(one), abs(other)) < ROUNDING


BLOCKS = blocks(PAGE.read_text())


def test_the_tutorial_runs_and_prints_what_it_says(capsys):
    assert len(BLOCKS) == 11 and sum(bool(block.printed) for block in BLOCKS) == 10
    names = {}
    for block in BLOCKS:
        if block.needs_torch and importlib.util.find_spec("torch") is None:
            continue
        exec(compile(block.code, PAGE.name, "exec", dont_inherit=True), names)
        check_printed(capsys.readouterr().out, block.printed, block.within)


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("order 1.99 of 2", "order 2.0 of 2", True),
        ("order 1.80 of 2", "order 2.0 of 2", False),
        ("error 3e-16", "error 0", True),
        ("error 3e-3", "error 0", False),
        ("order 2", "orders 2", False),
        ("[1. -2.]", "[1.0 -2.0]", True),
        ("1 2", "1", False),
    ],
)
def test_what_is_printed_can_differ(printed, shown, same):
    if same:
        check_printed(printed, shown, WITHIN)
    else:
        with pytest.raises(AssertionError):
            check_printed(printed, shown, WITHIN)


def test_code_that_prints_nothing_is_seen():
    found = blocks("```python\nx = 1\n```\n\n```python\nprint(x)\n```\n\n```text within 30 %\n1\n```\n")
    assert [(block.printed, block.within) for block in found] == [("", WITHIN), ("1\n", 0.3)]
