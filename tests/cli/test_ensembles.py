"""`simulate` and `verify`: JSON, results on disk, exit codes, tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

MEMBERS = ["--members", 256]


def row(verdict: str, **more) -> dict:
    rungs = [
        {"ladder": scale, "weak_error": 0.01 * scale, "standard_error": 1e-4, "failed": 1}
        for scale in (1.0, 0.5, 0.25)
    ]
    return {
        "model": "derived-1",
        "claimed_order": 1,
        "observable": "params[0]",
        "rungs": rungs,
        "local_orders": [1.0, 1.0],
        "order": 1.0,
        "ci95": [0.9, 1.1],
        "verdict": verdict,
        "reason": "because",
        **more,
    }


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["consistent"], 0),
        (["consistent", "inconclusive"], 3),
        (["consistent", "refuted", "inconclusive"], 1),
        ([], 0),
    ],
)
def test_exit_code(verdicts, code):
    from driftax.cli.verify import exit_code

    assert exit_code({"results": [row(verdict) for verdict in verdicts]}) == code


@pytest.mark.parametrize("markdown", [True, False])
def test_verdicts_as_tables(markdown, capsys):
    from driftax.cli.options import Output
    from driftax.cli.show import show_tables
    from driftax.cli.verify import tables

    results = {"results": [row("consistent", faster=True), row("inconclusive", order=None, ci95=None)]}
    show_tables(tables(results), Output(md=markdown))
    shown = capsys.readouterr().out
    for part in (
        "s = 0.25",
        "1.000(10)e-2",
        "[0.90, 1.10]",
        "consistent (faster)",
        "inconclusive",
        "because",
    ):
        assert part in shown
    assert "derived-1, params[0]: members that left the domain and were not averaged: 3" in shown


def test_simulate(study, driftax):
    path = study()
    answer = driftax("simulate", path, *MEMBERS, "--json")
    assert answer.code == 0
    results = json.loads(answer.out)["results"]
    assert [r["model"] for r in results] == ["optimizer", "derived-1", "derived-2"]
    assert list(results[0]) >= ["model", "observable", "step", "mean", "standard_error", "members", "failed"]
    stored = Path("driftax-out/simulate-small/results.json")
    assert str(stored) in answer.err
    found = json.loads(stored.read_text())
    assert found["results"] == results
    assert found["provenance"]["command"] == f"driftax simulate {path} --members 256"
    assert sorted(path.name for path in stored.parent.iterdir()) == [".lock", "chunks", "results.json"]


def test_the_same_request_is_answered_from_the_store(study, driftax):
    path, words = study(), [*MEMBERS, "--out", "results"]
    first = driftax("simulate", path, *words, "--json").out
    again = driftax("simulate", path, *words, "--json")
    assert again.out == first and "--fresh" in again.err
    quiet = driftax("simulate", path, *words, "-q", "--json")
    assert quiet.out == first and quiet.err == ""
    other = driftax("simulate", path, *words, "--seed", 1, "--json")
    assert "--fresh" not in other.err
    assert json.loads(other.out)["results"] != json.loads(first)["results"]
    assert "--fresh" not in driftax("simulate", path, *words, "--seed", 1, "--fresh").err


@pytest.mark.parametrize(
    ("message", "models"),
    [
        ('message = "sign"', ["derived-1", "distributed-2025"]),
        ('message = "sparse"\nkeep = 0.5', ["derived-1", "distributed-2025", "li-tai-e-2019-1"]),
    ],
)
def test_distributed_variants_run_by_name(message, models, study, driftax):
    law = 'name = "workers"\nworkers = 4\nlaw = {name = "gaussian", covariance = 0.1}\n'
    path = study(
        ('name = "gaussian"\ncovariance = 0.1', law + message),
        ('["derived-1", "derived-2"]', json.dumps(models)),
    )
    answer = driftax("simulate", path, "--members", 64, "--json")
    assert answer.code == 0, answer.err
    means = {row["model"]: row["mean"] for row in json.loads(answer.out)["results"]}
    for model in set(means) - {"optimizer"}:  # one equation, one noise, in float32
        assert means[model] == pytest.approx(means["derived-1"], rel=1e-5)
    assert means["optimizer"] != pytest.approx(means["derived-1"], rel=1e-3)


def test_two_rungs_end_inconclusive(study, driftax):
    path = study(("[1.0, 0.5, 0.25]", "[1.0, 0.5]"))
    answer = driftax("verify", path, *MEMBERS, "--json")
    assert answer.code == 3
    found = json.loads(answer.out)
    assert list(found)[:3] == ["results", "seconds", "provenance"]
    keys = ["model", "claimed_order", "observable", "rungs", "local_orders", "order", "ci95", "verdict"]
    assert [key for key in found["results"][0] if key in keys] == keys
    assert {r["verdict"] for r in found["results"]} == {"inconclusive"}


@pytest.mark.parametrize(
    ("verb", "code", "part"), [("simulate", 0, "E params_sq"), ("verify", 3, "Weak error")]
)
def test_a_report_beside_the_results(verb, code, part, study, driftax):
    pytest.importorskip("plotly")
    path = study(("[1.0, 0.5, 0.25]", "[1.0, 0.5]"))
    answer = driftax(verb, path, *MEMBERS, "--out", "results", "--report")
    assert answer.code == code
    assert part in answer.out
    assert answer.out.splitlines()[-1] == f"report: {Path('results/report.html')}"
    assert "small" in Path("results/report.html").read_text()
