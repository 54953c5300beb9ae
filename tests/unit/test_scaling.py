"""Rules for another batch size: what each of them keeps, and where each is refused."""

import functools
import math
from types import SimpleNamespace

import optax
import pytest

from driftax import DriftaxError, scale
from driftax.scaling import RULES, Settings, ramp
from driftax.scaling.beyond_batch import averaged_params, compressed, longer_training
from driftax.scaling.scaled import apply
from driftax.scaling.snippets import ramp_snippet, snippet

ADAMW = Settings("adamw", 1e-3, 256.0, 0.9, 0.999, 1e-8, 0.1)
SGD = Settings("sgd", 0.1, 256.0, 0.9, weight_decay=1e-4, weight_decay_form="l2")
ALL = {
    "adamw": ADAMW,
    "rmsprop": Settings("rmsprop", 1e-3, 64.0, None, 0.99, 1e-8),
    "lion": Settings("lion", 1e-4, 64.0, 0.9, 0.99, None, 1.0),
    "signsgd": Settings("signsgd", 1e-4, 64.0),
    "sgd": SGD,
}


def moved(settings, kappa, rule, noise_scale=math.nan):
    return apply(rule, settings, kappa, noise_scale).settings


def numbers(settings):
    values = (
        settings.learning_rate,
        settings.b1,
        settings.b2,
        settings.eps,
        settings.weight_decay,
        settings.batch,
    )
    return [value for value in values if value is not None]


APPLY = [(name, rule) for name, settings in ALL.items() for rule in RULES if RULES[rule].applies(settings)]


@pytest.mark.parametrize(("name", "rule"), APPLY)
def test_two_moves_are_one_and_a_move_back_is_none(name, rule):
    settings, noise = ALL[name], 1000.0
    there = moved(settings, 3.0, rule, noise)
    assert numbers(moved(there, 1 / 3.0, rule, noise)) == pytest.approx(numbers(settings))
    assert numbers(moved(there, 2.0, rule, noise)) == pytest.approx(
        numbers(moved(settings, 6.0, rule, noise))
    )


def test_memories_span_the_same_examples():
    for rule in ("linear", "sqrt", "sqrt-decay"):
        new = moved(ADAMW, 4.0, rule)
        assert new.batch / (1 - new.b1) == pytest.approx(ADAMW.batch / (1 - ADAMW.b1))
        assert new.batch / (1 - new.b2) == pytest.approx(ADAMW.batch / (1 - ADAMW.b2))
    assert moved(ALL["lion"], 4.0, "sqrt").b1 == 0.9  # a weight inside the sign
    assert moved(Settings("signum", 1e-4, 64.0, 0.9), 4.0, "sqrt").b1 == 0.9
    assert moved(SGD, 4.0, "linear").b1 == 0.9


def test_what_each_rule_keeps():
    """Drift and noise per example of a normalised step are learning_rate/(B sigma_B) and learning_rate^2/B."""
    root = moved(ADAMW, 4.0, "sqrt-decay")
    assert root.learning_rate**2 / root.batch == pytest.approx(ADAMW.learning_rate**2 / ADAMW.batch)
    decay = ADAMW.learning_rate * ADAMW.weight_decay / ADAMW.batch
    assert root.learning_rate * root.weight_decay / root.batch == pytest.approx(decay)
    span = moved(ADAMW, 4.0, "time-scale")
    assert span.learning_rate * span.weight_decay / span.batch == pytest.approx(decay)
    assert moved(ADAMW, 4.0, "linear").learning_rate / 1024 == pytest.approx(ADAMW.learning_rate / 256)
    assert moved(ADAMW, 4.0, "half-life").b2 == pytest.approx(0.999**4)
    assert root.eps == pytest.approx(5e-9) and moved(ADAMW, 4.0, "linear").eps == 1e-8


