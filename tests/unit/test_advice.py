"""Forecasts on the surrogate: exact laws where there are closed forms, limits of the rules, and refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from driftax._errors import DriftaxError
from driftax.advice.forecast import forecast, half_time
from driftax.advice.linear import FOREVER, after, built_up, floor, floor_gradient
from driftax.advice.local_model import LocalModel, local_model
from driftax.advice.outcomes import after_changes, after_rules
from driftax.advice.words import answers
from driftax.measurement import estimate, units_of
from driftax.predict.adaptive import AdaptiveRule, equation_variance, frozen_variance
from driftax.predict.stationary import sgd_stationary
from driftax.scaling import Settings, scale
from unit.advice_cases import DEVIATION, measured

CURVATURE, NOISE = np.array([0.5, 2.0]), np.array([3.0, 1.0])


def model(signal=(0.0, 0.0), shares=None, batch=4):
    return LocalModel(CURVATURE, NOISE, np.array(signal), batch, shares)


def adamw(**changed):
    numbers = {"learning_rate": 1e-2, "batch": 4, "b1": 0.9, "b2": 0.999, "weight_decay": 0.5}
    return Settings("adamw", **{**numbers, **changed})


def sgd(rate=0.1, batch=4, momentum=None):
    return Settings("sgd", rate, batch, momentum)


# ------------------------------------------------------------------------------------------- exact laws


@pytest.mark.parametrize("process", ["optimizer", "order 1"])
def test_the_floor_of_sgd_is_its_stationary_law(process):
    law = sgd_stationary(CURVATURE, np.sqrt(NOISE / 4), 0.1)
    known = law["exact" if process == "optimizer" else "order 1"].value.loss
    assert built_up(model(), sgd(), FOREVER, process) == pytest.approx(known, rel=1e-12)


def test_the_floor_of_adamw_is_its_law_at_a_frozen_second_moment():
    rule = AdaptiveRule(1e-2, 0.9, 0.999, 0.5)
    variance = frozen_variance(CURVATURE, np.sqrt(NOISE / 4), rule, second_moment=np.ones(2))
    assert floor(model(), adamw()) == pytest.approx(0.5 * (CURVATURE * variance).sum(), rel=1e-10)


def test_order_1_of_adamw_is_its_consistent_equation():
    rule = AdaptiveRule(1e-2, 0.9, 0.999, 0.5)
    variance = equation_variance(CURVATURE, np.sqrt(NOISE / 4), rule, "consistent", second_moment=np.ones(2))
    found = built_up(model(), adamw(), FOREVER, "order 1")
    assert found == pytest.approx(0.5 * (CURVATURE * variance).sum(), rel=1e-10)


@pytest.mark.parametrize("settings", [sgd(0.1), sgd(0.02, momentum=0.9), adamw(weight_decay=0.0)])
def test_equations_converge_to_the_optimizer_with_their_order(settings):
    """Half the learning rate, a memory as long in time: relative errors fall by 2 and by 4."""
    errors = []
    for s in (0.25, 0.125, 0.0625):
        b1 = None if settings.b1 is None else 1 - s * (1 - settings.b1)
        rate = settings.learning_rate * (s * s if settings.optimizer == "sgd" and b1 else s)
        finer = Settings(settings.optimizer, rate, 4, b1, settings.b2)
        exact = built_up(model(), finer, round(20 / s))
        errors.append(
            [abs(built_up(model(), finer, round(20 / s), f"order {p}") - exact) / exact for p in (1, 2)]
        )
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert orders[-1] == pytest.approx([1, 2], abs=0.15)


def test_mean_and_noise_of_a_run_are_those_of_its_recursion():
    """Enumerated: a chain of means and second moments, step by step."""
    settings, now = sgd(0.3, batch=2), sgd(0.1)
    start = np.diag(floor_gradient(model(), now) / CURVATURE**2)
    place = np.sqrt([0.4, 5.0]) / CURVATURE
    variance, mean = np.diag(start).copy(), place.copy()
    for _ in range(7):
        mean = (1 - 0.3 * CURVATURE) * mean
        variance = (1 - 0.3 * CURVATURE) ** 2 * variance + 0.09 * NOISE / 2
    jitter = floor_gradient(model(), now)
    found = after(model(np.array([0.4, 5.0]) + jitter), settings, 7, now)
    assert found.deviation > 0
    assert found.noise == pytest.approx(0.5 * (CURVATURE * variance).sum(), rel=1e-10)
    assert found.descent == pytest.approx(0.5 * (CURVATURE * (place**2 - mean**2)).sum(), rel=1e-10)


@pytest.mark.parametrize(
    "settings", [adamw(weight_decay=0.5), Settings("sgd", 0.1, 4, weight_decay=0.5, weight_decay_form="l2")]
)
def test_a_decay_pulls_on_a_flat_loss_as_its_iteration_does(settings):
    """The loss g w of a constant gradient g: what the decay takes off it is g w (1 - (1 - lr decay)^k)."""
    flat = replace(model(np.zeros(2)), curvature=np.array([1e-9, 1e-9]), pull=3.0)
    weight = 1.0
    for _ in range(7):
        weight *= 1 - settings.learning_rate * settings.weight_decay
    level = after(flat, settings, 7, settings)
    assert level.pull == pytest.approx(3.0 * (1 - weight), rel=1e-12)
    assert after(replace(flat, pull=math.nan), settings, 7, settings).pull == 0.0


def test_the_pull_of_a_decay_is_carried_with_its_error():
    rows = np.random.default_rng(3).normal(size=(64, 5)) + 1.0
    params = np.arange(5.0)
    units = units_of({"a": rows[:, :2], "b": rows[:, 2:]}, params={"a": params[:2], "b": params[2:]})
    found = estimate(units, tails=False).estimate("params_gradient")
    along = rows @ params
    assert found == pytest.approx((along.mean(), along.std(ddof=1) / 8), rel=1e-12)


def test_a_decay_inside_the_gradient_of_sgd_is_part_of_its_slope():
    """Without momentum: variance lr^2 s^2 / (1 - (1 - lr (h + decay))^2), the loss without the penalty."""
    settings = Settings("sgd", 0.1, 4, weight_decay=0.5, weight_decay_form="l2")
    variance = 0.01 * NOISE / 4 / (1 - (1 - 0.1 * (CURVATURE + 0.5)) ** 2)
    assert floor(model(), settings) == pytest.approx(0.5 * (CURVATURE * variance).sum(), rel=1e-10)


def test_a_settled_run_is_expected_to_stay_where_it_is():
    """The mean over draws of the params from the stationary law: nothing is taken off."""
    now = sgd(0.1)
    jitter = floor_gradient(model(), now)
    draws = np.random.default_rng(0).normal(size=(4000, 2)) ** 2 * jitter
    taken = [after(model(draw), now, 10, now).descent for draw in draws]
    deviation = after(model(jitter), now, 10, now).deviation
    assert abs(np.mean(taken)) < 4.9 * deviation / math.sqrt(len(draws))  # false alarm 1e-6
    assert np.std(taken) == pytest.approx(deviation, rel=0.1)


def test_half_of_the_floor_is_there_at_the_half_time():
    time = half_time(model(), sgd(0.01))
    level = built_up(model(), sgd(0.01), round(time)) / floor(model(), sgd(0.01))
    assert level == pytest.approx(0.5, abs=0.01)


# ------------------------------------------------------------------------------------------- rules


def test_where_noise_dominates_the_square_root_keeps_floor_and_speed():
    settings = adamw(learning_rate=1e-4, weight_decay=0.0, b1=0.99)
    found = measured(mean=0.0)
    assert np.average(found.data["spectrum_share"], weights=found.data["spectrum_noise_at_share"]) > 0.85
    found.data["spectrum_share"][:] = 1.0  # known without error
    rows = {one.name: one for one in after_rules(found, settings, scale(settings, to=16))}
    now, root, linear = rows["now"], rows["sqrt"], rows["linear"]
    assert root.floor.value == pytest.approx(now.floor.value, rel=1e-3)
    assert root.speed.value == pytest.approx(1.0)
    assert linear.floor.value == pytest.approx(2 * now.floor.value, rel=1e-2)
    assert linear.speed.value == pytest.approx(2.0)


def test_steps_grow_with_the_batch_as_far_as_noise_is_divided_by():
    """Coordinates that are all noise, with the noise, and all signal, with the signal."""
    shares = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    assert model(shares=shares).growth(16) == pytest.approx(2.0)
    assert model(shares=shares).signal_growth(16) == 1.0
    assert model().growth(16) == 1.0


def test_where_the_gradient_dominates_linear_keeps_the_speed():
    settings = adamw(learning_rate=1e-4, weight_decay=0.0)
    found = measured(mean=30.0)
    rows = {one.name: one for one in after_rules(found, settings, scale(settings, to=16))}
    assert rows["linear"].speed.value == pytest.approx(1.0, abs=0.03)


def test_beyond_the_edge_nothing_is_forecast():
    found = measured()
    rows = after_changes(found, adamw(learning_rate=2.0, weight_decay=0.0))
    names = {one.name for one in rows if not one.stable}
    assert "learning rate x 2" in names and "now" not in names


# ------------------------------------------------------------------------------------------- the spectrum


def test_the_spectrum_adds_up_and_has_the_first_moment_of_the_noise():
    """With two curvatures the quadrature is exact, but for the draw of mixtures: shares of noise are equal here."""
    found = measured(units=2000).data
    curvature, noise = found["spectrum_curvature"].values, found["spectrum_noise"].values
    assert noise.sum(axis=1) == pytest.approx(float(found["preconditioned_covariance_trace"]))
    sharp = noise[:, curvature > 5].sum(axis=1) / noise.sum(axis=1)
    # A mixture has 10 squared normals of either kind: the deviation of a share is 0.11; false alarm 1e-6.
    shares = DEVIATION[[10, 0]] / DEVIATION[[10, 0]].sum()
    assert sharp.mean() == pytest.approx(shares[0], abs=4.9 * 0.15 / len(noise) ** 0.5)


def test_a_resolved_gradient_is_found_on_its_curvature():
    found = measured(mean=np.repeat([0.0, 3.0], 10)).data
    signal, curvature = found["spectrum_signal"].values, found["spectrum_curvature"].values
    flat = 0.5 / (DEVIATION[0] / 2)  # the curvature of coordinates without a gradient
    assert abs(signal[np.abs(curvature - flat) < 1e-6].sum()) < 0.1 * signal.sum()


# ------------------------------------------------------------------------------------------- what is told


def test_the_forecast_of_a_settled_run_is_told_in_words():
    found, settings = measured(), adamw(learning_rate=1e-2, weight_decay=0.0)
    rows = {one.key: one for one in forecast(found, settings)}
    assert rows["edge"].validity == "ok" and rows["order_2"].value < rows["order_1"].value < 0.05
    assert rows["floor"].low < rows["floor"].value < rows["floor"].high
    questions = [one.question for one in answers(found, list(rows.values()), after_changes(found, settings))]
    assert questions[1] == "What limits it" and len(questions) == 4


@pytest.mark.parametrize(
    ("found", "settings", "words"),
    [
        (lambda: estimate(units_of({"a": np.eye(16)}), tails=False), adamw(), "without curvature"),
        (lambda: measured(preconditioned=False), adamw(), "second moment was not there"),
        (
            lambda: measured(),
            Settings("adam", 1e-3, 4, 0.9, 0.99, weight_decay=0.1, weight_decay_form="l2"),
            "inside",
        ),
        (lambda: measured(), sgd(), "geometry of an adaptive optimizer"),
        (lambda: measured(), Settings("lion", 1e-4, 4, 0.9, 0.99), "no local model of signs"),
    ],
)
def test_measurements_of_another_geometry_are_refused(found, settings, words):
    with pytest.raises(DriftaxError, match=words):
        local_model(found(), settings)


def test_a_loss_that_curves_downwards_alone_is_refused():
    found = measured()
    found.data["spectrum_curvature"][:] = -1.0
    with pytest.raises(DriftaxError, match="no curvature above 0"):
        forecast(found, adamw(weight_decay=0.0))


def test_a_run_beyond_the_edge_is_told_so_and_a_run_of_one_example_is_not_cut_in_four():
    rows = {one.key: one for one in forecast(measured(), adamw(learning_rate=50.0, weight_decay=0.0))}
    assert rows["edge"].validity == rows["floor"].validity == "out of range"
    names = [one.name for one in after_changes(measured(batch=1), adamw(batch=1, weight_decay=0.0))]
    assert "batch / 4" not in names and "batch x 4" in names


def test_geometries_are_not_combined():
    from driftax.measurement import combine

    with pytest.raises(DriftaxError, match="geometry of curvature plain and preconditioned"):
        combine([measured(preconditioned=False), measured()])


@pytest.mark.parametrize(
    ("attrs", "settings", "words"),
    [
        ({"nesterov": 1}, adamw(), "nesterov=True"),
        ({"learning_rates": 2}, adamw(), "learning rates differ"),
        ({}, adamw(learning_rate=1.0, weight_decay=1.0), "learning_rate \\* weight_decay = 1"),
    ],
)
def test_runs_of_another_kind_are_refused(attrs, settings, words):
    found = measured()
    found.data.attrs.update(attrs)
    with pytest.raises(DriftaxError, match=words):
        local_model(found, settings)


def test_nesterov_is_refused_where_only_the_numbers_know_of_it():
    numbers = {"name": "sgd", "lr": 1e-2, "momentum": 0.9, "nesterov": True}
    with pytest.raises(DriftaxError, match="nesterov=True"):
        forecast(measured(preconditioned=False), numbers, batch=4)


def test_a_spectrum_that_is_not_whole_is_refused():
    found = measured()
    found.data["spectrum_noise"][0, 0] = np.nan
    with pytest.raises(DriftaxError, match="not finite"):
        forecast(found, adamw(weight_decay=0.0))
    found.data = found.data.drop_vars("spectrum_signal")
    with pytest.raises(DriftaxError, match="no spectrum_signal"):
        forecast(found, adamw(weight_decay=0.0))


def test_a_forecast_takes_what_scale_takes():
    mapping = {"name": "adamw", "lr": 1e-2, "betas": (0.9, 0.999), "weight_decay": 0.0}
    found = measured()
    told, same = forecast(found, mapping, batch=4), forecast(found, adamw(weight_decay=0.0, eps=1e-8))
    assert str(told) == str(same)  # nan is not nan
