"""`driftax limits`: a configuration or exponents, the list, the files, and every wrong input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONFIGURATION = ("limits", "--learning-rate", "1e-3", "--b2", "0.999", "--noise", "1.0")


def test_a_configuration(driftax):
    answer = driftax(*CONFIGURATION, "--b1", "0.9", "--eps", "1e-8")
    assert answer.code == 0
    for words in ("ballistic, second moment dynamic, momentum slaved", "callisti2025", "x 0.01", "x 1e8"):
        assert words in answer.out
    directory = Path("driftax-out/limits")
    assert (directory / "phase_diagram.png").read_bytes().startswith(b"\x89PNG")
    assert (directory / "phase_diagram.pdf").read_bytes().startswith(b"%PDF")


def test_json(driftax):
    found = json.loads(driftax(*CONFIGURATION, "--json", "--out", "there").out)
    assert found["limit"]["states"] == {"params": "dynamic", "mu": None, "nu": "dynamic"}
    assert found["limit"]["time_exponent"] == 1.0 and found["time_per_step"] == pytest.approx(1e-3)
    assert found["constants"] == pytest.approx({"c": 1.0, "noise": 1.0})
    assert {n["exponent"] for n in found["neighbours"]} == {"s", "q"}
    assert [Path(name).suffix for name in found["files"]] == [".png", ".pdf"]
    assert all(Path(name).parent == Path("there") and Path(name).exists() for name in found["files"])


def test_a_batch_64_times_smaller(driftax):
    """Noise 8 at learning rate 1/64 is s = 1/2; the batch-equivalent line is at noise 64."""
    words = ("limits", "--learning-rate", 1 / 64, "--b2", 0.75, "--noise", 8, "--same", 1, "--json")
    found = json.loads(driftax(*words).out)
    assert found["limit"]["row"] == "noise-normalised" and found["constants"] == {}
    assert found["exponents"]["s"] == pytest.approx(0.5) and found["exponents"]["q"] == pytest.approx(1 / 3)
    line = next(n for n in found["neighbours"] if n["exponent"] == "s" and n["distance"] > 0)
    assert line["hyperparameter"] == pytest.approx(64.0) and line["factor"] == pytest.approx(8.0)
    memory = next(n for n in found["neighbours"] if n["exponent"] == "q" and n["distance"] > 0)
    assert memory["hyperparameter"] == pytest.approx(64**-1.5)
    assert memory["factor"] == pytest.approx(64**-1.5 / 0.25)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("--q", 2, "--s", 1), "batch-equivalent, second moment dynamic"),
        (("--p", 2, "--q", 2, "--s", 0), "ballistic, second moment dynamic"),
        (("--q", 1, "--s", 0, "--e", 1), "eps-dominated ODE"),
        (("--q", 0, "--s", -1), "sign-gradient flow"),
        (("--q", 1, "--s", 0, "--q1", 3, "--bias-correction", "off"), "trivial ("),
        (("--q", 2, "--s", 1, "--q1", 2), "kinetic"),
        (("--q", 0, "--s", 1, "--denominator", "previous"), "batch-equivalent, fixed beta_2"),
        (("--q", 1, "--s", 2.5, "--e", 3, "--md"), "eps-dominated noise"),
    ],
)
def test_exponents(words, name, driftax):
    answer = driftax("limits", *words)
    assert answer.code == 0
    assert name in answer.out
    assert Path("driftax-out/limits/phase_diagram.png").exists()


def test_list(driftax):
    answer = driftax("limits", "--list")
    assert answer.code == 0 and "s = p, q = r" in answer.out and not list(Path.cwd().iterdir())
    listed = json.loads(driftax("limits", "--list", "--json").out)
    assert len(listed["second_moment"]) == 28 and len(listed["momentum"]) == 7


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "no --learning-rate and no --b2 and no --noise"),
        (("--learning-rate", 1e-3, "--b2", 0.999), "no --noise"),
        (("--q", 1), "no --s"),
        (("--q", 1, "--s", 0, "--noise", 1), "not both"),
        (("--learning-rate", 2, "--b2", 0.9, "--noise", 1), "between 0 and 1"),
        (("--learning-rate", 1e-3, "--b2", 1, "--noise", 1), "[0, 1)"),
        (("--learning-rate", 1e-3, "--b2", 0.9, "--noise", "nan"), "noise = nan"),
        (("--learning-rate", 1e-3, "--b2", 0.9, "--noise", 1, "--same", 0.5), "1 or more"),
        (("--q", -1, "--s", 0), "q = -1"),
        (("--q", 1, "--s", 0, "--p", 0), "p = 0"),
        (("--q", 1, "--s", 0, "--denominator", "newest"), "newest"),
        (("--list", "--q", 1), "--list beside --q"),
        (("--qq", 1), "--qq"),
    ],
)
def test_wrong_input(words, part, driftax):
    answer = driftax("limits", *words)
    assert answer.code == 2 and answer.out == ""
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["asked", "found", "instead"]
    assert part in answer.err
    assert not list(Path.cwd().iterdir())


def test_a_file_is_not_a_directory(driftax):
    Path("taken").write_text("")
    answer = driftax(*CONFIGURATION, "--out", "taken")
    assert answer.code == 2 and "not a directory" in answer.err
