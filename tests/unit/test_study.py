"""The study file: what it says, what it builds, and how it refuses."""

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

EXAMPLES = Path(__file__).parents[2] / "examples"

STUDY = """seed = 3
[objective]
name = "quadratic"
hessian = [[1.0, 0.5], [0.5, 1.0]]
[noise]
name = "gaussian"
covariance = [[0.3125, 0.25], [0.25, 0.3125]]
[optimizer]
name = "rmsprop"
learning_rate = 0.25
decay = 0.875
eps = 0.1
[start]
params = [1.5, -1.0]
nu = [1.0, 2.0]
[regime]
name = "ballistic"
ladder = [0.25, 1, 0.5]
[compare]
steps = 8
observables = ["loss", "nu_sq", "nu[1]"]
"""

FINITE_SUM = """
[objective]
name = "finite_sum"
data = "breast_cancer"
model = "logistic"
[noise]
name = "minibatch"
batch_size = 64
[optimizer]
name = "optax.adamw"
learning_rate = 0.04
[start]
handover = 8
[regime]
name = "ballistic"
[compare]
steps = 20
coordinates = "log"
"""


@pytest.fixture
def load(tmp_path):
    def read(*replacements, text=STUDY):
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "study.toml"
        path.write_text(text)
        return load_study(path)

    return read


def refused(load, *replacements, text=STUDY) -> DriftaxError:
    with pytest.raises(DriftaxError) as caught:
        load(*replacements, text=text)
    assert "study.toml" in caught.value.asked
    assert caught.value.found and caught.value.instead
    return caught.value


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


