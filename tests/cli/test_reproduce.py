"""`driftax reproduce`: experiments are listed, refused by name, run, resumed and written whole."""

import json
import os

import pytest
import xarray as xr

from driftax.cli.main import main
from driftax.reproduce import networks
from driftax.reproduce._value import Answer, Experiment, Part
from driftax.reproduce.experiments import EXPERIMENTS, NETWORKS
from driftax.reproduce.judge import Distance, beside, drawn, mean, order, order_among, weak_error
from driftax.reproduce.runner import lay_out, reproduce
from driftax.study.run import experiment_of
from driftax.study.spec import read_study

STUDY = """seed = 0
[objective]
name = "quadratic"
hessian = [[1.0]]
[noise]
name = "gaussian"
covariance = 0.1
[optimizer]
name = "rmsprop"
learning_rate = 0.25
decay = 0.875
eps = 0.1
denominator = "previous"
[start]
params = [1.5]
nu = [1.0]
[regime]
name = "ballistic"
ladder = [1.0, 0.5, 0.25]
[compare]
steps = 4
record = [2, 4]
models = ["callisti-2025-1", "malladi-2022"]
observables = ["loss"]
members = 2048
"""


def tiny():
    def judge(found):
        weak = weak_error(found["verified"], "malladi-2022", "loss", 1.0)
        return [
            order(found["verified"], "callisti-2025-1", "loss", 1, "order 1"),
            beside("the weak error of Malladi's equation, far off", 0.0, *weak),
            beside("a loss", 0.1, *mean(found["simulated"], "optimizer", "loss"), slack=1.0),
        ]

    parts = (Part("verified", "verify", STUDY), Part("simulated", "simulate", STUDY))
    return Experiment("tiny", "a small experiment", "re-derived", parts, judge, drawn)


def silent(*words):
    pass


def test_an_experiment_writes_figures_data_and_a_table_and_is_not_run_twice(tmp_path):
    first = reproduce(tiny(), tmp_path, 60.0, silent, silent)
    results = (tmp_path / "verified" / "results.json").read_bytes()
    again = reproduce(tiny(), tmp_path, 60.0, silent, silent)
    assert (tmp_path / "verified" / "results.json").read_bytes() == results
    assert first.rows == again.rows
    assert first.rows[1].answer is Answer.DISAGREES
    assert (tmp_path / "verified-weak-error-loss.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "verified-weak-error-loss.png").read_bytes().startswith(b"\x89PNG")
    data = xr.open_dataset(tmp_path / "data.nc", engine="scipy")
    assert float(data["simulated_optimizer_loss_mean"][-1]) > 0
    said = json.loads((tmp_path / "summary.json").read_text())
    assert [row["answer"] for row in said["rows"]] == [row.answer.value for row in first.rows]


@pytest.mark.parametrize(
    ("measured", "error", "answer"),
    [
        (1.05, 0.02, "agrees"),
        (1.2, 0.02, "disagrees"),
        (1.0, 0.4, "inconclusive"),
        (float("nan"), 0.1, "inconclusive"),
    ],
)
def test_numbers_are_beside_each_other_within_four_standard_errors(measured, error, answer):
    assert beside("a number", 1.0, measured, error).answer.value == answer


@pytest.mark.parametrize(
    ("coarse", "fine", "answer"),
    [
        ((2.83e-3, 1e-5), (1e-3, 1e-5), "agrees"),
        ((4e-3, 1e-5), (1e-3, 1e-5), "disagrees"),
        ((2e-3, 1e-5), (1e-3, 1e-5), "disagrees"),
        ((2.83e-3, 1e-5), (1e-3, 1e-4), "inconclusive"),
        ((2.83e-3, 1e-5), (0.0, 1e-4), "inconclusive"),
        ((2.83e-3, 1e-5), (-1e-3, 1e-5), "inconclusive"),
    ],
)
def test_an_order_of_three_halves_is_told_apart_from_its_neighbours(coarse, fine, answer):
    assert order_among("an order", 1.5, (1.0, 2.0), coarse, fine).answer.value == answer


ELSEWHERE = ("mnist", "cifar10", "tiny-shakespeare")  # not among scikit-learn's
PARTS = [(e.id, part) for e in EXPERIMENTS for part in e.parts]


@pytest.mark.parametrize(("id", "part"), PARTS, ids=[f"{id}-{part.name}" for id, part in PARTS])
def test_every_part_is_a_study_that_runs(id, part, tmp_path):
    needed = next((name for name in ELSEWHERE if f'data = "{name}"' in part.study), None)
    if needed and not os.environ.get("DRIFTAX_DATA"):
        pytest.skip(f"needs DRIFTAX_DATA, a folder with {needed}")
    study = read_study(lay_out(part, tmp_path), part.study)
    experiment = experiment_of(study, part.verb, allow_obstructed=True)
    for model in experiment.models:
        assert experiment.claimed(model) in (1, 2)
        experiment.equation(model, experiment.chain)


def test_the_list_has_an_id_a_title_and_a_source(capsys):
    assert main(["reproduce", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["experiments"]
    assert len(listed) == len(EXPERIMENTS) >= 15
    assert all(entry["id"] and entry["title"] and entry["source"] for entry in listed)
    assert len({entry["id"] for entry in listed}) == len(listed)


def test_a_network_follows_where_its_distance_does_and_no_member_is_lost():
    def judged(ratio, lost=""):
        return networks._row("words", Distance(ratio, 0.001, 0.001, 1), lost).answer.value

    assert [judged(0.01), judged(0.2), judged(0.05)] == ["agrees", "disagrees", "inconclusive"]
    assert judged(0.01, lost="1 of 4 members") == "inconclusive"


def test_the_networks_have_a_size_of_the_paper():
    """Only what already has it is the same in the full run."""
    for experiment in NETWORKS:
        assert [part.name for part in experiment.full] == [part.name for part in experiment.parts]
        same = [s.study == f.study for s, f in zip(experiment.parts, experiment.full, strict=True)]
        assert all(same) if experiment.id == "network-callisti-shallow" else not any(same)


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (["run"], "reproduce run callisti-rmsprop"),
        (["run", "callisti-rmsprob"], "driftax reproduce run callisti-rmsprop"),
        (["run", "zzz"], "driftax reproduce list"),
        (["lsit"], "run all"),
    ],
)
def test_words_that_name_nothing_are_refused(words, instead, capsys):
    assert main(["reproduce", *words]) == 2
    assert instead in capsys.readouterr().err


def test_tables_are_recomputed_number_by_number(tmp_path, capsys):
    asked = ["table-adam-variants", "table-adaptive-loss"]
    assert main(["reproduce", "run", *asked, "--out", str(tmp_path), "--json"]) == 0
    variants, losses = json.loads(capsys.readouterr().out)["experiments"]
    assert (len(variants["rows"]), len(losses["rows"])) == (35, 18)
    assert {row["answer"] for row in [*variants["rows"], *losses["rows"]]} == {"agrees"}
