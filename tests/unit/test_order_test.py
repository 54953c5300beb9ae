"""The verdict, on errors whose order is known."""

import math

import numpy as np
import pytest

from driftax.compare.order_test import Answer, OrderTest, RungError
from driftax.statistics.intervals import normal_quantile, ratio_magnitude

SCALES = (1.0, 0.5, 0.25, 0.125)


def rungs(errors, noise=1e-9, bias=0.0, failed=0):
    return tuple(
        RungError(scale, error, noise, bias, 0.0, 1000, failed)
        for scale, error in zip(SCALES, errors, strict=False)
    )


def judge(errors, claimed, **kwargs):
    return OrderTest("derived", "params_sq", claimed, rungs(errors, **kwargs)).verdict(1e-3)


def powers(p, size=0.1):
    return [size * s**p for s in SCALES]


def test_exact_orders_are_consistent():
    verdict = judge(powers(2), 2)
    assert verdict.answer is Answer.CONSISTENT
    assert verdict.order == pytest.approx(2)
    assert not verdict.faster
    assert judge(powers(2), 1).faster


def test_a_lower_order_is_refuted():
    verdict = judge(powers(1), 2)
    assert verdict.answer is Answer.REFUTED
    assert "at most 1.00" in verdict.reason


def test_an_order_that_still_rises_is_not_refuted():
    rising = [1.0, 0.6, 0.3, 0.12]  # local orders 0.74, 1, 1.32
    assert judge(rising, 2).answer is Answer.INCONCLUSIVE
    assert "rising" in judge(rising, 2).reason


def test_rising_towards_a_lower_order_is_refuted():
    errors = [0.1 * s + 0.04 * s**2 for s in SCALES]  # local orders fall to 1
    slowly = [0.1 * s - 0.04 * s**2 for s in SCALES]  # local orders 0.42, 0.83, 0.92 rise to 1
    assert judge(errors, 2).answer is Answer.REFUTED
    assert judge(slowly, 2).answer is Answer.REFUTED


def test_noise_is_inconclusive_and_says_how_many_members():
    verdict = judge(powers(2), 2, noise=0.002)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "noise" in verdict.reason and "members" in verdict.reason
    assert verdict.more_members_help


def test_bias_of_the_integrator_is_inconclusive():
    verdict = judge(powers(2), 2, bias=0.5 * 0.1 * SCALES[-1] ** 2)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "bias" in verdict.reason


def test_a_sign_change_is_inconclusive_and_has_no_order():
    verdict = judge([0.1, 0.04, 0.01, -0.005], 2)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert verdict.order is None


def test_a_sign_change_before_the_finest_rungs_refutes_nothing():
    verdict = judge([-2.4e-2, -3.1e-3, 2.6e-4, 6.5e-4], 1)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "sign" in verdict.reason


def test_few_members_decide_nothing():
    few = tuple(rung._replace(members=16) for rung in rungs(powers(1)))
    verdict = OrderTest("m", "o", 2, few).verdict(1e-3)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "fewer than 100 members" in verdict.reason


def test_two_rungs_are_inconclusive():
    assert judge(powers(2)[:2], 2).answer is Answer.INCONCLUSIVE


def test_lost_members_are_inconclusive():
    verdict = judge(powers(2), 2, failed=3)
    assert verdict.answer is Answer.INCONCLUSIVE
    assert "left the domain" in verdict.reason


def test_a_finest_error_lost_in_noise_leaves_no_upper_end():
    test = OrderTest("m", "o", 2, rungs([0.1, 0.02, 0.004, 1e-5], noise=1e-4))
    low, high = test.interval(1e-3)
    assert math.isinf(high) and low > 2


@pytest.mark.parametrize(
    ("numerator", "denominator"), [(1.0, 0.25), (0.3, 0.25), (1.0, 0.05), (-1.0, 0.3), (0.01, 0.02)]
)
def test_fieller_set_by_brute_force(numerator, denominator):
    quantile, noise = normal_quantile(0.01), 0.03
    ratios = np.linspace(-400, 400, 2_000_001)
    inside = np.abs(numerator - ratios * denominator) <= quantile * noise * np.sqrt(1 + ratios**2)
    low, high = ratio_magnitude(numerator, noise, denominator, noise, quantile)
    found = np.abs(ratios[inside])
    assert low == pytest.approx(found.min(), abs=1e-3)
    if math.isinf(high):
        assert found.max() > 399
    else:
        assert high == pytest.approx(found.max(), abs=1e-3)


@pytest.mark.statistical
def test_interval_covers_the_true_order():
    """False alarm 1e-6: misses of a 99 % interval in 20,000 draws are Binomial(20000, <= 0.01)."""
    generator = np.random.default_rng(0)
    misses = 0
    for _ in range(20_000):
        errors = np.asarray([0.4, 0.1, 0.025]) + 0.004 * generator.standard_normal(3)
        low, high = OrderTest("m", "o", 2, rungs(errors, noise=0.004)).interval(0.01)
        misses += not low <= 2 <= high
    assert misses < 200 + 4.8 * math.sqrt(200)