def test_rules_of_the_noise_scale():
    near = functools.partial(pytest.approx, rel=1e-4)
    small, large = 1e9, 1e-3  # noise dominates; the gradient does
    assert moved(SGD, 4.0, "noise-scale", small).learning_rate == near(0.4)
    assert moved(SGD, 4.0, "noise-scale", large).learning_rate == near(0.1)
    assert moved(ADAMW, 4.0, "noise-scale", small).learning_rate == near(2e-3)
    assert moved(ADAMW, 4.0, "surge", small).learning_rate == near(2e-3)
    assert moved(ADAMW, 4.0, "surge", large).learning_rate == near(5e-4)


@pytest.mark.parametrize(
    ("rule", "noise_scale", "validity"),
    [
        ("sqrt", 1e5, "ok"),
        ("sqrt", 300.0, "doubtful"),
        ("sqrt", 20.0, "out of range"),
        ("linear", 20.0, "ok"),
        ("linear", 300.0, "doubtful"),
        ("linear", 1e5, "out of range"),
        ("sqrt", None, "doubtful"),
        ("none", 300.0, "doubtful"),
    ],
)
def test_the_noise_scale_says_which_rule_holds(rule, noise_scale, validity):
    found = {one.rule: one for one in scale(ADAMW, to=512, noise_scale=noise_scale)}
    assert found[rule].validity == validity


@pytest.mark.parametrize(
    ("interval", "root", "linear"),
    [
        ((5e3, math.inf), "ok", "out of range"),
        ((20.0, 1e5), "doubtful", "doubtful"),
        ((10.0, 30.0), "out of range", "ok"),
    ],
)
def test_the_interval_of_a_noise_scale_may_leave_the_rule_open(interval, root, linear):
    found = {one.rule: one.validity for one in scale(ADAMW, to=512, interval=interval)}
    assert (found["sqrt"], found["linear"]) == (root, linear)


def test_a_rule_that_leaves_its_range_is_refused_with_those_that_do_not():
    with pytest.raises(DriftaxError, match=r"16 \* \(1 - b1\) = 1.6(.|\n)*half-life"):
        scale(ADAMW, to=4096, rule="sqrt")
    with pytest.raises(DriftaxError, match="not below 1"):
        scale(ADAMW, to=2560, rule="sqrt")  # 10 * (1 - 0.9) is 1 but for rounding
    told = {one.rule: one.validity for one in scale(ADAMW, to=4096)}
    assert told["sqrt"] == told["linear"] == "out of range" != told["half-life"]


@pytest.mark.parametrize(
    ("settings", "more", "words"),
    [
        (SGD, {"rule": "sqrt-decay"}, "no decay beside the step"),
        (SGD, {"rule": "half-life"}, "other optimizers"),
        (ADAMW, {"rule": "surge"}, "--noise-scale"),
        (ADAMW, {"rule": "cubic"}, "no such rule"),
        (ADAMW, {"to": 0.0}, "above 0"),
        (ADAMW, {"to": math.nan}, "above 0"),
        (ADAMW, {"noise_scale": -1.0}, "above 0"),
        ({"name": "adamw", "lr": 1e-3}, {}, "no batch size"),
        ({"name": "adamw", "batch": 32}, {}, "no learning rate"),
        ({"name": "adagrad", "lr": 1e-3, "batch": 32}, {}, "adagrad"),
        ({"name": "adamw", "lr": -1e-3, "batch": 32}, {}, "above 0"),
        ({"name": "adamw", "lr": 1e-3, "batch": 32, "betas": (1.0, 0.9)}, {}, "b1"),
        ({"name": "rmsprop", "lr": 1e-3, "batch": 32, "momentum": 0.9}, {}, "momentum"),
        (optax.adam(1e-3), {"batch": 32}, "cannot be read"),
    ],
)
def test_what_is_refused(settings, more, words):
    with pytest.raises(DriftaxError, match=words):
        scale(settings, **{"to": 512, **more})


