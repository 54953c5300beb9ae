"""Predicted weak errors beside those of a deterministic solver, and the choice they lead to."""

from pathlib import Path

import jax.numpy as jnp
import pytest

from driftax import SGD, Adam, Chain, DriftaxError, GaussianNoise, Quadratic, Regime, RMSprop
from driftax.compare.choose import choose_model, predict_weak_error
from driftax.optimizer import Denominator
from driftax.published import publish
from driftax.study.build import build_chain, natural_start
from driftax.study.spec import load_study

EXAMPLES = Path(__file__).parents[3] / "examples" / "setup_b"
X, V = "params_sq", "nu_sq"
# Equation minus optimizer at a quarter and an eighth of the learning rate, from a deterministic solver (theory page).
KNOWN = [
    ("rmsprop", "callisti-2025-1", X, (1.84e-2, 9.34e-3), 1.03),
    ("rmsprop", "callisti-2025-2", X, (-1.09e-3, -2.74e-4), 1.5),
    ("rmsprop", "callisti-2025-2", V, (-8.41e-4, -1.88e-4), 4.0),
    ("adam", "callisti-2025-1", X, (8.64e-3, 4.58e-3), 1.03),
    ("adam", "callisti-2025-1", V, (-2.61e-3, -8.9e-4), 1.03),
    ("adam", "callisti-2025-2", X, (-2.78e-4, -7.59e-5), 1.5),
    ("adam", "callisti-2025-2", V, (-1.50e-3, -3.82e-4), 1.1),
]


@pytest.mark.parametrize("name", ["rmsprop", "adam"])
def test_a_predicted_error_is_within_a_factor_of_the_true_one(name):
    """Order 1 to 3 %; order 2 to 10 % or 50 %, and one case, nu_sq of RMSprop, to a factor of 4 only."""
    study = load_study(EXAMPLES / f"{name}_previous_params_sq.toml")
    chain = build_chain(study)
    start = natural_start(study, chain)
    for optimizer, model, observable, known, factor in KNOWN:
        if optimizer == name:
            for scale, number in zip((0.25, 0.125), known, strict=True):
                equation = publish(model, chain.at(scale))
                taken = study.start.step / scale
                found = predict_weak_error(equation, start, int(8 / scale), observable, taken)
                assert 1 / factor < found / number < factor, (model, observable, scale)


def rmsprop(rate, sigma, regime=Regime.BALLISTIC):
    law = GaussianNoise(sigma**2)
    return Chain(
        Quadratic(jnp.eye(1)),
        law,
        RMSprop(rate, 1 - 0.5 * rate, 0.1, denominator=Denominator.PREVIOUS),
        regime,
    )


START = jnp.asarray([[1.5], [1.0]])


def test_a_tighter_tolerance_takes_a_better_description():
    for tolerance, model in ((5e-4, "derived-2"), (1e-9, "optimizer")):
        choice = choose_model(rmsprop(0.1, 0.5), START, tolerance, 20)
        assert choice.model == model
        assert all(candidate.reason for candidate in choice.candidates)
    names = [candidate.model for candidate in choice.candidates]
    assert names == ["ode", "derived-1", "derived-2", "optimizer"]
    ode, _, two, _ = (abs(candidate.predicted) for candidate in choice.candidates)
    assert two < 5e-4 < ode


def test_where_noise_dominates_order_2_on_the_state_is_passed_by():
    chain = rmsprop(0.3, 3.0, Regime.BATCH_EQUIVALENT)
    choice = choose_model(chain, jnp.asarray([[0.5], [0.9]]), 1e-6, 10, X)
    assert choice.candidates[2].predicted is None
    assert choice.candidates[3].model == "derived-2-extended"
    assert choice.model == "optimizer"


@pytest.mark.parametrize(
    "ask",
    [
        lambda: choose_model(
            Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.1), SGD(0.1)), jnp.ones((1, 1)), 0.0, 10
        ),
        lambda: choose_model(
            Chain(Quadratic(jnp.eye(5)), GaussianNoise(0.1), Adam(0.1)), jnp.ones((3, 5)), 0.1, 10
        ),
    ],
)
def test_what_cannot_be_chosen_is_refused(ask):
    with pytest.raises(DriftaxError, match="choose_model"):
        ask()
