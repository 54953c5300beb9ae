"""`demo`: what it says and writes, with a run that is made up (the real one takes a minute)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftax.equation.certificate import Certificate, Monomial


def _error(model: str, size: float) -> dict:
    return {
        "model": model,
        "observable": "loss",
        "ladder": 1.0,
        "step": [5, 10],
        "time": [0.2, 0.4],
        "weak_error": [size, size / 2],
        "standard_error": [1e-4, 1e-4],
    }


def _closer(ratio: float, beyond: float) -> dict:
    return {"observable": "loss", "ladder": 1.0, "time_step": 0.04, "ratio": ratio, "beyond": beyond}


RESULTS = {
    "results": [],
    "seconds": 1.0,
    "provenance": {"seed": 0},
    "errors": [_error("derived-1", 0.02), _error("derived-2", 0.002)],
    "closer": [_closer(10.0, 30.0), _closer(4.0, 20.0), _closer(2.0, 1.0)],
    "certificates": {
        "derived-2": Certificate(2, [0.04, 0.02], [Monomial("params[0]", [8e-3, 1e-3], [3.0])], 2.0)
    },
}


def test_demo(driftax, monkeypatch):
    pytest.importorskip("plotly")
    asked = {}

    def run_demo(*, seed, members, progress):
        asked.update(seed=seed, members=members, progress=progress)
        return {**RESULTS, "provenance": {"seed": 0}}

    monkeypatch.setattr("driftax.study.demo.run_demo", run_demo)
    answer = driftax("demo", "--members", 8)
    assert answer.code == 0
    assert asked == {"seed": None, "members": 8, "progress": None}
    lines = answer.out.splitlines()
    assert lines[-1] == str(Path("driftax-out/demo/report.html"))
    assert lines[-2] == (
        "The order-2 equation is 4 to 10 times closer to AdamW than the order-1 equation (in 2 of 3)."
    )
    assert "2.000(10)e-2" in answer.out and "derived-2" in answer.out
    assert Path("driftax-out/demo/report.html").stat().st_size > 0
    stored = json.loads(Path("driftax-out/demo/results.json").read_text())
    assert stored["certificates"]["derived-2"]["order"] == 2.0


def test_nothing_is_claimed_within_the_noise():
    from driftax.cli.demo import headline

    assert "too small" in headline({"closer": [_closer(2.0, 1.0)]})


def test_a_missing_extra_is_named(driftax, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    answer = driftax("demo")
    assert answer.code == 2
    assert "pip install 'driftax[report]'" in answer.err
    assert list(Path.cwd().iterdir()) == []
