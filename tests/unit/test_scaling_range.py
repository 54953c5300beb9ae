"""Rules for another batch size: where each leaves its range, and what it changes though it should keep it."""

import math
from types import SimpleNamespace

import numpy as np
import optax
import pytest

from driftax import DriftaxError, scale
from driftax.scaling import RULES, Settings
from driftax.scaling.beyond_batch import critical_batch
from driftax.scaling.doubts import lion_noise, variance_factor

ADAMW = Settings("adamw", 1e-3, 256, 0.9, 0.999, 1e-8, 0.1)
LION = Settings("lion", 1e-4, 64, 0.9, 0.99, None, 1.0)
SGD = Settings("sgd", 0.1, 256, 0.9)
STRONG = Settings("adamw", 2e-3, 1, 0.95, 0.999, 0.0, 1.0)  # theory's setting, decay 1
NOISY = 1e9  # a noise scale


def only(settings, to, rule, **more):
    (found,) = scale(settings, to=to, rule=rule, **more)
    return found


def every(settings, to, **more):
    return {one.rule: one for one in scale(settings, to=to, **more)}


def refused(*args, **more):
    with pytest.raises(DriftaxError) as error:
        scale(*args, **more)
    return error.value


@pytest.mark.parametrize(
    ("rate", "decay", "to", "lost"),
    [
        (0.3, 1.0, 1024, {"linear", "sqrt-decay", "time-scale"}),  # 1.2, and sqrt: 0.6
        (0.25, 1.0, 1024, {"linear", "sqrt-decay", "time-scale"}),  # exactly 1
        (0.2, 1.0, 1024, set()),
        (2.0, 1.0, 512, set(RULES) - {"noise-scale", "surge"}),
    ],
)
def test_a_decay_that_flips_signs_is_out_of_range(rate, decay, to, lost):
    found = every(Settings("adamw", rate, 256, 0.9, 0.999, 1e-8, decay), to)
    assert {name for name, one in found.items() if one.validity == "out of range"} == lost
    assert all("flips" in found[name].reason for name in lost)


def test_a_refusal_of_a_decay_says_what_to_write():
    one = refused(Settings("adamw", 0.3, 256, 0.9, 0.999, 1e-8, 1.0), to=1024, rule="sqrt-decay")
    assert "1.2, not below 1" in one.found and one.instead.startswith(
        "a smaller weight_decay, or one of none"
    )
    none_left = refused(Settings("adamw", 2.0, 256, 0.9, 0.999, 1e-8, 1.0), to=512, rule="sqrt")
    assert none_left.instead == "a smaller weight_decay"


@pytest.mark.parametrize(
    ("settings", "to", "batch", "kappa"),
    [
        (ADAMW, 4096, 2560, "10"),
        (ADAMW, 2560, 2560, "10"),  # 10 * (1 - 0.9) is 1 but for rounding
        (Settings("adam", 1e-3, 100, 0.97, 0.9), 4000, 1000, "10"),  # b2 leaves first
        (Settings("adam", 1e-3, 100, 0.97, 0.999), 4000, 3334, "33.3"),
    ],
)
def test_a_refusal_names_the_batch_below_which_a_rule_is_in_range(settings, to, batch, kappa):
    one = refused(settings, to=to, rule="sqrt")
    assert f"below batch {batch}, kappa < {kappa})" in one.found
    assert one.instead.startswith(f"a batch below {batch}, or one of none, half-life")
    assert only(settings, batch - 1, "sqrt").validity == "doubtful"  # no noise scale


@pytest.mark.parametrize(
    "wrong", [{"batch": 1.5, "to": 4}, {"batch": 4, "to": 1.5}, {"batch": 4, "to": math.inf}]
)
def test_batches_are_whole_numbers(wrong):
    one = refused({"name": "adamw", "lr": 1e-3}, **wrong)
    assert "whole number" in one.found + one.instead
    assert every(ADAMW, 512, noise_scale=12.5)["surge"].settings.batch == 512
    assert only(Settings("sgd", 0.1, 49), 1, "linear").settings.checked().batch == 1  # not 49 * (1 / 49)


def group(**more):
    return {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1, **more}


def live(*groups):
    return type("AdamW", (SimpleNamespace,), {})(param_groups=list(groups))


def test_every_parameter_group_is_scaled_where_they_differ():
    found = scale(
        live(group(), group(weight_decay=0.0), group(lr=1e-4)), batch=256, to=1024, rule="sqrt-decay"
    )
    assert [one.group for one in found] == [0, 1, 2]
    assert [one.settings.weight_decay for one in found] == pytest.approx([0.2, 0.0, 0.2])
    assert [one.settings.learning_rate for one in found] == pytest.approx([2e-3, 2e-3, 2e-4])
    (same,) = scale(live(group(), group(params=[1])), batch=256, to=1024, rule="sqrt-decay")
    assert same.group is None


