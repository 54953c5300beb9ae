"""Every region of the classification against the optimizer itself, along a ladder of tau."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from driftax.limits import Exponents, Motion, classify
from driftax.limits.cases import CASES
from driftax.limits.check import check_limit
from driftax.limits.limit_equation import LimitEquation
from driftax.limits.regions import second_moment_regions


@pytest.mark.statistical
@pytest.mark.parametrize("name", CASES)
def test_the_optimizer_converges_to_its_limit(name):
    """False alarm 2e-6 per observable (three per case); power above 0.999999 against an error of three bounds.

    4.9 standard errors are granted beyond the bound, and are below the bound themselves.
    """
    found = check_limit(CASES[name], seed=7)
    print(found)
    assert found.verdict == "consistent"
    for observable in found.observables:
        assert 4.9 * observable.standard_errors[-1] <= found.bound


def test_there_is_a_case_in_every_region_that_is_not_trivial():
    limits = [classify(case.exponents) for case in CASES.values()]
    assert not any(limit.trivial for limit in limits)
    assert {limit.name for limit in limits} >= {region.limit.name for region in second_moment_regions()}
    momenta = {limit.mu for limit in limits}
    assert momenta == {None, Motion.DYNAMIC, Motion.SLAVED, Motion.RUNNING_MEAN, Motion.RANDOM}


@pytest.mark.statistical
def test_a_frozen_momentum_keeps_its_velocity():
    """False alarm 2e-6 per observable; a momentum of 0 instead of 0.5 would be refuted."""
    own = CASES["Adam, ballistic, kinetic"]
    problem = replace(own.problem, mu_start=0.5)
    case = replace(own, exponents=replace(own.exponents, momentum=2.0), problem=problem)
    assert classify(case.exponents).trivial
    assert check_limit(case, seed=7).verdict == "consistent"
    at_rest = LimitEquation(case.exponents, own.problem)
    assert check_limit(case, seed=7, against=at_rest).verdict == "refuted"


def test_a_frozen_momentum_moves_params_later_without_friction():
    """Full batch beside a large eps: x'' = -x on the clock tau^((p + e + q1)/2), so x(1) = cos 1."""
    tau, q1, e = 0.2, 8.0, 3.0
    limit = classify(Exponents(1.0, -math.inf, 1.0, q1, eps=e))
    assert "tau^6 they follow x'' = -c1 D f" in limit.note
    x, mu, nu = 1.0, 0.0, 1.0
    for _ in range(round(tau**-6)):
        mu += tau**q1 * (x - mu)
        nu += tau * (x * x - nu)
        x -= tau * mu / (math.sqrt(nu) + tau**-e)
    assert x == pytest.approx(math.cos(1.0), abs=0.02)


WRONG = {
    "ballistic, dynamic": Exponents(1.0, 0.0, 0.5),  # slaved
    "ballistic, running mean": Exponents(1.0, 0.0, 2.0),  # frozen
    "ballistic, slaved": Exponents(1.0, 0.5, 0.5),  # without f^2 in the target
    "batch-equivalent, dynamic": Exponents(1.0, 1.0, 3.0),  # frozen
    "batch-equivalent, fixed memory, updated": Exponents(1.0, 1.0, 1.0),  # slaved
    "batch-equivalent, fixed memory, previous": Exponents(1.0, 1.0, 0.0),  # the other denominator
    "Adam, batch-equivalent, fixed b2, b1 slaved": Exponents(1.0, 1.0, 0.0),  # the noise of RMSprop
    "Adam, batch-equivalent, both fixed": Exponents(1.0, 1.0, 0.0, 1.0),  # D averaged alone
    "Adam, batch-equivalent, running means": Exponents(1.0, 0.5, 3.0, 3.0, bias_correction=True),  # no W(t)
}


@pytest.mark.statistical
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_limit_is_refuted(name):
    """Power above 0.999999: every wrong limit is more than three bounds away."""
    case = CASES[name]
    ladder = (case.ladder[0], case.ladder[-1])
    wrong = LimitEquation(WRONG[name], case.problem)
    assert check_limit(replace(case, ladder=ladder), seed=7, against=wrong).verdict == "refuted"