def test_settings_from_what_people_have():
    group = {"lr": 1e-3, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "amsgrad": False}
    live = type("AdamW", (SimpleNamespace,), {})(param_groups=[group])
    arguments = {
        "learning_rate": 1e-3,
        "adam_beta2": 0.95,
        "weight_decay": 0.1,
        "per_device_train_batch_size": 16,
    }
    found = [
        scale(live, batch=64, to=128, rule="sqrt")[0].settings,
        scale({"optimizer": "adamw", **group}, batch=64, to=128, rule="sqrt")[0].settings,
        scale({**arguments, "gradient_accumulation_steps": 4}, to=128, rule="sqrt")[0].settings,
    ]
    assert found[0] == found[1] == found[2] and found[0].batch == 128


def test_code_to_paste():
    (found,) = scale(ADAMW, to=1024, rule="sqrt-decay")
    names = {"optax": optax}
    exec(snippet("optax", found.settings), names)
    assert hasattr(names["optimizer"], "update")
    assert "adam_beta1=0.6" in snippet("transformers", found.settings)
    assert "lr=0.002" in snippet("torch", found.settings) and "weight_decay=0.2" in snippet(
        "torch", found.settings
    )
    with pytest.raises(DriftaxError, match="no such optimizer"):
        snippet("torch", ALL["lion"])


@pytest.mark.needs_torch
def test_code_for_torch_makes_the_optimizer():
    import torch

    names = {"torch": torch, "model": torch.nn.Linear(2, 2)}
    for settings in (ADAMW, SGD, ALL["rmsprop"]):
        (found,) = scale(settings, to=settings.batch * 2, rule="sqrt")
        exec(snippet("torch", found.settings), names)
        again = scale(names["optimizer"], batch=found.settings.batch, to=settings.batch, rule="sqrt")[
            0
        ].settings
        assert numbers(again) == pytest.approx(numbers(settings), rel=1e-5)  # six digits of code


def test_a_ramp_goes_from_the_first_settings():
    stages = ramp(ADAMW, [(256.0, 0), (512.0, 100), (1024.0, 300)], "sqrt")
    assert [stage.examples for stage in stages] == [0, 25_600, 25_600 + 102_400]
    assert stages[2].scaled.settings == moved(ADAMW, 4.0, "sqrt")
    names = {}
    exec(ramp_snippet(stages), names)
    optimizer = SimpleNamespace(param_groups=[{"lr": 1.0, "betas": (0.9, 0.999)}])
    names["set_stage"](optimizer, 150)
    assert optimizer.param_groups[0]["weight_decay"] == 0  # a group without decay
    assert optimizer.param_groups[0]["lr"] == pytest.approx(1e-3 * math.sqrt(2), rel=1e-5)
    with pytest.raises(DriftaxError, match="rise from 0"):
        ramp(ADAMW, [(256.0, 5)], "sqrt")


def test_rules_beyond_the_batch():
    assert averaged_params(0.999, 4) == pytest.approx(0.999**4)
    assert longer_training(ADAMW, 4.0).learning_rate == pytest.approx(5e-4)
    assert longer_training(ADAMW, 4.0).weight_decay == pytest.approx(0.05)
    assert compressed(0.1, 3.0) == pytest.approx(0.025)
    for wrong in (
        lambda: averaged_params(1.0, 2),
        lambda: longer_training(SGD, 2.0),
        lambda: compressed(0.1, -1.0),
    ):
        with pytest.raises(DriftaxError):
            wrong()


def test_the_stationary_loss_of_adamw_is_kept_by_the_rule_that_says_so():
    """The closed form on a quadratic, at 4 times the batch: noise over 2."""
    from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary

    def loss(settings, noise):
        rule = AdaptiveRule(settings.learning_rate, settings.b1, settings.b2, settings.weight_decay)
        return float(adaptive_stationary([1.0, 2.0], [noise, noise], rule)["paper"].value.loss)

    base = Settings("adamw", 2e-3, 1.0, 0.95, 0.999, 0.0, 1.0)
    ratios = {
        name: loss(moved(base, 4.0, name), 1.0) / loss(base, 2.0) for name in ("sqrt-decay", "sqrt", "none")
    }
    assert ratios["sqrt-decay"] == pytest.approx(1.0, abs=0.01)
    assert ratios["sqrt"] == pytest.approx(1.40, abs=0.02)
    assert ratios["none"] == pytest.approx(0.70, abs=0.02)
