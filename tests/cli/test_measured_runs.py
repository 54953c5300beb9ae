"""`predict` and `scale` with a measurement: tables, JSON, the report, and wrong input."""

from __future__ import annotations

import json

import pytest

from unit.advice_cases import measured

RUN = ["--optimizer", "adamw", "--learning-rate", "1e-2", "--b1", "0.9", "--batch", "4"]


@pytest.fixture
def file(tmp_path):
    return str(measured(mean=0.1).save(tmp_path / "found.nc"))


def test_what_is_to_be_expected_of_a_run(driftax, file, tmp_path):
    answer = driftax("predict", "--measurement", file, *RUN, "--json", "--report", str(tmp_path / "page"))
    told = json.loads(answer.out)
    assert answer.code == 0 and list(told) == ["optimizer", "forecast", "changes"]
    keys = {row["key"] for row in told["forecast"]}
    assert {"floor", "edge", "half_time", "order_1", "order_2", "phase_3", "batch_over_scale"} <= keys
    assert told["changes"][0]["name"] == "now" and told["changes"][0]["speed"]["value"] == 1
    page = (tmp_path / "page" / "report.html").read_text()
    assert "What limits it" in page and "Where noise and signal stand" in page


def test_the_tables_answer_four_questions(driftax, file):
    out = driftax("predict", "--measurement", file, *RUN, "--steps", "20").out
    for words in (
        "Expected of adamw",
        "What your run looks like",
        "What limits it",
        "How sure we are",
        "80 examples",
    ):
        assert words in out


def test_scale_tells_floor_and_speed_of_every_rule(driftax, file, tmp_path):
    words = ["scale", *RUN, "--to", "16", "--measurement", file]
    told = {one["name"]: one for one in json.loads(driftax(*words, "--json").out)["outcomes"]}
    assert told["sqrt"]["floor"]["value"] > told["none"]["floor"]["value"] > 0
    answer = driftax(*words, "--report", str(tmp_path / "page"))
    assert "keeps the noise floor" in answer.out
    assert "Rules for a batch of 16" in (tmp_path / "page" / "report.html").read_text()


def test_without_curvature_rules_are_told_all_the_same(driftax, tmp_path):
    found = measured()
    found.data = found.data.drop_vars([str(name) for name in found.data if str(name).startswith("spectrum")])
    file = str(found.save(tmp_path / "found.nc"))
    answer = driftax("scale", *RUN, "--to", "16", "--measurement", file)
    assert answer.code == 0 and "sqrt" in answer.out and "without curvature" in answer.err
    assert driftax("scale", *RUN, "--to", "16", "--measurement", file, "--report", str(tmp_path)).code == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["predict", "--measurement", "FILE", "--optimizer", "adamw", "--batch", "4"],
            "--learning-rate of the run",
        ),
        (["predict", "--measurement", "FILE", *RUN, "--curvature", "1"], "it was measured"),
        (["predict", "--measurement", "FILE", *RUN, "--steps", "0"], "1 or more"),
        (["predict", *RUN, "--steps", "5"], "no --measurement"),
        (["scale", *RUN, "--to", "16", "--report", "page"], "no --measurement"),
        (
            ["scale", *RUN, "--ramp", "4:0,8:9", "--rule", "sqrt", "--measurement", "FILE"],
            "--noise-scale with",
        ),
        (
            ["scale", *RUN, "--to", "8", "--rule", "sqrt", "--snippet", "torch", "--report", "page"],
            "which has no page",
        ),
        (["predict", "--measurement", "FILE", *RUN[2:], "--optimizer", "sgd"], "geometry of an adaptive"),
    ],
)
def test_wrong_input(driftax, file, words, said):
    answer = driftax(*[file if word == "FILE" else word for word in words])
    assert answer.code == 2 and said in answer.err
