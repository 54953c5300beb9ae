"""Forecasts on the surrogate: exact laws where there are closed forms, limits of the rules, and refusals."""

from __future__ import annotations

import math

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
from unit.advice_cases import measured

CURVATURE, NOISE = np.array([0.5, 2.0]), np.array([3.0, 1.0])


def model(signal=(0.0, 0.0), preconditioned=False, batch=4):
    return LocalModel(CURVATURE, NOISE, np.array(signal), batch, preconditioned)


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
    for s in (0.5, 0.25, 0.125):
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
    assert found.noise == pytest.approx(0.5 * (CURVATURE * variance).sum(), rel=1e-10)
    assert found.descent == pytest.approx(0.5 * (CURVATURE * (place**2 - mean**2)).sum(), rel=1e-10)


def test_half_of_the_floor_is_there_at_the_half_time():
    time = half_time(model(), sgd(0.01))
    level = built_up(model(), sgd(0.01), round(time)) / floor(model(), sgd(0.01))
    assert level == pytest.approx(0.5, abs=0.01)


# ------------------------------------------------------------------------------------------- rules


def test_where_noise_dominates_the_square_root_keeps_floor_and_speed():
    settings = adamw(learning_rate=1e-4, weight_decay=0.0, b1=0.99)
    found = measured(mean=0.0)
    found.data["spectrum_signal"][:] = 0.0
    rows = {one.name: one for one in after_rules(found, settings, scale(settings, to=16))}
    now, root, linear = rows["now"], rows["sqrt"], rows["linear"]
    assert root.floor.value == pytest.approx(now.floor.value, rel=1e-3)
    assert root.speed.value == pytest.approx(1.0)
    assert linear.floor.value == pytest.approx(2 * now.floor.value, rel=1e-2)
    assert linear.speed.value == pytest.approx(2.0)


@pytest.mark.parametrize(("signal", "growth"), [((0.0, 0.0), 2.0), ((1e9, 1e9), 1.0)])
def test_steps_grow_with_the_batch_as_far_as_noise_is_divided_by(signal, growth):
    assert model(signal, preconditioned=True).growth(16) == pytest.approx(growth, rel=1e-6)


def test_where_the_gradient_dominates_linear_keeps_the_speed():
    settings = adamw(learning_rate=1e-4, weight_decay=0.0)
    found = measured(mean=30.0)
    rows = {one.name: one for one in after_rules(found, settings, scale(settings, to=16))}
    assert rows["linear"].speed.value == pytest.approx(1.0, abs=1e-3)


def test_beyond_the_edge_nothing_is_forecast():
    found = measured()
    rows = after_changes(found, adamw(learning_rate=15.0, weight_decay=0.0))
    names = {one.name for one in rows if not one.stable}
    assert "learning rate x 2" in names and "now" not in names


# ------------------------------------------------------------------------------------------- the spectrum


def test_the_spectrum_adds_up_and_has_the_first_moment_of_the_noise():
    """With two curvatures the quadrature is exact, but for the draw of mixtures: their share of noise is 10 : 0.9."""
    found = measured(units=2000).data
    curvature, noise = found["spectrum_curvature"].values, found["spectrum_noise"].values
    assert noise.sum() == pytest.approx(float(found["preconditioned_covariance_trace"]))
    sharp, flat = noise[np.abs(curvature - 2) < 1e-9].sum(), noise[np.abs(curvature - 0.5) < 1e-9].sum()
    assert sharp + flat == pytest.approx(noise.sum(), rel=1e-9)
    # 4 mixtures of 10 coordinates each: a deviation of 0.22 of either part; false alarm 1e-6.
    assert math.log(flat / sharp) == pytest.approx(math.log(10 / 0.9), abs=4.9 * 0.32)


def test_a_resolved_gradient_is_found_on_its_curvature():
    found = measured(mean=np.repeat([0.0, 3.0], 10)).data
    signal, curvature = found["spectrum_signal"].values, found["spectrum_curvature"].values
    assert signal[np.abs(curvature - 2) < 1e-9].sum() > 0.95 * signal.sum()


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
        (lambda: measured(), sgd(), "geometry of an adaptive optimizer"),
        (lambda: measured(), Settings("lion", 1e-4, 4, 0.9, 0.99), "no local model of signs"),
    ],
)
def test_measurements_of_another_geometry_are_refused(found, settings, words):
    with pytest.raises(DriftaxError, match=words):
        local_model(found(), settings)
