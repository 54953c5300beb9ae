"""`predict`: numbers known in closed form, the study file, and wrong input."""

from __future__ import annotations

import json

import pytest

WORDS = ["--optimizer", "adamw", "--learning-rate", "1e-3", "--weight-decay", "0.1"]
PROBLEM = ["--curvature", "1", "--curvature", "2", "--noise", "0.5"]


def test_the_keys_and_a_known_loss(driftax):
    answer = driftax("predict", *WORDS, *PROBLEM, "--batch", "4", "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert list(found) == ["optimizer", "phases", "stationary", "relaxation", "bounds", "tails"]
    for part in list(found)[1:]:
        for row in found[part]:
            assert row["validity"] in ("ok", "doubtful", "out of range")
            assert row["name"] and row["reason"] and row["source"]
    paper = next(row for row in found["stationary"] if row["name"] == "paper")
    s = 0.25
    assert paper["loss"] == pytest.approx(1e-3 / 4 * sum(h / (h / s + 0.1) for h in (1, 2)))


def test_tables_and_markdown(driftax):
    text = driftax("predict", *WORDS, *PROBLEM).out
    for part in ("Phases", "Stationary law", "Steps in which", "Bounds", "Tails", "b1 = 0.9"):
        assert part in text
    assert "| refined | 0 |" in driftax("predict", *WORDS, *PROBLEM, "--md").out


def test_heavy_tails_of_sgd(driftax):
    words = [
        "--optimizer",
        "sgd",
        "--learning-rate",
        "1e-2",
        "--curvature",
        "1",
        "--noise",
        "1",
        "--dof",
        "1.5",
    ]
    found = json.loads(driftax("predict", *words, "--json").out)
    assert found["stationary"][0]["loss"] is None
    assert found["stationary"][0]["validity"] == "out of range"
    assert "dof = 1.5" in found["stationary"][0]["reason"]
    assert found["bounds"] == []


def test_a_study_file(study, driftax):
    found = json.loads(driftax("predict", study(), "--json").out)
    exact = found["stationary"][0]
    assert exact["variance"] == [pytest.approx(0.25 * 0.1 / (2 * (1 - 0.125)))]
    assert found["phases"][0]["signal_ratio"] == [pytest.approx(1.5 / (2 * 0.1) ** 0.5)]


WRONG = {
    "nothing": ([], "no --optimizer"),
    "noise": (WORDS + ["--curvature", "1"], "no --noise"),
    "negative": (WORDS + ["--curvature", "-1", "--noise", "1"], "curvature = -1"),
    "lengths": (WORDS + PROBLEM + ["--noise", "1", "--noise", "2"], "shape"),
    "optimizer": (["--optimizer", "lion"], "lion"),
    "batch": (WORDS + PROBLEM + ["--batch", "2", "--dof", "3"], "Student's law"),
    "b1": (["--optimizer", "sgd", "--learning-rate", "1", *PROBLEM, "--b1", "0.9"], "no b1"),
    "both": (["STUDY", "--dof", "3"], "both a study file and --dof"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_flags(name, study, driftax):
    words, part = WRONG[name]
    path = study()
    answer = driftax("predict", *(path if word == "STUDY" else word for word in words))
    assert answer.code == 2
    assert answer.out == ""
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["asked", "found", "instead"]
    assert part in answer.err


WRONG_STUDIES = {
    "off the diagonal": (
        ("[[1.0]]", "[[1.0, 0.5], [0.5, 1.0]]"),
        ("[1.5]", "[1.5, 1.0]"),
        "off its diagonal",
    ),
    "optimizer": (('"sgd"', '"lion"'), ("seed = 0", "seed = 1"), "no closed forms"),
    "noise": (("covariance = 0.1", "variance = 0.1\nskewness = 1.0"), ('"gaussian"', '"skewed"'), "skewed"),
    "schedule": (
        (
            "learning_rate = 0.25",
            'learning_rate = 0.25\nlearning_rate_schedule = {name = "cosine", steps = 9}',
        ),
        ("seed = 0", "seed = 1"),
        "learning_rate_schedule",
    ),
}


@pytest.mark.parametrize("name", WRONG_STUDIES)
def test_wrong_studies(name, study, driftax):
    *changes, part = WRONG_STUDIES[name]
    answer = driftax("predict", study(*changes))
    assert answer.code == 2
    assert part in answer.err
