"""The mean sign, the phases of SignSGD and the bounds on its loss against exact and known numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax.predict import Validity
from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary
from driftax.predict.loss_bounds import (
    adaptive_bound,
    phase_1_bound,
    phase_2_bound,
    phase_3_bound,
    secant_bound,
    sgd_bound,
)
from driftax.predict.phases import (
    CHORD,
    CHORD_OFFSET,
    TANGENT_OFFSET,
    phase_1_params,
    phase_3_moments,
    phase_of,
    phase_step,
)
from driftax.predict.sign_law import mean_sign, slope, slope_at
from driftax.predict.stationary import sgd_stationary
from oracle.sign_lattice import stationary_variance
from unit.predict_cases import H

# --- the sign law and the phases ---------------------------------------------------------------------------


def test_slopes_of_the_table():
    table = {1: 0.636619772, 2: 0.707106781, 3: 0.735105194, 4: 0.75, 5: 0.759213380, 10: 0.778216768}
    for dof, value in {**table, math.inf: 0.797884561}.items():
        assert slope(dof) == pytest.approx(value, abs=6e-10)
    assert slope(1e7) == pytest.approx(slope(9.9e5), rel=1e-6)


@pytest.mark.parametrize("dof", [0.5, 1.0, 2.0, 3.0, 7.5, math.inf])
def test_the_mean_sign_and_its_slope(dof):
    from scipy import stats

    y = np.array([-4.0, -0.7, 1e-9, 0.3, 2.0])
    law = stats.norm() if math.isinf(dof) else stats.t(dof)
    far = np.abs(y) > 1e-6
    assert mean_sign(y, dof)[far] == pytest.approx(2 * law.cdf(y[far]) - 1, rel=1e-9)
    assert mean_sign(y, dof)[2] == pytest.approx(slope(dof) * 1e-9, rel=1e-9)
    assert slope_at(y, dof) == pytest.approx(2 * law.pdf(y), rel=1e-9)


def test_closed_forms_of_cauchy_and_two_degrees():
    y = np.array([0.7, 3.0])
    assert mean_sign(y, 1) == pytest.approx(2 / np.pi * np.arctan(y), rel=1e-12)
    assert mean_sign(y, 2) == pytest.approx(y / np.sqrt(2 + y**2), rel=1e-12)


def test_the_constants_of_phase_2():
    found = (CHORD, CHORD_OFFSET, TANGENT_OFFSET, TANGENT_OFFSET - CHORD_OFFSET)
    assert found == pytest.approx((0.246808707, 0.595892086, 0.614477873, 0.018586), abs=1e-6)
    y = np.linspace(1.0, 1.5, 1001)
    exact = mean_sign(math.sqrt(2) * y)
    assert np.all(exact >= CHORD * y + CHORD_OFFSET - 1e-12)
    assert np.all(exact <= CHORD * y + TANGENT_OFFSET + 1e-12)


def test_the_phase_of_a_coordinate():
    assert list(phase_of([-2.0, 1.5, 1.2, -1.0, 0.99, 0.0])) == [1, 2, 2, 2, 3, 3]


def test_the_step_of_every_phase_holds_the_exact_one():
    told = phase_step(math.sqrt(2) * np.array([2.0, -2.0, 1.2, -1.2, 0.1, -0.1]), 1.0)
    step = told.value
    assert list(step.phase) == [1, 1, 2, 2, 3, 3]
    assert np.max(np.abs(step.drift_low - step.drift)) < 0.02
    band = step.phase == 2
    for low, exact, high in (
        (step.drift_low, step.drift, step.drift_high),
        (step.variance_low, step.variance, step.variance_high),
    ):
        assert np.all((low <= exact)[band] & (exact <= high)[band])
    assert told.validity is Validity.OK
    assert "|Y|" in told.reason


@pytest.mark.parametrize(
    ("ratio", "percent", "validity"),
    [
        (0.1, 0.33, "ok"),
        (0.25, 2.1, "ok"),
        (0.5, 8.4, "doubtful"),
        (0.75, 19, "doubtful"),
        (1 - 1e-9, 33.9, "out of range"),
    ],
)
def test_the_linearisation_error_of_phase_3(ratio, percent, validity):
    told = phase_step(math.sqrt(2) * ratio, 1.0)
    step = told.value
    assert 100 * (step.drift_low / step.drift - 1)[0] == pytest.approx(percent, rel=0.02)
    assert told.validity.value == validity
    assert (step.variance_low[0] < 0) == (ratio > 0.8863)


# --- bounds ------------------------------------------------------------------------------------------------


def test_the_known_check_of_phase_1():
    x = phase_1_params(0.9, [1.0, 1.0])
    assert 0.5 * float(H @ x**2) == pytest.approx(0.015, abs=1e-12)
    sharp, paper = (phase_1_bound(0.9, 1.5, 1.0, 1.4, sharp=flag) for flag in (True, False))
    assert (float(sharp.value), float(paper.value)) == pytest.approx((0.346, 0.600), abs=6e-4)
    assert sharp.validity is Validity.OUT_OF_RANGE  # the smallest |Y| is below 3/2
    assert phase_1_bound(0.9, 1.5, 1.0, 2.0).validity is Validity.OK
    late = phase_1_bound(9.0, 1.5, 1.0, 2.0)
    assert late.value == 0.0 and late.validity is Validity.OUT_OF_RANGE


@pytest.mark.parametrize(
    ("time", "measured", "linear", "bound"),
    [
        (1.2, 0.09480, 0.09364, 0.15525),
        (3.6, 0.02027, 0.01994, 0.03880),
        (7.2, 0.01309, 0.01287, 0.01989),
        (12.0, 0.01254, 0.01250, 0.01879),
    ],
)
def test_the_known_check_of_phase_3(time, measured, linear, bound):
    told = phase_3_moments(time, [0.5, 0.5], H, 2.0, 1e-2)
    assert 0.5 * float(H @ told.value[1]) == pytest.approx(linear, abs=6e-6)
    assert told.value[0] == pytest.approx(0.5 * np.exp(-slope() * H / 2 * time))
    found = phase_3_bound(time, 0.375, 1.0, 3.0, 2.0, 1e-2)
    assert float(found.value) == pytest.approx(bound, abs=6e-6)
    assert found.value > measured
    assert float(secant_bound(time, 0.375, 1.0, 3.0, 2.0, 1e-2, 0.5).value) > found.value


def test_the_phase_3_bound_is_one_of_its_linear_equation_only():
    """In one dimension it lies below the exact loss, the secant bound above."""
    exact = 0.5 * stationary_variance(0.1, 1.0, 1.0)
    linear = phase_3_bound(math.inf, 0.0, 1.0, 1.0, 1.0, 0.1)
    assert linear.value < exact
    deviation = math.sqrt(2 * exact)
    assert secant_bound(math.inf, 0.0, 1.0, 1.0, 1.0, 0.1, 6 * deviation / math.sqrt(2)).value > exact


def test_the_phase_2_bound_against_the_equation():
    """One coordinate of curvature 1, from |Y| = 1.5 down to 1: the loss of the mean path of erf."""
    noise, eta = 1.0, 1e-3
    x, time = 1.5 * math.sqrt(2), 0.0
    while x > math.sqrt(2):
        x, time = x - 1e-4 * float(mean_sign(x)), time + 1e-4
    told = phase_2_bound(time, 0.5 * (1.5 * math.sqrt(2)) ** 2, 1.0, 1.0, noise, eta, 1, 1.0, 1.5)
    assert told.value > 0.5 * x**2
    assert told.validity is Validity.OK
    assert phase_2_bound(time, 2.25, 1.0, 1.0, noise, eta, 1, 0.5, 1.5).validity is Validity.OUT_OF_RANGE


def test_bounds_of_sgd_and_adam_are_exact_for_one_curvature():
    law = sgd_stationary([2.0, 2.0], 0.5, 1e-2)["order 1"].value
    assert float(sgd_bound(math.inf, 0.0, 2.0, 4.0, 0.5, 1e-2).value) == pytest.approx(law.loss)
    rule = AdaptiveRule(1e-2, 0.9, weight_decay=0.5)
    law = adaptive_stationary([2.0, 2.0], 0.5, rule)["paper"].value
    told = adaptive_bound(2.0, 2.0, 4.0, 0.5, 1e-2, 0.9, 0.5)
    assert told.value == pytest.approx(law.loss)
    assert (
        told.validity is Validity.DOUBTFUL
    )  # learning_rate * weight_decay / (1 - b1) = 0.05, and a little more
    spread = adaptive_stationary(H, 0.5, rule)["paper"].value.loss
    assert adaptive_bound(1.0, 2.0, 3.0, 0.5, 1e-2, 0.9, 0.5).value >= spread