def test_half_life_moves_b1_where_asked():
    assert only(ADAMW, 1024, "half-life").settings.b1 == 0.9
    assert "half-life-b1" in only(ADAMW, 1024, "half-life").reason
    moved = only(ADAMW, 1024, "half-life-b1").settings
    assert (moved.b1, moved.b2) == pytest.approx((0.9**4, 0.999**4))
    plain = only(SGD, 1024, "half-life-b1")
    assert plain.settings.b1 == pytest.approx(0.9**4) and "from 1 to 0.291" in plain.reason
    assert only(Settings("signum", 1e-4, 64, 0.9), 128, "half-life-b1").settings.b1 == pytest.approx(0.81)
    assert "half-life-b1" not in every(LION, 128)


def test_what_is_kept_is_said():
    assert "the momentum is kept" in only(SGD, 512, "linear").reason
    assert "momentum" not in only(Settings("sgd", 0.1, 256), 512, "linear").reason
    assert "b1 inside the sign is kept" in only(Settings("signum", 1e-4, 64, 0.9), 128, "sqrt").reason


@pytest.mark.parametrize(
    ("b1", "b2", "kappa", "ratio"), [(0.9, 0.99, 2, 1.137), (0.9, 0.99, 4, 1.373), (0.95, 0.98, 4, 1.858)]
)
def test_the_square_root_changes_the_noise_inside_the_sign_of_lion(b1, b2, kappa, ratio):
    old = Settings("lion", 1e-4, 64, b1, b2)
    found = only(old, 64 * kappa, "sqrt", noise_scale=NOISY)
    assert lion_noise(found.settings) / lion_noise(old) == pytest.approx(ratio, abs=1e-3)
    assert found.validity == "doubtful" and f"{ratio:.3g} times" in found.reason
    average = (1 - b2) * b2 ** np.arange(5000)  # the weights of past gradients
    weights = np.concatenate([[1 - b1], b1 * average])
    assert lion_noise(old) == pytest.approx(np.sqrt(np.sum(weights**2)))


def test_lion_with_little_change_is_as_valid_as_the_regime_says():
    assert only(Settings("lion", 1e-4, 64, 0.5, 0.99), 128, "sqrt", noise_scale=NOISY).validity == "ok"


@pytest.mark.parametrize(("kappa", "after", "before"), [(4, -0.0037, 0.00575), (16, -0.0035, 0.0455)])
def test_the_loss_that_sqrt_decay_keeps_depends_on_the_order_of_decay_and_step(kappa, after, before):
    from driftax.predict.adaptive import AdaptiveRule
    from driftax.predict.batch_size import RULES as POWERS
    from driftax.predict.batch_size import loss_ratio

    for decay_after, change in ((True, after), (False, before)):
        rule = AdaptiveRule(2e-3, 0.95, 0.999, 1.0, decay_after=decay_after)
        ratio = loss_ratio([1.0, 2.0], [2.0, 2.0], rule, kappa, POWERS["sqrt-decay"])["refined"].value
        assert ratio - 1 == pytest.approx(change, abs=2e-4)
    new = only(STRONG, kappa, "sqrt-decay").settings
    told = variance_factor(new) / variance_factor(STRONG) - 1  # of params with little curvature
    assert told == pytest.approx(before, rel=0.12)


@pytest.mark.parametrize(
    ("settings", "to", "validity"),
    [(STRONG, 4, "ok"), (STRONG, 16, "doubtful"), (ADAMW, 1024, "ok"), (LION, 128, "doubtful")],
)
def test_sqrt_decay_is_doubtful_where_the_order_matters(settings, to, validity):
    found = only(settings, to, "sqrt-decay", noise_scale=NOISY)
    assert found.validity == validity
    assert ("+4.1%" in found.reason and "kappa * (1 - b1) = 0.8" in found.reason) == (to == 16)


def test_a_critical_batch_grows_as_the_root_of_the_examples():
    assert critical_batch(1000, 4) == pytest.approx(2000)
    with pytest.raises(DriftaxError, match="above 0"):
        critical_batch(1000, 0)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (optax.adamw(1e-3), "cannot be read"),
        ({"name": "adamw", "lr": optax.constant_schedule(1e-3)}, "no number"),
        ({"name": "adamw", "lr": 1e-3, "betas": 0.9}, "betas = 0.9"),
    ],
)
def test_numbers_that_cannot_be_read_are_refused_with_what_to_write(given, found):
    one = refused(given, batch=32, to=64)
    assert one.asked == "the settings of an optimizer" and found in one.found
    assert '"lr": 1e-3' in one.instead or "at the step" in one.instead or "(0.9, 0.999)" in one.instead
