"""Scrambled Sobol' points: exact properties of the points, and standard errors that can be trusted."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy.linalg import hadamard
from scipy.stats import qmc

from driftax import Chain, DriftaxError, GaussianNoise, MinibatchNoise, Quadratic, RMSprop
from driftax.compare.order_test import Answer, OrderTest
from driftax.objective.models import breast_cancer, logistic
from driftax.simulate.normals import Randomness
from driftax.simulate.sobol import MOST_COORDINATES, SobolNormals, _directions, _normals
from driftax.study.experiment import Experiment

MEMBERS, SHAPE = 256, (2, 1, 3)


def coordinates(draw):
    """The uniform numbers [coordinate, member] a draw came from."""
    modes = jnp.asarray(hadamard(2) / np.sqrt(2)) @ draw.reshape(2, -1)
    return np.asarray(norm.cdf(modes)).reshape(-1, MEMBERS)


def test_directions_give_the_points_of_scipy():
    words = np.zeros((40, 1), np.uint32)
    for bit in range(8):
        words = np.concatenate([words, words ^ _directions(8)[:40, bit, None]], axis=1)
    points = qmc.Sobol(40, scramble=False).random(256)
    assert {tuple(p) for p in (words * 2.0**-32).T} == {tuple(p) for p in points}


def test_every_leaf_is_a_net():
    """Every coordinate has one point in each of 256 intervals, the first two one in each of 16 x 16 squares."""
    stream = SobolNormals.of(20, MEMBERS)
    for leaf in range(3):
        draw, _ = stream.draw(jax.random.key(leaf), jnp.asarray(19), SHAPE, MEMBERS, jnp.float64)
        points = coordinates(draw)
        cells = np.floor(points * MEMBERS).astype(int)
        assert all(sorted(row) == list(range(MEMBERS)) for row in cells)
        squares = np.floor(points[:2] * 16).astype(int)
        assert len({tuple(square) for square in squares.T}) == MEMBERS


def test_leaves_are_scrambled_each_in_its_own_way():
    stream = SobolNormals.of(20, MEMBERS)
    first, second = (
        stream.draw(jax.random.key(leaf), jnp.asarray(3), SHAPE, MEMBERS, jnp.float64)[0] for leaf in (0, 1)
    )
    assert not np.any(np.isclose(first, second))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_normals_are_finite_and_centred(dtype):
    words = jnp.asarray([[0, 1, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1]], jnp.uint32)
    values = np.asarray(_normals(words, dtype))[0]
    assert np.all(np.isfinite(values)) and values.dtype == dtype
    np.testing.assert_allclose(values, -values[::-1], rtol=1e-6)


HESSIAN = np.array([[1.0, 0.5], [0.5, 1.0]])
START = jnp.asarray([[1.5, -1.0], [1.0, 1.0]])


def experiment(randomness, steps=8, ladder=(1.0, 0.5, 0.25), noise=None):
    noise = noise or GaussianNoise(0.25 * HESSIAN @ HESSIAN)
    chain = Chain(Quadratic(HESSIAN), noise, RMSprop(0.25, 1 - 0.5 * 0.25, 0.1))
    names = ("params_sq", "nu_sq")
    models = ("derived-2",)
    return Experiment(
        chain, START, 0, 0, ladder, (steps,), False, models, names, look_at=START, randomness=randomness
    )


@pytest.mark.statistical
def test_sobol_agrees_with_independent_members_and_knows_its_error():
    """Agreement within 5 standard errors (6e-7 each), with errors that are smaller at as many members."""
    counter, sobol = (
        experiment(randomness, steps=4, ladder=(0.5,)).rung_study(0, 0)
        for randomness in (Randomness.COUNTER, Randomness.SOBOL)
    )
    for study in (counter, sobol):
        study.grow(32 * 4096)
    for observable in (0, 1):
        one, other = counter.error(0, observable), sobol.error(0, observable)
        assert one.randomisations is None and other.randomisations == 32
        gap = abs(one.weak_error - other.weak_error)
        assert gap < 5 * np.hypot(one.standard_error, other.standard_error)
        assert other.standard_error < 0.7 * one.standard_error
    deviations = [study.means(None, 0).standard_deviation[-1] for study in (counter, sobol)]
    assert deviations[1] == pytest.approx(deviations[0], rel=0.01)  # of members, not of leaves


def test_few_randomisations_are_no_standard_error():
    study = experiment(Randomness.SOBOL).rung_study(0, 0)
    study.grow(8 * 4096)
    rungs = tuple(study.error(0, 0)._replace(ladder=scale) for scale in (1.0, 0.5, 0.25))
    verdict = OrderTest("derived-2", "params_sq", 2, rungs).verdict()
    assert verdict.answer is Answer.INCONCLUSIVE and "randomisations" in verdict.reason


def test_a_law_without_normals_is_refused():
    problem = logistic(breast_cancer())
    chain = Chain(problem.objective, MinibatchNoise(32), RMSprop(0.01, 0.99, 0.1))
    start = jnp.ones((2, problem.start.size))
    study = Experiment(
        chain, start, 0, 0, (1.0,), (4,), False, ("derived-1",), ("loss",), look_at=start,
        randomness=Randomness.SOBOL,
    )  # fmt: skip
    with pytest.raises(DriftaxError, match="draws examples"):
        study.check()


def test_more_normals_than_coordinates_are_refused():
    with pytest.raises(DriftaxError, match=f"at most {MOST_COORDINATES:,} coordinates"):
        experiment(Randomness.SOBOL, steps=8000).rung_study(0, 0)
