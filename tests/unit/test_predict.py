"""Predictions against exact laws, independent recursions and the known tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.predict import Prediction, Validity
from driftax.predict import tables as known
from driftax.predict._value import beside, judged
from driftax.predict.adaptive import (
    AdaptiveRule,
    adaptive_stationary,
    decay_forms,
    equation_variance,
    frozen_variance,
    paper_variance,
    refined_variance,
)
from driftax.predict.batch_size import RULES, loss_ratio, moved
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
from driftax.predict.problem import Problem, predictions
from driftax.predict.relaxation import (
    adaptive_relaxation,
    memory,
    sgd_relaxation,
    signsgd_descent,
    signsgd_relaxation,
)
from driftax.predict.schedules import level_per_factor, relaxing, sgd_schedule_loss, signsgd_schedule_loss
from driftax.predict.sign_law import mean_sign, slope, slope_at
from driftax.predict.stationary import (
    erf_equation_variance,
    sgd_covariance,
    sgd_stationary,
    signsgd_stationary,
)
from driftax.predict.tails import largest_step, moments, sgd_keeps, signsgd_keeps
from oracle.sign_lattice import stationary_variance

H = np.array([1.0, 2.0])


@cache
def rows_of(compute: Callable[[], known.RecomputedTable]) -> list[dict]:
    table = compute()
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


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


# --- SGD ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [1e-2, 0.5, 0.9])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_sgd_against_its_recursion(eta, decay):
    h, s, minimum = H, np.array([0.5, 3.0]), np.array([1.0, -2.0])
    mean, variance = np.zeros(2), np.zeros(2)
    for _ in range(4000):
        mean = mean - eta * (h * (mean - minimum) + decay * mean)
        variance = (1 - eta * (h + decay)) ** 2 * variance + eta**2 * s**2
    laws = sgd_stationary(h, s, eta, decay, minimum)
    assert laws["exact"].value.mean == pytest.approx(mean)
    assert laws["exact"].value.variance == pytest.approx(variance)
    assert laws["exact"].value.loss == pytest.approx(0.5 * float(h @ (variance + (mean - minimum) ** 2)))


def test_the_equations_of_sgd():
    """Ornstein-Uhlenbeck with drift -a x and noise eta s^2: variance eta s^2 / (2 a)."""
    eta, h, s = 0.05, 1.5, 0.7
    drifts = {"order 1": h, "order 2": h + eta / 2 * h**2, "stability": h - eta / 2 * h**2}
    laws = sgd_stationary(h, s, eta)
    for name, a in drifts.items():
        assert laws[name].value.variance[0] == pytest.approx(eta * s**2 / (2 * a))
    exact = laws["exact"].value.variance[0]
    assert laws["stability"].value.variance[0] == pytest.approx(exact)
    half = eta * h / 2
    assert laws["order 1"].value.variance[0] / exact - 1 == pytest.approx(-half)
    assert laws["order 2"].value.variance[0] / exact - 1 == pytest.approx(-2 * half, rel=half)


def test_sgd_covariance_of_a_matrix():
    h, s = np.array([[1.0, 0.5], [0.5, 1.0]]), np.array([[1.0, -0.2], [-0.2, 2.0]])
    p = sgd_covariance(h, s, 0.1)
    a = np.eye(2) - 0.1 * h
    assert p == pytest.approx(a @ p @ a.T + 0.01 * s)
    assert sgd_covariance(np.diag(H), np.diag(H), 0.1).diagonal() == pytest.approx(
        sgd_stationary(H, np.sqrt(H), 0.1)["exact"].value.variance
    )


def test_where_sgd_has_no_stationary_law():
    assert all(p.validity is Validity.OUT_OF_RANGE for p in sgd_stationary(1.0, 1.0, 2.0).values())
    heavy = sgd_stationary(1.0, 1.0, 0.1, dof=2)
    assert math.isinf(heavy["exact"].value.variance[0]) and heavy["exact"].value.mean[0] == 0.0
    assert "dof = 2" in heavy["exact"].reason
    assert math.isnan(sgd_stationary(1.0, 1.0, 0.1, dof=1)["exact"].value.mean[0])
    light = sgd_stationary(1.0, 1.0, 0.1, dof=4)["exact"].value.variance
    assert light == pytest.approx(2 * sgd_stationary(1.0, 1.0, 0.1)["exact"].value.variance)


# --- SignSGD -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", range(5))
def test_the_table_of_signsgd(place):
    row = rows_of(known.sign_table)[place]
    arguments = tuple(row[name] for name in ("learning rate", "curvature", "noise"))
    assert stationary_variance(*arguments) == pytest.approx(
        row["exact variance"], rel=1e-11 if place < 4 else 1e-5
    )
    coarse = place == 4
    tolerance = {"leading %": 0.5 if coarse else 6e-3, "paper %": 0.5 if coarse else 6e-3}
    tolerance |= {"erf equation %": 0.5 if coarse else 6e-3, "closure %": 0.06 if coarse else 6e-4}
    for name, allowed in tolerance.items():
        assert row[name] == pytest.approx(row[f"known: {name}"], abs=allowed)


@pytest.mark.parametrize("place", range(4))
def test_the_table_of_student_noise(place):
    row = rows_of(known.student_table)[place]
    assert stationary_variance(1e-2, 1.0, 1.0, row["dof"]) == pytest.approx(row["exact variance"], rel=1e-9)
    assert row["leading %"] == pytest.approx(row["known: leading %"], abs=6e-3)
    assert abs(row["closure %"]) < 0.003


def test_the_boxed_closed_form():
    eta, h, s = 0.3, 2.0, 0.7
    r = eta * h / (2 * s) * math.sqrt(math.pi / 2)
    boxed = s**2 / h**2 * (r * math.sqrt(1 + r**2 / 4) + r**2 / 2)
    assert signsgd_stationary(h, s, eta)["closure"].value.variance[0] == pytest.approx(boxed, rel=1e-13)


@pytest.mark.parametrize("dof", [0.5, 1.0, 2.0, 4.0, math.inf])
@pytest.mark.parametrize("eta", [0.01, 0.1, 0.5])
def test_the_closure_keeps_its_promised_error(eta, dof):
    told = signsgd_stationary(1.0, 1.0, eta, dof=dof)["closure"]
    r = eta / (2 * slope(dof))
    error = abs(told.value.variance[0] / stationary_variance(eta, 1.0, 1.0, dof) - 1)
    assert error < (0.05 + 0.4 / dof**2) * r**2


def test_first_order_deviations_of_signsgd():
    eta = 1e-3
    exact = stationary_variance(eta, 1.0, 1.0)
    r = eta / (2 * slope())
    laws = signsgd_stationary(1.0, 1.0, eta)
    found = [laws[name].value.variance[0] / exact - 1 for name in ("leading", "paper")]
    found.append(erf_equation_variance(1.0, 1.0, eta) / exact - 1)
    assert found == pytest.approx([-r / 2, -(0.5 + 2 / math.pi) * r, -2 / math.pi * r], rel=2e-3)


def sign_with_decay(eta: float, h: float, s: float, decay: float, minimum: float) -> tuple[float, float]:
    """Mean and variance by iteration of the law on a fine grid; linear interpolation keeps means."""
    unit = eta / 200
    grid = unit * np.arange(-6000, 6001)
    up = 0.5 * (1 - mean_sign(h * (grid - minimum) / s))
    law = np.zeros_like(grid)
    law[6000] = 1.0
    for _ in range(400):
        new = np.zeros_like(law)
        for move, weight in ((eta, up), (-eta, 1 - up)):
            at = ((1 - eta * decay) * grid + move) / unit + 6000
            below = np.clip(np.floor(at).astype(int), 0, len(grid) - 2)
            share = np.clip(at - below, 0.0, 1.0)
            new += np.bincount(below, law * weight * (1 - share), len(grid))
            new += np.bincount(below + 1, law * weight * share, len(grid))
        law = new
    mean = float(law @ grid)
    return mean, float(law @ (grid - mean) ** 2)


@pytest.mark.parametrize(("decay", "minimum"), [(0.2, 0.0), (1.0, 0.0), (4.0, 0.0), (1.0, 0.1)])
def test_signsgd_with_decay_against_its_law(decay, minimum):
    mean, variance = sign_with_decay(0.1, 2.0, 1.0, decay, minimum)
    law = signsgd_stationary(2.0, 1.0, 0.1, decay, minimum=minimum)["closure"].value
    a, r = 2 * slope(), 0.1 / slope()
    promised = (0.05 + 0.4 * decay / (a + decay)) * r**2 + 2 * (law.mean[0] - minimum) ** 2
    assert law.variance[0] == pytest.approx(variance, rel=promised)
    assert law.mean[0] == pytest.approx(mean, rel=0.05, abs=1e-12)


def test_signsgd_with_l2_is_signsgd_of_the_penalised_loss():
    inside = signsgd_stationary(2.0, 1.0, 0.1, 1.0, "l2")["closure"].value
    assert inside.variance[0] == pytest.approx(stationary_variance(0.1, 3.0, 1.0), rel=2e-3)


def test_validity_of_signsgd_falls_with_r():
    found = [signsgd_stationary(1.0, 1.0, eta)["leading"].validity.value for eta in (0.01, 0.2, 1.0)]
    assert found == ["ok", "doubtful", "out of range"]
    closure = signsgd_stationary(1.0, 1.0, 2.0)["closure"]
    assert closure.validity is Validity.OUT_OF_RANGE and "r = " in closure.reason


# --- RMSprop and Adam --------------------------------------------------------------------------------------


def lyapunov(rule: AdaptiveRule, h: float, s: float, v: float) -> float:
    """The variance by scipy's solver, with matrices written from the update."""
    from scipy.linalg import solve_discrete_lyapunov

    a, eta, theta, new = 1 / (math.sqrt(v) + rule.eps), rule.learning_rate, rule.weight_decay, 1 - rule.b1
    step = np.array([[1 - eta * theta - eta * a * new * h, -eta * a * rule.b1], [new * h, rule.b1]])
    noise = np.array([-eta * a * new * s, new * s])
    return float(solve_discrete_lyapunov(step, np.outer(noise, noise))[0, 0])


