"""A small study file, its variations, and the command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

STUDY = """seed = 0
[objective]
name = "quadratic"
hessian = [[1.0]]
[noise]
name = "gaussian"
covariance = 0.1
[optimizer]
name = "sgd"
learning_rate = 0.25
[start]
params = [1.5]
[regime]
name = "ballistic"
ladder = [1.0, 0.5, 0.25]
[compare]
steps = 4
models = ["derived-1", "derived-2"]
observables = ["params_sq"]
"""


class Answer(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def study(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small study with replacements (old, new) and returns its path."""

    def write(*replacements: tuple[str, str]) -> Path:
        text = STUDY
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "small.toml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def driftax(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd) -> Callable[..., Answer]:
    """Runs the command line in this process, in an empty directory."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*words: object) -> Answer:
        from driftax.cli.main import main

        capfd.readouterr()
        code = main([str(word) for word in words])
        captured = capfd.readouterr()
        print(captured.err)  # shown where a test fails
        return Answer(code, captured.out, captured.err)

    return run
