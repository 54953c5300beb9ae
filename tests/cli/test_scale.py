"""`driftax scale`: the contract, and what it refuses."""

import json
import subprocess
import sys

import numpy as np
import pytest

from driftax.cli.main import main

FLAGS = ["--optimizer", "adamw", "--learning-rate", "1e-3", "--b1", "0.9", "--b2", "0.999", "--eps", "1e-8"]
RUN = ["scale", *FLAGS, "--weight-decay", "0.1", "--batch", "256"]


def test_the_json_of_the_contract(capsys):
    assert main([*RUN, "--to", "1024", "--json"]) == 0
    rules = {row["rule"]: row for row in json.loads(capsys.readouterr().out)["rules"]}
    keys = {"rule", "kappa", "learning_rate", "b1", "b2", "eps", "weight_decay", "validity", "source"}
    assert all(keys <= set(row) for row in rules.values())
    assert {"none", "linear", "sqrt", "sqrt-decay", "half-life"} <= set(rules)
    assert rules["sqrt-decay"]["weight_decay"] == pytest.approx(0.2) and rules["sqrt"]["weight_decay"] == 0.1


def test_a_number_out_of_range_is_null(capsys):
    assert main([*RUN, "--to", "4096", "--json"]) == 0
    rules = {row["rule"]: row for row in json.loads(capsys.readouterr().out)["rules"]}
    assert rules["sqrt"]["b1"] is None and rules["sqrt"]["validity"] == "out of range"


def test_a_table_in_words_snippets_and_ramps(capsys, tmp_path):
    assert main([*RUN, "--to", "1024", "--md"]) == 0
    out = capsys.readouterr().out
    assert "| sqrt-decay |" in out and "Not covered: width" in out
    assert main([*RUN, "--to", "1024", "--rule", "sqrt", "--snippet", "torch"]) == 0
    assert capsys.readouterr().out.startswith("optimizer = torch.optim.AdamW(")
    assert main([*RUN, "--ramp", "256:0,512:100", "--rule", "sqrt", "--json"]) == 0
    assert [row["begin"] for row in json.loads(capsys.readouterr().out)["stages"]] == [0, 100]
    config = tmp_path / "run.json"
    config.write_text(
        json.dumps({"learning_rate": 1e-3, "adam_beta2": 0.95, "per_device_train_batch_size": 32})
    )
    assert main(["scale", "--config", str(config), "--to", "64", "--rule", "half-life", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rules"][0]["b2"] == pytest.approx(0.95**2)


def test_table_and_json_say_the_same(capsys):
    words = ["scale", "--optimizer", "lion", "--learning-rate", "1e-4", "--batch", "64", "--to", "256"]
    assert main([*words, "--noise-scale", "1e6", "--json"]) == 0
    rules = json.loads(capsys.readouterr().out)["rules"]
    assert main([*words, "--noise-scale", "1e6", "--md"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {
        cells[1]: cells
        for cells in ([c.strip() for c in line.split("|")] for line in lines)
        if len(cells) > 3
    }
    assert all(rows[rule["rule"]][-3:-1] == [rule["validity"], rule["reason"]] for rule in rules)
    assert "1.37 times" in rows["sqrt"][-2]


def test_a_measurement_says_which_rule_holds(capsys, tmp_path):
    """Gradients of 64 examples that are nearly all noise: a noise scale far above the batch."""
    from driftax.measurement import estimate, units_of

    gradients = np.random.default_rng(0).normal(size=(64, 500)) + 0.02
    file = estimate(units_of({"layer": gradients}), tails=False).save(tmp_path / "found.nc")
    words = ["scale", *FLAGS, "--batch", "8", "--to", "32", "--measurement", str(file)]
    assert main([*words, "--json"]) == 0
    rules = {row["rule"]: row["validity"] for row in json.loads(capsys.readouterr().out)["rules"]}
    assert rules["sqrt"] == "ok" and rules["linear"] == "out of range"
    assert main(words) == 0
    assert "noise scale of the measurement" in capsys.readouterr().out
    assert main([*words, "--noise-scale", "100"]) == 2
    assert "one of the two" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ([*RUN, "--to", "4096", "--rule", "sqrt"], "a batch below 2560, or one of none, half-life"),
        (["scale", *FLAGS, "--batch", "1.5", "--to", "3"], "a whole number of examples"),
        ([*RUN, "--to", "511.5"], "the new batch size, in examples"),
        (
            [*RUN[:-4], "--weight-decay", "300", "--batch", "256", "--to", "1024", "--rule", "sqrt-decay"],
            "a smaller weight_decay",
        ),
        (RUN, "--to 1024"),
        (["scale", "--optimizer", "adamw", "--to", "64"], "--learning-rate 1e-3"),
        ([*RUN, "--to", "-4"], "examples"),
        ([*RUN, "--to", "512", "--snippet", "torch"], "--rule"),
        ([*RUN, "--ramp", "256", "--rule", "sqrt"], "256:0"),
        ([*RUN, "--ramp", "256:0"], "--rule sqrt"),
        ([*RUN, "--config", "nowhere.json", "--to", "512"], "flags alone"),
        (["scale", "--config", "nowhere.json", "--to", "512"], "can be used"),
        ([*RUN, "--to", "512", "--rule", "cubic"], "scale --help"),
    ],
)
def test_wrong_words_are_refused(words, instead, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert instead in error and "Traceback" not in error


def test_it_needs_neither_jax_nor_torch():
    """What makes it answer in under a second."""
    code = (
        "import sys; from driftax.cli.main import main; "
        f"main({[*RUN, '--to', '1024', '--json']!r}); main({[*RUN, '--to', '1024', '--md']!r}); "
        "sys.exit(any(name in sys.modules for name in ('jax', 'torch', 'xarray', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60).returncode == 0