@pytest.mark.parametrize("place", range(7))
def test_the_table_of_adam_equations(place):
    row = rows_of(known.adam_table)[place]
    assert row["exact variance"] == pytest.approx(row["known: exact variance"], rel=2e-10)
    for name in ("paper formula %", "plain %", "paper equation %", "consistent %"):
        value = row[f"known: {name}"]
        half = (
            0.6 if abs(value) == 99 else 0.056 if abs(value) >= 0.5 and round(value, 1) == value else 0.0056
        )
        assert row[name] == pytest.approx(value, abs=half), name


@pytest.mark.parametrize(("h", "s", "eta", "b1", "theta"), [row[0] for row in known._ADAM])
def test_the_closed_forms_of_the_equations(h, s, eta, b1, theta):
    rule = AdaptiveRule(eta, b1, weight_decay=theta)
    assert frozen_variance(h, s, rule)[0] == pytest.approx(lyapunov(rule, h, s, s**2), rel=1e-10)
    rho, a, new = (1 - b1) / eta, 1 / s, 1 - b1
    plain = eta / 2 / (h / s + theta) * rho / (rho + theta)
    bottom = rho * h * a * (1 - new) + (a * new * h + theta) * (a * h + theta + rho)
    paper = a**2 * (1 - new) ** 2 * new * s**2 / 2 / bottom
    assert equation_variance(h, s, rule, "plain")[0] == pytest.approx(plain, rel=1e-12)
    assert equation_variance(h, s, rule, "paper")[0] == pytest.approx(paper, rel=1e-12)


