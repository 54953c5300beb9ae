"""The study file: what it says and what it builds."""

from __future__ import annotations

import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError, Regime, Scheduled
from driftax.optimizer import MomentumForm
from driftax.study.build import build_chain, natural_start, read_state, start_state, state_to_look_at
from driftax.study.spec import load_study
from unit.study_files import FINITE_SUM, STUDY, reader, refused

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def load(tmp_path):
    return reader(tmp_path)


def test_what_is_left_out(load):
    study = load()
    assert study.seed == 3 and study.name == "study"
    assert study.regime.ladder == (1.0, 0.5, 0.25)
    assert study.compare.record == (8,)
    assert study.compare.models == ("derived-1", "derived-2")
    assert study.compare.members is None and study.compare.at == "end"
    assert study.optimizer.denominator == "updated" and not study.optimizer.bias_correction
    assert load(('"rmsprop"', '"adam"'), ("decay = 0.875\n", "")).optimizer.bias_correction


def test_a_study_does_not_change(load):
    study = load()
    with pytest.raises(AttributeError):
        study.seed = 1
    with pytest.raises(ValueError, match="frozen"):
        study.compare.steps = 1


def test_compare_is_needed_by_some_verbs_only(load):
    study = load((STUDY[STUDY.index("[compare]") :], ""))
    assert study.compare is None
    build_chain(study)
    with pytest.raises(DriftaxError, match=r"\[compare\]"):
        study.comparison("verify")


def test_the_chain_of_a_study(load):
    study = load()
    chain = build_chain(study)
    assert chain.slots == ("params", "nu") and chain.regime is Regime.BALLISTIC
    np.testing.assert_allclose(chain.gradient(start_state(study, chain)), [1.0, -0.25])
    np.testing.assert_allclose(start_state(study, chain), [[1.5, -1.0], [1.0, 2.0]])
    z, step = state_to_look_at(study, chain)
    np.testing.assert_array_equal(z, start_state(study, chain))
    assert step == 0.0


def test_nu_stands_in_the_regimes_units(load):
    study = load(('"ballistic"', '"batch-equivalent"'), ("steps = 8", 'steps = 8\ncoordinates = "log"'))
    chain = build_chain(study)
    z = start_state(study, chain)
    np.testing.assert_allclose(z[1], np.log([1.0, 2.0]))
    np.testing.assert_allclose(chain.real(z).nu, np.array([1.0, 2.0]) / 0.25**2)
    assert not build_chain(study, natural=True).log_second_moments


def test_left_out_moments_are_the_optimizers_own(load):
    study = load(('"rmsprop"', '"adam"'), ("decay = 0.875\n", ""), ("nu = [1.0, 2.0]", "mu = [0.5, 0.5]"))
    natural = natural_start(study, build_chain(study))
    np.testing.assert_array_equal(natural, [[1.5, -1.0], [0.5, 0.5], [0.0, 0.0]])


RULES = {
    "momentum": ('decay = 0.9\nform = "ema"\nnesterov = true', "params, mu"),
    "signum": ("decay = 0.9", "params, mu"),
    "lion": ("b1 = 0.9\nb2 = 0.95", "params, mu"),
    "adagrad": ("eps = 0.1\nlearning_rate_decay = 0.1\ninitial_accumulator = 0.1", "params, nu"),
    "amsgrad": ('b1 = 0.8\nmaximum = "corrected"', "params, mu, nu, nu_max"),
    "nadam": ("b1 = 0.8\nmomentum_decay = 0.004", "params, mu, nu, mu_product"),
    "radam": ('rectification = "optax"', "params, mu, nu"),
}


