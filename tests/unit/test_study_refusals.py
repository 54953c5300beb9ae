"""The study file: how it refuses."""

from __future__ import annotations

import pytest

from driftax import DriftaxError
from driftax.study.spec import load_study
from unit.study_files import FINITE_SUM, reader, refused


@pytest.fixture
def load(tmp_path):
    return reader(tmp_path)


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
