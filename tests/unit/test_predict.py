"""Batch sizes, relaxation, schedules and tails; verdicts and wrong input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.predict import Prediction, Validity
from driftax.predict import tables as known
from driftax.predict._value import beside, judged
from driftax.predict.adaptive import AdaptiveRule, equation_variance, refined_variance
from driftax.predict.batch_size import RULES, loss_ratio, moved
from driftax.predict.loss_bounds import adaptive_bound, sgd_bound
from driftax.predict.phases import phase_of
from driftax.predict.problem import Problem, predictions
from driftax.predict.relaxation import (
    adaptive_relaxation,
    memory,
    sgd_relaxation,
    signsgd_descent,
    signsgd_relaxation,
)
from driftax.predict.schedules import level_per_factor, relaxing, sgd_schedule_loss, signsgd_schedule_loss
from driftax.predict.sign_law import slope
from driftax.predict.stationary import sgd_covariance, sgd_stationary, signsgd_stationary
from driftax.predict.tails import largest_step, moments, sgd_keeps, signsgd_keeps
from unit.predict_cases import H, rows_of

# --- batch sizes, relaxation, schedules, tails -------------------------------------------------------------


@pytest.mark.parametrize("place", range(32))
def test_the_table_of_batch_sizes(place):
    row = rows_of(known.batch_table)[place]
    if row["known: paper ratio"] is not None:
        assert row["paper ratio"] == pytest.approx(row["known: paper ratio"], abs=6e-3)
    if row["measured ratio"] is not None:
        # Standard errors are 0.9 % of a ratio at most; second moments fluctuate by 1 - b2 = 1.6 % at 16 batches.
        assert row["refined, decay after the step"] == pytest.approx(row["measured ratio"], rel=0.02)


def test_the_known_residual_of_the_refined_ratio():
    rule = AdaptiveRule(2e-3, 0.95, 0.999, 1.0, decay_after=True)
    for growth, percent in ((4, -0.37), (16, -0.35)):
        ratio = loss_ratio(H, 2.0, rule, growth, RULES["sqrt-decay"])
        assert 100 * (ratio["refined"].value - 1) == pytest.approx(percent, abs=6e-3)
        assert ratio["paper"].value == pytest.approx(1.0)


def test_a_rule_that_leaves_its_range_is_refused():
    with pytest.raises(DriftaxError, match="0.9 \\*\\*|b1 \\*\\*"):
        moved(AdaptiveRule(1e-3, 0.9), 16, RULES["sqrt"])


def test_relaxation_of_sgd_and_adam():
    assert sgd_relaxation(H, 0.1).value == pytest.approx(-1 / np.log([0.9, 0.8]))
    assert sgd_relaxation(1.0, 2.1).validity is Validity.OUT_OF_RANGE
    rule = AdaptiveRule(1e-2, 0.9, weight_decay=0.5)
    steps = adaptive_relaxation(1.0, 1.0, rule)
    v = 1 + refined_variance(1.0, 1.0, rule)[0]
    a = 1e-2 / math.sqrt(v)
    matrix = np.array([[1 - 5e-3 - a * 0.1, -a * 0.9], [0.1, 0.9]])
    radius = np.max(np.abs(np.linalg.eigvals(matrix)))
    assert steps["spectral"].value[0] == pytest.approx(-1 / math.log(radius))
    assert steps["paper"].value[0] == pytest.approx(1 / (1e-2 * 1.5))
    assert memory(0.0) == 0.0


def test_relaxation_of_signsgd():
    told = signsgd_relaxation(H, 0.5, 1e-2)
    assert told.value == pytest.approx(1 / (1e-2 * slope() * H / 0.5))
    assert told.validity is Validity.OK
    assert signsgd_relaxation(H, 0.5, 1e-2, gradient=[0.1, 3.0]).validity is Validity.OUT_OF_RANGE
    assert signsgd_descent(1.0, 1e-2, 2.0).value == pytest.approx(100)


def test_a_constant_schedule_is_relaxation():
    times = np.array([0.5, 1.0, 7.0])
    found = relaxing(times, [2.0], [0.8], [0.3], lambda t: np.ones_like(t))
    level = 0.3 / 0.8
    assert found[:, 0] == pytest.approx(level + (2 - level) * np.exp(-0.8 * times), rel=1e-12)


@pytest.mark.parametrize(
    "factor", [lambda t: (t + 1) ** -0.5, lambda t: np.where(t < 2, t / 2, np.exp(2 - t))]
)
def test_schedules_against_fine_steps(factor):
    steps, end = 40000, 6.0
    width, value, t = end / steps, 1.5, 0.0
    for k in range(steps):
        t = (k + 0.5) * width
        eta = float(factor(np.array(t)))
        half = 1 - 0.5 * width * 0.8 * eta
        value = (value * half + width * 0.3 * eta**2) / (2 - half)  # trapezoid in the decay
    found = relaxing([end], 1.5, 0.8, 0.3, factor)
    assert found[0, 0] == pytest.approx(value, rel=1e-6)


def test_the_known_levels_of_falling_schedules():
    levels = [level_per_factor(H, 2.0, 1e-2, name) for name in ("signsgd", "sgd")]
    assert levels == pytest.approx([0.01253, 0.0200], abs=6e-6)
    factor, times = (lambda t: (t + 1) ** -0.5), np.array([60.0, 4000.0])
    for function, level in ((signsgd_schedule_loss, levels[0]), (sgd_schedule_loss, levels[1])):
        told = function(times, [0.5, 0.5], H, 2.0, 1e-2, factor)
        ratio = told.value / factor(times)
        assert level < ratio[1] < ratio[0] < 1.2 * level
        assert ratio[1] == pytest.approx(level, rel=0.02)
        assert told.validity is Validity.OK
    assert math.isinf(sgd_schedule_loss(times, 0.5, H, 2.0, 1e-2, factor, dof=1.5).value[0])


def test_tails():
    assert moments("sgd", 1.5) == (1.5, 1.5, math.inf)
    assert moments("signsgd", 1.0) == (1.0, math.inf, 1.0)
    assert moments("adamw", 1.0, 0.9, 0.999).params == math.inf
    assert moments("adam", 1.0, 0.9, 0.5).params == 1.0
    assert moments("rmsprop", 1.0, updated=False).params == 1.0
    assert signsgd_keeps(1).value == pytest.approx(1.2533, abs=1e-4)
    assert sgd_keeps(3).value == 3.0
    assert sgd_keeps(2).validity is Validity.OUT_OF_RANGE


@pytest.mark.parametrize(("b1", "b2"), [(0.0, 0.9), (0.5, 0.9), (0.9, 0.99)])
def test_the_largest_step_is_attained(b1, b2):
    age = np.arange(3000)
    gradients = (b1 / b2) ** age if b1 else (age == 0).astype(float)
    m, v = (1 - b1) * b1**age @ gradients, (1 - b2) * b2**age @ gradients**2
    assert m / math.sqrt(v) == pytest.approx(largest_step(b1, b2), rel=1e-9)


# --- verdicts and wrong input ------------------------------------------------------------------------------


def test_the_verdict_follows_the_worst_coordinate():
    assert judged(1.0, [0.0, 0.05], "", "").validity is Validity.OK
    assert judged(1.0, [0.0, -0.2], "", "").validity is Validity.DOUBTFUL
    assert judged(1.0, [0.0, math.nan], "", "").validity is Validity.OUT_OF_RANGE
    told = beside([1.0, 1.1], [1.0, 1.0], "the truth", "h = 1", "me")
    assert told.validity is Validity.DOUBTFUL and told.reason == "+10 % from the truth; h = 1"


def test_everything_is_predicted_for_every_optimizer():
    for name in ("sgd", "signsgd", "rmsprop", "rmspropw", "adam", "adamw"):
        found = predictions(Problem(name, 1e-3, [1.0, 2.0], 0.5, 4))
        assert set(found) == {"phases", "stationary", "relaxation", "bounds", "tails"}
        for part in found.values():
            assert part
            assert all(isinstance(told, Prediction) and told.reason and told.source for told in part.values())


WRONG = {
    "negative": lambda: sgd_stationary(-1.0, 1.0, 0.1),
    "nan": lambda: signsgd_stationary(1.0, math.nan, 0.1),
    "word": lambda: signsgd_stationary(1.0, "large", 0.1),
    "lengths": lambda: sgd_stationary([1.0, 2.0], [1.0, 1.0, 1.0], 0.1),
    "empty": lambda: phase_of([]),
    "dof": lambda: slope(-1),
    "beta": lambda: AdaptiveRule(1e-3, 1.0),
    "form": lambda: AdaptiveRule(1e-3, weight_decay_form="L3"),
    "strong decay": lambda: AdaptiveRule(1.0, weight_decay=1.0),
    "sign and strong decay": lambda: signsgd_stationary(1.0, 1.0, 1.0, 1.0),
    "no moment": lambda: equation_variance(1.0, 1.0, AdaptiveRule(1e-3)),
    "divergent matrix": lambda: sgd_covariance(np.eye(2), np.eye(2), 2.0),
    "smoothness": lambda: adaptive_bound(2.0, 1.0, 3.0, 1.0, 0.1),
    "time": lambda: sgd_bound(-1.0, 1.0, 1.0, 1.0, 1.0, 0.1),
    "times": lambda: relaxing([1.0, 1.0], 1.0, 1.0, 1.0, lambda t: 1.0),
    "factor": lambda: relaxing([1.0], 1.0, 1.0, 1.0, lambda t: -t),
    "level": lambda: level_per_factor(1.0, 1.0, 0.1, "adam"),
    "optimizer": lambda: Problem("lion", 1e-3, 1.0, 1.0),
    "moments": lambda: moments("lion"),
    "b1 of sgd": lambda: Problem("sgd", 1e-3, 1.0, 1.0, b1=0.9),
    "batch of Student": lambda: Problem("sgd", 1e-3, 1.0, 1.0, batch=2, dof=3),
    "half a gradient": lambda: Problem("sgd", 1e-3, 1.0, 1.0, batch=1.5),
    "gradients": lambda: Problem("sgd", 1e-3, 1.0, 1.0, gradient=[1.0, 2.0]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused_in_three_parts(name):
    with pytest.raises(DriftaxError) as caught:
        WRONG[name]()
    assert caught.value.asked and caught.value.found and caught.value.instead