@pytest.mark.parametrize("place", range(9))
def test_the_table_of_stationary_losses(place):
    row = rows_of(known.loss_table)[place]
    paper, refined = row["paper %"], row["refined, decay after the step %"]
    assert paper == pytest.approx(row["known: paper %"], abs=0.6 if paper > 50 else 0.06)
    assert refined == pytest.approx(row["known: refined, decay after the step %"], abs=0.02)
    assert abs(refined) < 100 * 4 * row["standard error"] / row["measured loss"]


@pytest.mark.parametrize("decay_after", [True, False])
def test_refined_is_self_consistent(decay_after):
    rule = AdaptiveRule(1e-2, 0.9, 0.999, 1.0, eps=1e-3, decay_after=decay_after)
    p = refined_variance([1.0, 20.0], [1.0, 0.1], rule)
    v = np.array([1.0, 0.1]) ** 2 + np.array([1.0, 20.0]) ** 2 * p
    again = frozen_variance([1.0, 20.0], [1.0, 0.1], rule, v)
    assert p == pytest.approx(again, rel=1e-9)
    if not decay_after:
        assert p[1] == pytest.approx(lyapunov(rule, 20.0, 0.1, float(v[1])), rel=1e-9)


def test_refined_rmspropw_in_closed_form():
    rule = AdaptiveRule(1e-2, weight_decay=0.7)
    p = refined_variance(2.0, 0.5, rule)[0]
    v = 0.25 + 4 * p
    k = 2 / math.sqrt(v) + 0.7
    assert p == pytest.approx(1e-2 / (2 * k * (1 - 1e-2 * k / 2)) * 0.25 / v, rel=1e-12)