# (old, new), then what the message names: the key, what was found, what to write.
REFUSED = {
    "unknown key": ("decay = 0.875", "decy = 0.875", "[optimizer] decy", "unknown key: decy", "decay"),
    "unknown section": ("[compare]", "[compre]", "[compre]", "unknown", "compare"),
    "unknown top key": ("seed = 3", "sed = 3", "sed", "unknown", "seed"),
    "section as key": ('[regime]\nname = "ballistic"\nladder', "regime = 1\nx", "start", "unknown", "step"),
    "missing key": ("learning_rate = 0.25\n", "", "learning_rate", "no learning_rate", "above 0"),
    "missing name": ('name = "rmsprop"\n', "", "[optimizer] name", "no name", 'name = "rmsprop"'),
    "type": ("0.25\ndecay", '"0.25"\ndecay', "learning_rate", '"0.25"', "a number above 0"),
    "bool as number": ("eps = 0.1", "eps = true", "eps", "eps = true", "0 or more"),
    "number as bool": ("eps = 0.1", "bias_correction = 1", "bias_correction", "= 1", "true or false"),
    "nan": ("eps = 0.1", "eps = nan", "eps", "nan", "0 or more"),
    "inf": ("eps = 0.1", "eps = inf", "eps", "inf", "0 or more"),
    "decay": ("decay = 0.875", "decay = 1.0", "decay", "1.0", "[0, 1)"),
    "learning rate": ("learning_rate = 0.25", "learning_rate = -1", "learning_rate", "-1", "above 0"),
    "negative seed": ("seed = 3", "seed = -3", "seed", "-3", "0 or more"),
    "members": ("steps = 8", "steps = 8\nmembers = 0", "members", "members = 0", "2 or more"),
    "fractional steps": ("steps = 8", "steps = 8.5", "steps", "8.5", "whole number"),
    "empty ladder": ("[0.25, 1, 0.5]", "[]", "ladder", "an empty list", "(0, 1]"),
    "zero rung": ("[0.25, 1, 0.5]", "[1, 0]", "ladder", "the rung 0", "(0, 1]"),
    "large rung": ("[0.25, 1, 0.5]", "[2, 1]", "ladder", "the rung 2", "(0, 1]"),
    "rung twice": ("[0.25, 1, 0.5]", "[1, 1.0]", "ladder", "twice", "[1.0]"),
    "ladder as number": ("[0.25, 1, 0.5]", "1.0", "ladder", "a number", "a list"),
    "steps on a rung": ("0.25, 1, 0.5", "1, 0.3", "[compare] steps", "26.6667 steps", "whole"),
    "step on a rung": ("steps = 8\n", "steps = 8\n[start.x]\n", "[start] x", "unknown", "params"),
    "record on a rung": ("steps = 8", "steps = 8\nrecord = [9]", "record", "step 9", "up to the end"),
    "ragged": ("[0.5, 1.0]]", "[0.5]]", "hessian", "differ in length", "square"),
    "not square": (
        "hessian = [[1.0, 0.5], [0.5, 1.0]]",
        "hessian = [[1.0, 0.5]]",
        "hessian",
        "[1, 2]",
        "square",
    ),
    "asymmetric": ("[0.5, 1.0]]", "[0.4, 1.0]]", "[objective]", "not symmetric", "hessian = "),
    "nan in matrix": ("[0.5, 1.0]]", "[0.5, nan]]", "hessian", "nan at [1][1]", "finite"),
    "indefinite": ("[[0.3125, 0.25]", "[[0.0125, 0.25]", "[noise]", "semidefinite", "covariance"),
    "covariance shape": ("[[0.3125, 0.25], [0.25, 0.3125]]", "[[1.0]]", "[noise]", "[1, 1] for 2", "2 x 2"),
    "params length": ("[1.5, -1.0]", "[1.5]", "[start] params", "1 entries", "2 numbers"),
    "no params": ("params = [1.5, -1.0]\n", "", "[start] params", "no params", "2 numbers"),
    "nu length": ("nu = [1.0, 2.0]", "nu = [1.0]", "[start] nu", "1 entries", "2 numbers"),
    "negative nu": ("nu = [1.0, 2.0]", "nu = [1.0, -2.0]", "[start] nu", "-2.0", "0 or more"),
    "mu of rmsprop": ("nu = [1.0, 2.0]", "mu = [1.0, 2.0]", "[start] mu", "params, nu", "no mu"),
    "handover and nu": ("nu = [1.0, 2.0]", "nu = [1.0, 2.0]\nhandover = 4", "handover", "nu", "or"),
    "handover and step": ("nu = [1.0, 2.0]", "step = 4\nhandover = 4", "handover", "step", "alone"),
    "model": ("steps = 8", 'steps = 8\nmodels = ["derived2"]', "models", "derived2", '"derived-2"'),
    "published model": (
        "steps = 8",
        'steps = 8\nmodels = ["malladi-2023"]',
        "models",
        "malladi-2023",
        '"malladi-2022"',
    ),
    "observable": ('"nu_sq"', '"mu_sq"', "observables", "mu_sq", '"nu_sq"'),
    "entry": ('"nu[1]"', '"nu[2]"', "observables", "nu[2]", '"nu[1]"'),
    "no observables": ('["loss", "nu_sq", "nu[1]"]', "[]", "observables", "empty", '["loss"]'),
    "optimizer": ('"rmsprop"', '"rmsprp"', "[optimizer] name", "rmsprp", '"rmsprop"'),
    "regime without a limit": (
        '"ballistic"',
        '"batch-equivalent"',
        "[regime] name",
        "grows without bound",
        "ballistic",
    ),
    "unknown slot": ("nu = [1.0, 2.0]", "nu2 = [1.0, 2.0]", "[start] nu2", "params, nu", "nu; known"),
    "nu of a chain of slots": ("nu = [1.0, 2.0]", "nu = [1.0, true]", "[start] nu", "True at [1]", "finite"),
    "negative nu_max": ("nu = [1.0, 2.0]", "nu_max = [1.0, -2.0]", "[start] nu_max", "-2.0", "0 or more"),
    "handover and nu_max": (
        "nu = [1.0, 2.0]",
        "nu_max = [1.0, 2.0]\nhandover = 4",
        "handover",
        "nu_max",
        "mu and nu and nu_max",
    ),
    "form": ("eps = 0.1", 'form = "heavyball"', "[optimizer] form", "heavyball", '"heavy_ball"'),
    "schedule as number": ("eps = 0.1", "decay_schedule = 0.5", "decay_schedule", "0.5", "cosine"),
    "schedule without name": (
        "eps = 0.1",
        "decay_schedule = {steps = 3}",
        "decay_schedule",
        "no name",
        "cosine",
    ),
    "schedule name": (
        "eps = 0.1",
        'decay_schedule = {name = "cosin", steps = 3}',
        "[optimizer] decay_schedule.name",
        "cosin",
        '"cosine"',
    ),
    "schedule key": (
        "eps = 0.1",
        'decay_schedule = {name = "cosine", step = 3}',
        "[optimizer] decay_schedule.step",
        "unknown key: step",
        "steps",
    ),
    "schedule steps": (
        "eps = 0.1",
        'learning_rate_schedule = {name = "cosine", steps = 0}',
        "[optimizer] learning_rate_schedule.steps",
        "steps = 0",
        "1 or more",
    ),
    "schedule without steps": (
        "eps = 0.1",
        'learning_rate_schedule = {name = "linear"}',
        "[optimizer] learning_rate_schedule.steps",
        "no steps",
        "whole number",
    ),
    "schedule of eps": (
        "eps = 0.1",
        'eps_schedule = {name = "linear", steps = 3}',
        "[optimizer] eps_schedule",
        "unknown key: eps_schedule",
        "eps",
    ),
    "schedule that makes a decay negative": (
        "eps = 0.1",
        'decay_schedule = {name = "constant", factor = 9.0}',
        "[optimizer]",
        "the factor 9 at step 0",
        "at most 8",
    ),
    "schedule without memory": (
        "eps = 0.1",
        'decay_schedule = {name = "warmup_cosine", warmup = 2, steps = 9}',
        "[optimizer]",
        "the factor 0 at step 0",
        "above 0",
    ),
    "regime": ('"ballistic"', '"balistic"', "[regime] name", "balistic", '"ballistic"'),
    "noise of another objective": (
        'name = "gaussian"\ncovariance = [[0.3125, 0.25], [0.25, 0.3125]]',
        'name = "minibatch"\nbatch_size = 8',
        "[noise]",
        "not a sum over examples",
        "finite_sum",
    ),
    "optax keyword": ("decay = 0.875", "dcay = 0.875", "dcay", "unknown key", "decay"),
    "log without nu": ("nu = [1.0, 2.0]", "", "coordinates", "-inf", "handover"),
    "0/0": (
        "eps = 0.1",
        'denominator = "previous"\nbias_correction = true',
        "denominator",
        "step 0",
        "step = 1",
    ),
}
_ALSO = {
    "regime without a limit": [('"rmsprop"', '"signum"'), ("eps = 0.1\n", ""), ("nu = [1.0, 2.0]\n", "")],
    "negative nu_max": [('"rmsprop"', '"amsgrad"'), ("decay = 0.875\n", "")],
    "handover and nu_max": [('"rmsprop"', '"amsgrad"'), ("decay = 0.875\n", "")],
    "form": [('"rmsprop"', '"momentum"')],
    "optax keyword": [('"rmsprop"', '"optax.rmsprop"')],
    "log without nu": [("steps = 8", 'steps = 8\ncoordinates = "log"')],
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, load):
    old, new, asked, found, instead = REFUSED[case]
    error = refused(load, (old, new), *_ALSO.get(case, []))
    assert asked in error.asked
    assert found in error.found
    assert instead in error.instead