@pytest.mark.parametrize("name", RULES)
def test_every_optimizer_has_a_section(name, load):
    keys, slots = RULES[name]
    schedule = 'learning_rate_schedule = {name = "cosine", steps = 100, end = 0.1}'
    rule = (('"rmsprop"', f'"{name}"'), ("decay = 0.875\neps = 0.1", f"{keys}\n{schedule}"))
    start = "\n".join(f"{slot} = [0.5, 0.25]" for slot in slots.split(", ")[1:])
    study = load(*rule, ("nu = [1.0, 2.0]", start), ('["loss", "nu_sq", "nu[1]"]', '["loss"]'))
    chain = build_chain(study)
    assert ", ".join(chain.slots) == slots and isinstance(chain.optimizer, Scheduled)
    assert chain.optimizer.base.name.lower() == name
    np.testing.assert_array_equal(natural_start(study, chain)[1:], [[0.5, 0.25]] * (len(chain.slots) - 1))
    assert float(chain.optimizer.clock(50.0).factors[0]) == pytest.approx(0.55)


def test_the_defaults_of_momentum_and_lion(load):
    momentum = (('"rmsprop"', '"momentum"'), ("decay = 0.875\neps = 0.1\n", ""), ("nu = [1.0, 2.0]", ""))
    observables = ('["loss", "nu_sq", "nu[1]"]', '["loss"]')
    chain = build_chain(load(*momentum, observables))
    assert chain.optimizer.form is MomentumForm.HEAVY_BALL and not chain.optimizer.nesterov
    assert float(chain.time_step) == pytest.approx(0.25 / 0.1)
    lion = build_chain(load(('"rmsprop"', '"lion"'), *momentum[1:], observables)).optimizer
    assert (float(lion.b1), float(lion.b2), float(lion.weight_decay)) == (0.9, 0.99, 0.0)


def test_a_state_file_holds_every_slot(load, tmp_path):
    rule = (('"rmsprop"', '"amsgrad"'), ("decay = 0.875\n", ""))
    chain = build_chain(load(*rule))
    path = tmp_path / "state.json"
    rows = {"params": [1.0, 2.0], "mu": [0.1, 0.2], "nu": [0.3, 0.4], "nu_max": [0.5, 0.6]}
    path.write_text(json.dumps({**rows, "step": 2}))
    np.testing.assert_array_equal(read_state(path, chain)[0], list(rows.values()))
    path.write_text(json.dumps({key: row for key, row in rows.items() if key != "nu_max"}))
    with pytest.raises(DriftaxError, match="no nu_max; the state has params, mu, nu, nu_max"):
        read_state(path, chain)


def test_log_coordinates_want_every_second_moment(load):
    rule = (
        ('"rmsprop"', '"amsgrad"'),
        ("decay = 0.875\n", ""),
        ("steps = 8", 'steps = 8\ncoordinates = "log"'),
    )
    assert "nu_max" in refused(load, *rule).instead
    load(*rule, ("nu = [1.0, 2.0]", "nu = [1.0, 2.0]\nnu_max = [1.0, 2.0]"))
    rule = (('"rmsprop"', '"adagrad"'), ("decay = 0.875", "initial_accumulator = 0.1"), rule[2])
    load(*rule, ("nu = [1.0, 2.0]\n", ""))


def test_a_handover_has_no_start_state(load):
    study = load(text=FINITE_SUM)
    chain = build_chain(study)
    assert start_state(study, chain) is None
    z, step = state_to_look_at(study, chain)
    assert step == 8.0 and z.shape == (3, 31)
    assert jnp.all(jnp.isfinite(z))


def test_state_files(load, tmp_path):
    chain = build_chain(load())
    path = tmp_path / "state.json"
    path.write_text(json.dumps({"params": [1, 2.5], "nu": [0.0, 1.0], "step": 3}))
    z, step = read_state(path, chain)
    np.testing.assert_array_equal(z, [[1.0, 2.5], [0.0, 1.0]])
    assert step == 3.0
    log_chain = build_chain(load(("steps = 8", 'steps = 8\ncoordinates = "log"')))
    with pytest.raises(DriftaxError, match="above 0"):
        read_state(path, log_chain)
    path.write_text(json.dumps({"params": [1, 2.5], "nu": [-1.0, 1.0]}))
    with pytest.raises(DriftaxError, match="second moment of -1"):
        read_state(path, chain)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: path.stem)
def test_examples(path):
    study = load_study(path)
    assert study.compare is not None
    build_chain(study)


def test_there_are_examples():
    assert len(list(EXAMPLES.rglob("*.toml"))) >= 13
