"""Tails of gradient noise: Hill, Student's law, and what tells them from mixed scales."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax.measurement import estimate, units_of
from driftax.measurement.aggregation import Tail, aggregation
from driftax.measurement.estimates import Estimate, interval_by_inverse
from driftax.measurement.hill import hill
from driftax.measurement.standardised import standardised
from driftax.measurement.student_fit import inverse_dof

Z = 4.9  # of a two-sided normal test at 1e-6


def random(seed=0):
    return np.random.default_rng(seed)


def test_hill_of_the_quantiles_of_a_power_law():
    ranks = (np.arange(10_000) + 0.5) / 10_000
    found = hill((ranks ** (-1 / 1.7)).reshape(100, 100), [0.05, 0.0001])
    assert found[0].estimate.value == pytest.approx(1.7 * 499 / 500, rel=0.01)
    assert math.isnan(found[1].estimate.value)  # one value is no tail


def test_the_interval_of_hill_is_one_of_its_inverse():
    """Symmetric for 1/alpha where units are; without an upper end where 1/alpha is not told from 0."""
    low, high = interval_by_inverse(Estimate(2.0, 0.4), 64)
    assert 1 / low - 0.5 == pytest.approx(0.5 - 1 / high) and 1 / low > 0.5 + 1.9 * 0.1
    assert interval_by_inverse(Estimate(2.0, 1.2), 64)[1] == math.inf
    columns = random(12).standard_t(3, (64, 128))
    found = estimate(units_of({"a": columns}))
    low, high = found.interval("hill", fraction=0.01)
    value, error = found.estimate("hill", fraction=0.01)
    assert low < value < high and high - value > value - low and high - low < 6 * error
    assert all(map(math.isnan, estimate(units_of({"a": columns[:, :3]})).interval("hill", fraction=0.005)))


@pytest.mark.statistical
@pytest.mark.parametrize("dof", [math.inf, 10, 3, 1.5])
def test_student_fit(dof):
    """False alarm 1e-6: 4.9 standard errors and 0.006 for what the correction leaves (of 0.047 at n = 64)."""
    shape = (64, 512)
    noise = random(8).normal(size=shape) if math.isinf(dof) else random(8).standard_t(dof, shape)
    noise = noise * np.exp(random(9).normal(size=512))
    found = inverse_dof(standardised(noise))
    assert abs(found.value - 1 / dof) < Z * found.standard_error + 0.006


LAWS = {
    "gaussian": (lambda r, s: r.normal(size=s), Tail.GAUSSIAN),
    "mixed scales": (lambda r, s: r.normal(size=s) * np.exp(r.normal(size=s[1])), Tail.MIXED_SCALES),
    "laplace": (lambda r, s: r.laplace(size=s), Tail.FINITE_VARIANCE),
    "student 5": (lambda r, s: r.standard_t(5, s), Tail.FINITE_VARIANCE),
    "student 1.5": (lambda r, s: r.standard_t(1.5, s), Tail.HEAVY),
    "student 1.5, mixed": (lambda r, s: r.standard_t(1.5, s) * np.exp(r.normal(size=s[1])), Tail.HEAVY),
    "rare events": (
        lambda r, s: 3e-2 * r.normal(size=s) + (r.uniform(size=s) < 0.05) * r.normal(size=s),
        Tail.SPARSE,
    ),
    "near atoms": (
        lambda r, s: 1e-4 * r.normal(size=s) + (r.uniform(size=s) < 0.05) * r.normal(size=s),
        Tail.UNKNOWN,
    ),
    "zeros": (lambda r, s: np.zeros(s), Tail.UNKNOWN),
}


@pytest.mark.parametrize("law", LAWS)
def test_heavy_tails_are_told_from_mixed_scales(law):
    draw, expected = LAWS[law]
    assert aggregation(draw(random(10), (256, 256))).verdict is expected


def test_an_atom_is_no_tail():
    noise = random(11).normal(size=(64, 50)) * (random(12).uniform(size=(64, 50)) < 0.5)
    assert standardised(noise).shape[1] == 0
