"""A run that diverges says where, how many and why, and keeps what it computed before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from driftax.study.divergence import told

STEPS = ("steps = 4", "steps = 160\nrecord = [4, 160]")


ONE_MODEL = ('["derived-1", "derived-2"]', '["derived-1"]')


def diverging(study, rate: float, *more):
    return study(("learning_rate = 0.25", f"learning_rate = {rate}"), STEPS, *more)


def test_a_learning_rate_beyond_the_edge(study, driftax):
    """SGD at 12 times its bound 2/curvature."""
    path = diverging(study, 24.0)
    answer = driftax("simulate", path, "--members", 60000, "--json")
    found = json.loads(answer.out)
    assert answer.code == 3
    assert "16,384 of 16,384 members of optimizer are not finite, the first by step 160" in answer.err
    assert "at step 0 of the noiseless path" in answer.err
    assert "curvature is 12 times its bound; write learning_rate = 1.9" in answer.err
    row = found["divergence"][0]
    assert (row["process"], row["step"], row["members"], row["failed"]) == ("optimizer", 160, 16384, 16384)
    assert row["curvature"] == pytest.approx(12) and row["curvature_step"] == 0
    for mean in found["results"]:
        assert mean["mean"][0] is not None and mean["standard_error"][0] is not None
        assert mean["mean"][1] is None and mean["standard_error"][1] is None
    assert found["provenance"]["complete"] is False  # the first chunks told enough
    again = driftax("simulate", path, "--members", 60000, "--json")
    assert again.code == 3 and json.loads(again.out)["results"] == found["results"]
    assert len(list(Path("driftax-out").glob("**/*.zarr.zip"))) == 2


def test_a_model_whose_substeps_are_too_long(study, driftax):
    """At 0.95 of the bound the order-2 drift has the rate 3.7 per step, where Runge-Kutta holds to 2.785."""
    path = diverging(study, 1.9)
    answer = driftax("simulate", path, "--members", 256)
    assert answer.code == 3
    assert "256 of 256 members of derived-2 are not finite" in answer.err
    assert "0.95 of the optimizer's bound" in answer.err
    assert "write substeps = 2 in [compare]" in answer.err
    assert "leave derived-2 out of `models`" in answer.err and "derived-1" not in answer.err
    without = diverging(study, 1.9, ONE_MODEL)
    assert driftax("simulate", without, "--members", 256).code == 0
    assert "divergence" not in json.loads(Path("driftax-out/simulate-small/results.json").read_text())


def test_verify_is_inconclusive_and_stops(study, driftax):
    answer = driftax("verify", diverging(study, 12.0, ONE_MODEL), "--members", 60000, "--json")
    found = json.loads(answer.out)
    assert answer.code == 3
    assert [row["verdict"] for row in found["results"]] == ["inconclusive"]
    assert found["results"][0]["reason"] == "divergence: no member is left to average on rung 1, 0.5, 0.25"
    assert {row["ladder"] for row in found["divergence"]} == {1.0, 0.5, 0.25}
    assert all(row["members"] <= 16384 for row in found["divergence"])
    assert all(row["mean"][0] is not None for row in found["means"])


def test_second_moments_that_left_their_domain(study, driftax):
    path = study(
        ('name = "sgd"', 'name = "rmsprop"\ndecay = 0.5\neps = 0.1'),
        ("covariance = 0.1", "covariance = 1.0"),
        ("params = [1.5]", "params = [1.5]\nnu = [1.0]"),
        ("steps = 4", "steps = 16\nrecord = [4, 16]"),
        ONE_MODEL,
    )
    answer = driftax("simulate", path, "--members", 256)
    assert answer.code == 0
    assert "members of derived-1 are not finite, the first by step 4" in answer.err
    assert "Not explained by curvature" in answer.err and 'write coordinates = "log"' in answer.err
    assert "of optimizer" not in answer.err


def test_processes_with_one_cause_share_a_line():
    row = {"process": "a", "ladder": 1.0, "step": 120, "members": 8, "failed": 3, "cause": "likely"}
    assert told([row, {**row, "process": "b"}, {**row, "ladder": 0.5}]) == [
        "divergence on rung 1: 3 of 8 members of a are not finite, the first by step 120; "
        "3 of 8 members of b are not finite, the first by step 120. Likely",
        "divergence on rung 0.5: 3 of 8 members of a are not finite, the first by step 120. Likely",
    ]
