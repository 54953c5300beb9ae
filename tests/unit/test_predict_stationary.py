"""Stationary laws against exact laws, independent recursions and the known tables."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax.predict import Validity
from driftax.predict import tables as known
from driftax.predict.adaptive import (
    AdaptiveRule,
    adaptive_stationary,
    decay_forms,
    equation_variance,
    frozen_variance,
    paper_variance,
    refined_variance,
)
from driftax.predict.sign_law import mean_sign, slope
from driftax.predict.stationary import (
    erf_equation_variance,
    sgd_covariance,
    sgd_stationary,
    signsgd_stationary,
)
from oracle.sign_lattice import stationary_variance
from unit.predict_cases import H, rows_of

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
