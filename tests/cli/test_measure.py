"""`driftax measure ENTRY`."""

from __future__ import annotations

import json

import pytest

from driftax.cli.main import BAD_INPUT, main
from driftax.measurement import Measurement

FILE = """
import jax.numpy as jnp
import numpy as np

ROWS = np.random.default_rng(0).normal(size=(40, 3)) + 1.0

def loss(params, row):
    return 0.5 * jnp.sum((params["w"] - row) ** 2)

def probe():
    print("on its way")
    return loss, {"w": jnp.zeros(3)}, ROWS

def more():
    return {"loss_fn": loss, "params": {"w": jnp.zeros(3)}, "examples": ROWS, "batch": 4, "tails": False}

def typo():
    return {"loss_fn": loss, "params": {"w": jnp.zeros(3)}, "examples": ROWS, "unit_sise": 4}

def part():
    return {"loss_fn": loss, "params": {"w": jnp.zeros(3)}}

def two():
    return loss, {"w": jnp.zeros(3)}

def swapped():
    return {"w": jnp.zeros(3)}, loss, ROWS

def fails():
    raise RuntimeError("no data today")
"""


@pytest.fixture
def entry(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return "train.py:{}".format


def test_a_table_and_a_file(entry, capsys, tmp_path):
    flags = ["--batch", "8", "--curvature", "--learning-rate", "0.1", "--out", "found.nc"]
    assert main(["measure", entry("probe"), *flags]) == 0
    told = capsys.readouterr()
    assert "noise scale" in told.out and "edge of stability" in told.out and "found.nc" in told.out
    assert "on its way" in told.err and "on its way" not in told.out
    found = Measurement.load(tmp_path / "found.nc")
    assert found.data.attrs["batch"] == 8
    assert found.estimate("hessian_trace").value == pytest.approx(3.0)


def test_json_is_the_flat_dict(entry, capsys):
    assert main(["measure", entry("more"), "--json", "--unit-size", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters/total"] == 3 and found["covariance_trace/w"] > 0
    assert "inverse_dof/total" not in found


WRONG = {
    "prob": ("no prob in", "train.py:probe"),
    "typo": ("'unit_sise'", "'unit_size'"),
    "part": ("no 'examples'", "return loss_fn, params, examples"),
    "two": ("a tuple of 2 returned", "return loss_fn, params, examples"),
    "swapped": ("loss_fn of type dict", "def loss_fn(params, example)"),
    "fails": ("RuntimeError in it: no data today", "ends with"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries_are_refused_in_three_parts(entry, capsys, name):
    assert main(["measure", entry(name)]) == BAD_INPUT
    told = capsys.readouterr().err
    assert all(part in told for part in ("asked:", "found:", "instead:", *WRONG[name]))


def test_a_place_that_cannot_be_written_is_refused_before_the_measurement(entry, capsys):
    assert main(["measure", entry("fails"), "--out", "nowhere/found.nc"]) == BAD_INPUT
    assert "no directory" in capsys.readouterr().err
