"""How far a model is from its optimizer over a run."""

import math

import pytest

from driftax.compare.distance import distance

STEPS, OPTIMIZER = [1, 5, 10], [3.0, 2.0, 1.0]


def of(differences, errors=(0.0, 0.0, 0.0), biases=(0.0, 0.0, 0.0)):
    return distance(STEPS, OPTIMIZER, differences, errors, biases)


def test_the_largest_difference_counts_over_the_range():
    found = of([0.01, -0.06, 0.02], errors=[9.0, 0.004, 9.0], biases=[9.0, -0.002, 9.0])
    assert found == pytest.approx((0.03, 0.002, 0.001, 5))


@pytest.mark.parametrize(
    ("difference", "error", "bias", "answer"),
    [
        (0.02, 0.001, 0.001, "follows"),
        (0.02, 0.03, 0.001, "inconclusive"),
        (0.02, 0.001, 0.1, "inconclusive"),
        (0.3, 0.001, 0.001, "does not follow"),
        (0.3, 0.06, 0.001, "inconclusive"),
        (0.02, 0.001, math.nan, "inconclusive"),
    ],
)
def test_it_follows_where_distance_noise_and_bias_are_small(difference, error, bias, answer):
    assert of([0.0, difference, 0.0], [0.0, error, 0.0], [0.0, bias, 0.0]).answer == answer


def test_there_is_none_without_a_range_or_a_number():
    assert distance([1], [2.0], [0.1], [0.0], [0.0]) is None
    assert of([0.0, math.nan, 0.0]) is None
