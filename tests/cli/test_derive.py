"""`derive` and `local-order`: the keys of the contract, and numbers known in closed form."""

from __future__ import annotations

import json

import pytest

KEYS = ["state", "time_step", "weak_order", "method", "drift", "covariance", "obstruction"]


@pytest.fixture
def state(tmp_path):
    path = tmp_path / "state.json"
    path.write_text('{"params": [2.0], "step": 4}')
    return path


@pytest.mark.parametrize("method", ["taylor", "finite-step"])
@pytest.mark.parametrize("rung", [1.0, 0.5])
@pytest.mark.parametrize("order", [1, 2])
def test_sgd_in_closed_form(order, rung, method, study, state, driftax):
    words = ["--order", order, "--method", method, "--rung", rung, "--at", state, "--json"]
    answer = driftax("derive", study(), *words)
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    h = 0.25 * rung
    assert list(found) == KEYS
    assert found["state"] == ["params[0]"]
    assert found["time_step"] == h
    assert (found["weak_order"], found["method"]) == (order, method)
    assert found["drift"] == pytest.approx([-2.0 - (h if order == 2 else 0.0)])
    if method == "taylor" or order == 1:
        assert found["covariance"] == [pytest.approx([0.1 * h])]
    assert found["obstruction"] == {"third": pytest.approx(0.0), "fourth": pytest.approx(0.0)}


def test_at_the_start_of_the_study(study, driftax):
    found = json.loads(driftax("derive", study(), "--order", 1, "--json").out)
    assert found["drift"] == pytest.approx([-1.5])


def test_text_latex_table_and_markdown(study, state, driftax):
    path = study()
    assert "weak order 2" in driftax("derive", path).out
    assert r"\begin{aligned}" in driftax("derive", path, "--latex").out
    assert "params[0]" in driftax("derive", path, "--at", state).out
    assert "| params[0] | -2.25 |" in driftax("derive", path, "--at", state, "--md").out
    assert r"\begin{aligned}" in json.loads(driftax("derive", path, "--latex", "--json").out)["latex"]


def test_nu_and_the_obstruction_in_the_regimes_own_units(study, driftax, tmp_path):
    """Batch-equivalent RMSprop at order 1: drift -f D and c (Sigma_d - nu), in units that have a limit."""
    path = study(
        (
            '"sgd"\nlearning_rate = 0.25',
            '"rmsprop"\nlearning_rate = 0.5\ndecay = 0.875\neps = 0.0\ndenominator = "previous"',
        ),
        ("covariance = 0.1", "covariance = 2.0"),
        ('"ballistic"', '"batch-equivalent"'),
    )
    state = tmp_path / "state.json"
    state.write_text('{"params": [2.0], "nu": [0.7], "step": 0}')
    for rung in (1.0, 0.25):
        words = ["--order", 1, "--method", "taylor", "--rung", rung, "--at", state, "--json"]
        found = json.loads(driftax("derive", path, *words).out)
        assert found["state"] == ["params[0]", "nu[0]"]
        assert found["time_step"] == 0.25 * rung
        assert found["drift"] == pytest.approx([-2.0 / 0.7**0.5, 0.5 * (0.5 - 0.7)])
    # As h falls the third-order term of x^2 nu tends to c D^2 Sigma^2: it never vanishes.
    words = ["--order", 2, "--allow-obstructed", "--rung", 2**-10, "--at", state, "--json"]
    third = json.loads(driftax("derive", path, *words).out)["obstruction"]["third"]
    assert third == pytest.approx(0.5 / 0.7 * 0.5**2, rel=1e-3)


def test_local_order(study, state, driftax):
    path = study()
    answer = driftax("local-order", path, "--at", state, "--json")
    assert (answer.code, answer.err) == (0, "")
    found = json.loads(answer.out)
    assert list(found) == ["claimed_order", "time_steps", "monomials", "order"]
    assert found["claimed_order"] == 2
    assert found["order"] == pytest.approx(2.0, abs=0.1)
    first = found["monomials"][0]
    assert list(first) == ["name", "residuals", "local_orders"]
    assert len(first["residuals"]) == len(found["time_steps"]) == len(first["local_orders"]) + 1
    table = driftax("local-order", path, "--order", 1).out
    assert "claimed 1" in table and "params[0]" in table
