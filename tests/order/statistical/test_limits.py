"""Every region of the classification against the optimizer itself, along a ladder of tau."""

from __future__ import annotations

from dataclasses import replace

import pytest

from driftax.limits import Exponents, Motion, Row, classify
from driftax.limits.cases import CASES
from driftax.limits.check import check_limit
from driftax.limits.limit_equation import LimitEquation


@pytest.mark.statistical
@pytest.mark.parametrize("name", CASES)
def test_the_optimizer_converges_to_its_limit(name):
    """False alarm 2e-6 per observable (three per case): 4.9 standard errors on either side.

    Power: 4.9 standard errors of the finest error are below the bound, so an error of twice the bound is found
    with probability above 0.999999.
    """
    found = check_limit(CASES[name], seed=7)
    print(found)
    assert found.verdict == "consistent"
    for observable in found.observables:
        assert 4.9 * observable.standard_errors[-1] <= found.bound


def test_there_is_a_case_in_every_region_that_is_not_trivial():
    limits = [classify(case.exponents) for case in CASES.values()]
    assert {limit.row for limit in limits} == set(Row)
    assert not any(limit.trivial for limit in limits)
    by_row = {row: {limit.nu for limit in limits if limit.row is row} for row in Row}
    everything = {Motion.DYNAMIC, Motion.SLAVED, Motion.FROZEN, Motion.RUNNING_MEAN, Motion.RANDOM}
    assert by_row[Row.BALLISTIC] == by_row[Row.BATCH_EQUIVALENT] == everything
    assert by_row[Row.VANISHING_NOISE] == {Motion.DYNAMIC, Motion.SLAVED}
    assert by_row[Row.NOISE_NORMALISED] == {Motion.DYNAMIC, Motion.SLAVED}
    momenta = {limit.mu for limit in limits}
    assert momenta == {None, Motion.DYNAMIC, Motion.SLAVED, Motion.RUNNING_MEAN, Motion.RANDOM}


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
    """Power above 0.999999: every wrong limit is more than twice the bound away."""
    case = CASES[name]
    ladder = (case.ladder[0], case.ladder[-1])
    wrong = LimitEquation(WRONG[name], case.problem)
    assert check_limit(replace(case, ladder=ladder), seed=7, against=wrong).verdict == "refuted"