@pytest.mark.parametrize("b1", [0.0, 0.5, 0.9, 0.99])
def test_the_momentum_decay_factor_is_right_at_first_order(b1):
    rule = AdaptiveRule(1e-3, b1, weight_decay=1.0)
    exact = frozen_variance(1.0, 1.0, rule)[0]
    assert paper_variance(1.0, 1.0, rule)[0] / (1 + rule.interaction) == pytest.approx(exact, rel=1.1e-3)


def test_decoupled_decay_saturates_and_l2_does_not():
    rule = AdaptiveRule(1e-3, weight_decay=1.0)
    low, high = (decay_forms(H, noise, rule) for noise in (1e3, 2e3))
    assert low["decoupled"][0].value.loss == pytest.approx(1e-3 / 4 * H.sum(), rel=3e-3)
    assert high["decoupled"][1].value.loss == pytest.approx(low["decoupled"][1].value.loss, rel=2e-3)
    assert high["l2"][0].value.loss == pytest.approx(2 * low["l2"][0].value.loss)
    assert low["l2"][0].value.loss == pytest.approx(1e-3 / 4 * float(np.sum(H * 1e3 / (H + 1))))
    assert low["l2"][1].value.loss == pytest.approx(low["l2"][0].value.loss, rel=1e-2)


def test_flat_directions():
    rule = AdaptiveRule(1e-3, 0.0, weight_decay=0.5)
    assert paper_variance(0.0, 1.0, rule)[0] == pytest.approx(1e-3 / (2 * 0.5))
    assert refined_variance(0.0, 1.0, rule)[0] == pytest.approx(1e-3 / (2 * 0.5), rel=1e-3)
    assert math.isinf(refined_variance(0.0, 1.0, AdaptiveRule(1e-3))[0])


def test_the_bias_of_a_minimum_that_is_not_zero():
    rule = AdaptiveRule(1e-3, 0.9, weight_decay=0.3)
    laws = adaptive_stationary(2.0, 0.5, rule, minimum=0.1)
    paper, refined = laws["paper"].value, laws["refined"].value
    assert 2.0 / 0.5 * (paper.mean[0] - 0.1) + 0.3 * paper.mean[0] == pytest.approx(0.0, abs=1e-15)
    gradient = 2.0 * (refined.mean[0] - 0.1)
    second = 0.25 + gradient**2 + 4 * refined.variance[0]
    assert gradient / math.sqrt(second) + 0.3 * refined.mean[0] == pytest.approx(0.0, abs=1e-12)
    far = adaptive_stationary(2.0, 0.5, rule, minimum=10.0)["paper"]
    assert far.validity is Validity.OUT_OF_RANGE


def test_l2_bias_is_that_of_ridge_regression():
    rule = AdaptiveRule(1e-3, 0.9, weight_decay=0.3, weight_decay_form="l2")
    for law in adaptive_stationary(2.0, 0.5, rule, minimum=3.0).values():
        assert law.value.mean[0] == pytest.approx(3.0 * 2.0 / 2.3)


def test_heavy_tails_make_the_adaptive_formulas_void():
    rule = AdaptiveRule(1e-3, 0.9)
    found = {dof: adaptive_stationary(1.0, 1.0, rule, dof=dof)["refined"] for dof in (1.5, 3.0, 10.0)}
    assert [told.validity.value for told in found.values()] == ["out of range", "out of range", "ok"]
    assert math.isnan(found[1.5].value.loss)


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
