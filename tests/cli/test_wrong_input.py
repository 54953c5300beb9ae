"""Every wrong input: exit 2, three parts on standard error, no traceback, nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

WRONG_STUDIES = {
    "unknown key": (("learning_rate", "learnin_rate"), "instead: learning_rate"),
    "unknown section": (("[compare]", "[compair]"), "instead: compare"),
    "nan": (("learning_rate = 0.25", "learning_rate = nan"), "learning_rate = nan"),
    "negative": (("learning_rate = 0.25", "learning_rate = -0.25"), "a number above 0"),
    "unreadable": (("[noise]", "[noise"), "line 5"),
    "steps on a rung": (("0.25]\n[compare]", "0.3]\n[compare]"), "13.3333 steps of the rung 0.3"),
    "shapes": (("params = [1.5]", "params = [1.5, 1.0]"), "2 entries for an objective of 1"),
    "no equation": (('"sgd"', '"optax.lbfgs"'), "second-order information"),
}

WRONG_FLAGS = {
    "unknown verb": (["derivee"], "derive"),
    "no file": (["derive"], "STUDY"),
    "missing file": (["derive", "absent.toml"], "no such file"),
    "unknown flag": (["derive", "STUDY", "--ordr", "1"], "--ordr"),
    "order": (["derive", "STUDY", "--order", "3"], "1, 2"),
    "method": (["derive", "STUDY", "--method", "exact"], "taylor"),
    "rung": (["derive", "STUDY", "--rung", "1.5"], "(0, 1]"),
    "budget": (["verify", "STUDY", "--budget", "5x"], "90s, 5m or 1h"),
    "no budget": (["verify", "STUDY", "--budget", "0s"], "above 0"),
    "members": (["verify", "STUDY", "--members", "0"], "2 or more"),
    "accuracy": (["verify", "STUDY", "--accuracy", "tight"], "such as 1e-4 or 10%"),
    "no accuracy": (["verify", "STUDY", "--accuracy", "0%"], "above 0"),
    "accuracy and members": (
        ["verify", "STUDY", "--accuracy", "1e-3", "--members", "9999"],
        "one of the two",
    ),
    "seed": (["simulate", "STUDY", "--seed", "-1"], "0 or more"),
    "alpha": (["verify", "STUDY", "--alpha", "nan"], "probability"),
    "out": (["verify", "STUDY", "--out", "STUDY"], "not a directory"),
}

WRONG_STATES = {
    "missing slot": ({"step": 0}, "no params"),
    "unknown slot": ({"params": [1.0], "nu": [1.0]}, "unknown key nu"),
    "length": ({"params": [1.0, 2.0]}, "2 entries"),
    "nan": ({"params": [float("nan")]}, "NaN"),
    "word": ({"params": ["one"]}, "one"),
    "step": ({"params": [1.0], "step": -1}, "step = -1"),
    "list": ([1.0], "JSON list"),
}


def check(answer, *parts: str) -> None:
    assert answer.code == 2
    assert answer.out == ""
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["asked", "found", "instead"], (
        answer.err
    )
    for part in parts:
        assert part in answer.err
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize("case", WRONG_STUDIES)
@pytest.mark.parametrize("verb", ["derive", "verify"])
def test_study_file(case, verb, study, driftax):
    replacement, part = WRONG_STUDIES[case]
    check(driftax(verb, study(replacement)), "small.toml", part)


@pytest.mark.parametrize("case", WRONG_FLAGS)
def test_flags(case, study, driftax):
    words, part = WRONG_FLAGS[case]
    path = study()
    check(driftax(*(path if word == "STUDY" else word for word in words)), part)


@pytest.mark.parametrize("case", WRONG_STATES)
def test_state_file(case, study, driftax, tmp_path):
    values, part = WRONG_STATES[case]
    state = tmp_path / "state.json"
    state.write_text(json.dumps(values))
    check(driftax("derive", study(), "--at", state), str(state), part)


def test_state_file_that_is_not_json(study, driftax, tmp_path):
    state = tmp_path / "state.json"
    state.write_text("{")
    check(driftax("derive", study(), "--at", state), "JSON that cannot be read")


@pytest.mark.parametrize("verb", ["simulate", "verify"])
def test_compare_is_needed(verb, study, driftax):
    text = study().read_text()
    path = study((text[text.index("[compare]") :], ""))
    check(driftax(verb, path), "[compare]")


def test_traceback_on_request(driftax):
    answer = driftax("derive", "absent.toml", "--traceback")
    assert answer.code == 2
    assert "Traceback" in answer.err
    assert "instead:" in answer.err


def test_an_obstructed_order_2_is_refused(study, driftax):
    path = study(
        ('"sgd"', '"rmsprop"'), ('"ballistic"', '"batch-equivalent"'), ("[1.5]", "[1.5]\nnu = [0.7]")
    )
    check(driftax("derive", path, "--order", 2), "--allow-obstructed")
    check(driftax("local-order", path, "--order", 2), "--allow-obstructed")
