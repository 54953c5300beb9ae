"""An accuracy is asked for: the plan is told, kept and followed, and the run stops where it is reached."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from driftax.compare.order_test import RungError
from driftax.study.accuracy import Accuracy, half_width
from driftax.study.plan import Plan

NORMAL = 1.959963984540054


def results(directory: str) -> dict:
    return json.loads((Path(directory) / "results.json").read_text())


def rung_errors(directory: str):
    return [rung for row in results(directory)["results"] for rung in row["rungs"]]


@pytest.mark.parametrize(
    ("text", "accuracy"), [("1e-4", Accuracy(1e-4, False)), ("5 %", Accuracy(0.05, True))]
)
def test_an_accuracy_is_a_number_or_a_share(text, accuracy):
    assert Accuracy.read(text) == Accuracy.read(str(accuracy)) == accuracy


@pytest.mark.parametrize("text", ["", "0", "-1", "inf", "nan", "1e-400", "%", "1..2", "1 percent"])
def test_other_words_are_no_accuracy(text):
    with pytest.raises(ValueError, match="is not an accuracy"):
        Accuracy.read(text)


def rung_error(**other) -> RungError:
    return RungError(
        **{
            "ladder": 1.0,
            "weak_error": 0.5,
            "standard_error": 0.1,
            "members": 100,
            "bias": 0.02,
            "bias_noise": 0.0,
            "failed": 0,
            **other,
        }
    )


def test_members_bring_the_half_width_to_what_is_asked():
    error, accuracy = rung_error(), Accuracy(0.05, False)
    members = accuracy.members(error)
    enough = error._replace(standard_error=0.1 * math.sqrt(100 / members))
    assert half_width(enough) == pytest.approx(0.05)
    assert math.isinf(Accuracy(0.02, False).members(error))
    assert Accuracy(0.5, True).of(error) == 0.25


def test_every_weak_error_is_as_tight_as_asked(study, driftax):
    answer = driftax("verify", study(), "--accuracy", "2e-3", "--out", "out")
    assert answer.code == 0
    assert "taken: " in answer.err
    for rung in rung_errors("out"):
        assert NORMAL * rung["standard_error"] + rung["bias"] <= 2e-3
    told = results("out")["accuracy"]
    assert told["reached"] and all(all(row["reached"]) for row in told["rows"])
    assert "0.002 asked" in answer.out and "not reached" not in answer.out


def test_a_share_of_the_weak_error_is_reached(study, driftax):
    driftax("verify", study(('"derived-1", "derived-2"', '"derived-1"')), "--accuracy", "20%", "--out", "out")
    for rung in rung_errors("out"):
        assert NORMAL * rung["standard_error"] + rung["bias"] <= 0.2 * abs(rung["weak_error"])


def test_the_plan_is_kept_and_not_made_again(study, driftax, monkeypatch):
    driftax("verify", study(), "--accuracy", "1e-2", "--out", "out")
    first, plan = rung_errors("out"), Path("out/plan.json").read_text()
    (Path("out") / "results.json").unlink()
    monkeypatch.setattr("driftax.study.plan.make_plan", None)
    answer = driftax("verify", study(), "--accuracy", "1e-2", "--out", "out")
    assert "resuming" in answer.err
    assert rung_errors("out") == first and Path("out/plan.json").read_text() == plan


def test_a_plan_survives_its_file():
    """Numbers that are not finite included."""
    found = {
        "chosen": 0,
        "trials": [
            {
                "integration": ["weak-2", 2, True, True],
                "words": "w",
                "members": [10.0, None],
                "seconds": None,
                "spent": 1.0,
                "diverged": False,
            }
        ],
    }
    plan = Plan.from_json(found)
    assert plan.as_json() == found and not plan.chosen.possible


def test_where_the_budget_is_short_the_run_says_what_it_would_take(study, driftax):
    answer = driftax("verify", study(), "--accuracy", "1e-4", "--budget", "0.01s", "--out", "out")
    assert "--budget" in answer.err and "times this half-width" in answer.err
    assert "(not reached)" in answer.out
    assert results("out")["provenance"]["complete"] is False


def test_where_no_integration_is_exact_enough_the_run_says_so(study, driftax):
    path = study(('"derived-1", "derived-2"', '"derived-1"'), ("[1.0, 0.5, 0.25]", "[1.0]"))
    answer = driftax("verify", path, "--accuracy", "1e-8", "--budget", "1s", "--out", "out")
    assert "none is exact enough" in answer.err and "(not reached)" in answer.out


def test_members_in_the_file_are_refused(study, driftax):
    answer = driftax("verify", study(("steps = 4", "steps = 4\nmembers = 9000")), "--accuracy", "1e-2")
    assert answer.code == 2 and "the accuracy decides on members" in answer.err