@pytest.mark.parametrize(
    ("replacement", "found"),
    [
        (("learning_rate = 0.04", "learning_rate = 0.04\nnu_dtype = 1"), "unknown key: nu_dtype"),
        (("learning_rate = 0.04", "learning_rate = 0.04\nmu_dtype = 1"), "how mu_dtype moves"),
        (("learning_rate = 0.04", "learning_rate = 0.04\nnesterov = 1"), "nesterov = 1"),
        (("learning_rate = 0.04", "learning_rate = 0.04\nb1 = nan"), "nan"),
        (("learning_rate = 0.04", "learning_rate = 0.04\nb1 = 1.5"), "1.5"),
        (("optax.adamw", "optax.adamax"), "jumps to |g|"),
        (("steps = 20", 'steps = 20\nmethod = "taylor"'), "log coordinates"),
        (("batch_size = 64", "batch_size = 600\nreplacement = false"), "600"),
        (("breast_cancer", "mnist"), "mnist"),
        (('"ballistic"', '"batch-equivalent"\nladder = [1.0, 0.3]'), "8 steps"[:1]),
    ],
)
def test_finite_sums_and_optax_refused(replacement, found, load):
    assert found in refused(load, replacement, text=FINITE_SUM).found


def test_a_batch_size_must_divide(load):
    regime = ('name = "ballistic"', 'name = "batch-equivalent"\nladder = [1.0, 0.5]')
    load(regime, text=FINITE_SUM)
    odd = ("batch_size = 64", "batch_size = 63")
    assert "31.5 examples" in refused(load, regime, odd, text=FINITE_SUM).found


def test_files_that_cannot_be_read(tmp_path):
    near = tmp_path / "study.toml"
    near.write_bytes(b"seed = 1\nseed = = 2\n")
    with pytest.raises(DriftaxError, match="no such file") as caught:
        load_study(tmp_path / "studi.toml")
    assert caught.value.instead == str(near)
    with pytest.raises(DriftaxError, match="line 2"):
        load_study(near)
    near.write_bytes(b"\xff")
    with pytest.raises(DriftaxError, match="UTF-8"):
        load_study(near)
    with pytest.raises(DriftaxError, match="directory"):
        load_study(tmp_path)


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
