"""The minibatch law against all batches there are."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from driftax import DriftaxError, FiniteSum, MinibatchNoise, Regime
from driftax.noise import pair_rule
from unit.noise_cases import LOSS, X

# ---------------------------------------------------------------- minibatch


def tiny_sum(size, seed=0):
    """A finite sum of curved losses in three params; the third coordinate is the same for all examples."""
    rng = np.random.default_rng(seed)
    examples = {
        "a": jnp.asarray(rng.normal(size=(size, 2))),
        "b": jnp.asarray(rng.gamma(1.0, size=(size, 2))),
    }

    def loss(x, example):
        curved = jnp.sum(example["b"] * (x[:2] - example["a"]) ** 2) + jnp.prod(x[:2]) * example["b"][0]
        return curved + 0.3 * x[2] ** 2

    return FiniteSum(loss, examples, 3)


def all_batches(size, batch, replacement):
    """Every ordered batch, all of the same probability."""
    return list(
        itertools.product(range(size), repeat=batch)
        if replacement
        else itertools.permutations(range(size), batch)
    )


def enumerated(objective, x, batch, replacement):
    """The noise of every batch [batches, dim], by brute force."""
    gradients = np.asarray(objective.example_gradients(x))
    means = [gradients[list(b)].mean(axis=0) for b in all_batches(objective.size, batch, replacement)]
    return np.asarray(means) - gradients.mean(axis=0)


BATCHES = pytest.mark.parametrize(
    ("size", "batch", "replacement"),
    [(5, 2, True), (6, 3, True), (5, 1, True), (5, 2, False), (6, 3, False), (6, 4, False), (3, 2, False)],
)


@BATCHES
def test_minibatch_moments_against_all_batches(size, batch, replacement):
    objective, law = tiny_sum(size), MinibatchNoise(batch, replacement)
    law.check(objective, X)
    noise = enumerated(objective, X, batch, replacement)
    covariance = np.einsum("qi,qj->ij", noise, noise) / len(noise)
    np.testing.assert_allclose(law.covariance(objective, X), covariance, atol=1e-13)
    rule = law.rule(objective, X, 3)
    for power in range(5):
        expected = (noise**power).mean(axis=0)
        found = np.einsum("ai,ai->i", rule.weights, rule.nodes**power)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        if power >= 2:
            np.testing.assert_allclose(law.moments(objective, X)[power - 2], expected, rtol=1e-12, atol=1e-14)
    products = np.einsum("mai,ai,nai->imn", rule.polynomials, rule.weights, rule.polynomials)
    np.testing.assert_allclose(products[:2], np.broadcast_to(np.eye(2), (2, 2, 2)), atol=1e-11)


@BATCHES
def test_minibatch_cross_moments_against_all_batches(size, batch, replacement):
    objective, law = tiny_sum(size), MinibatchNoise(batch, replacement)
    noise = enumerated(objective, X, batch, replacement)
    rule, gram = law.rule(objective, X, 3), law.gram(objective, X, 3)
    for i, j in [(0, 1), (1, 0), (0, 2), (2, 1)]:
        grid, weights = pair_rule(rule, gram, i, j)
        for p, q in itertools.product(range(3), repeat=2):
            expected = (noise[:, i] ** p * noise[:, j] ** q).mean()
            found = float(jnp.sum(weights * grid[..., 0] ** p * grid[..., 1] ** q))
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("few", "replacement"), [(2, True), (2, False), (3, True)])
def test_minibatch_of_a_two_point_law(few, replacement):
    """Kurtosis is 1 + skewness^2: only two of the three nodes carry weight, and nothing is divided by 0."""
    examples = jnp.asarray([[0.0, 1.0]] * few + [[2.0, 3.0]] * 3)
    objective = FiniteSum(lambda x, a: 0.5 * jnp.sum((x - a) ** 2), examples, 2)
    law, x = MinibatchNoise(1, replacement), X[:2]
    noise = enumerated(objective, x, 1, replacement)
    rule, gram = law.rule(objective, x, 3), law.gram(objective, x, 3)
    assert np.all(np.isfinite(gram)) and np.all(np.isfinite(rule.polynomials))
    grid, weights = pair_rule(rule, gram, 0, 1)
    for p, q in itertools.product(range(3), repeat=2):
        expected = (noise[:, 0] ** p * noise[:, 1] ** q).mean()
        assert float(jnp.sum(weights * grid[..., 0] ** p * grid[..., 1] ** q)) == pytest.approx(
            expected, abs=1e-8
        )
    slope = jax.jit(jax.jacfwd(lambda at: law.gram(objective, at, 3)))(x)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_full_batch_without_replacement_has_no_noise(size):
    objective, law = tiny_sum(size), MinibatchNoise(size, replacement=False)
    law.check(objective, X)
    np.testing.assert_allclose(law.covariance(objective, X), 0, atol=1e-15)
    rule, gram = law.rule(objective, X, 3), law.gram(objective, X, 3)
    np.testing.assert_allclose(rule.nodes, 0, atol=1e-12)
    np.testing.assert_allclose(rule.weights.sum(axis=0), 1, rtol=1e-14)
    assert np.all(np.isfinite(gram))


def test_minibatch_moments_are_differentiable_where_a_coordinate_has_no_noise():
    objective, law = tiny_sum(6), MinibatchNoise(2)
    for part in (law.rule, law.gram):
        slope = jax.jit(jax.jacfwd(jax.jacfwd(lambda x, part=part: jax.tree.leaves(part(objective, x, 3)))))(
            X
        )
        assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))


@pytest.mark.statistical
@pytest.mark.parametrize("replacement", [True, False])
def test_minibatch_samples_average_to_the_gradient(replacement):
    """False alarm 1e-6 (two coordinates, two tests, two-sided normal); power 0.99 against 0.03 deviations."""
    objective, law = tiny_sum(6), MinibatchNoise(3, replacement)
    count = 65536
    draws = jax.vmap(lambda key: law.sample(key, objective, X))(jax.random.split(jax.random.key(1), count))
    centred = np.asarray(draws - objective.gradient(X)[None])
    covariance = np.asarray(law.covariance(objective, X))
    limit = norm.isf(1e-6 / 8) / np.sqrt(count)
    noise = enumerated(objective, X, 3, replacement)
    for i in range(2):
        assert abs(centred[:, i].mean()) < limit * np.sqrt(covariance[i, i])
        assert abs((centred[:, i] ** 2).mean() - covariance[i, i]) < limit * np.std(noise[:, i] ** 2)
    np.testing.assert_allclose(centred[:, 2], 0, atol=1e-14)


@pytest.mark.parametrize("replacement", [True, False])
def test_a_drawn_batch(replacement):
    law = MinibatchNoise(5, replacement)
    draws = law.draws(tiny_sum(6))
    drawn = np.asarray(draws.draw(jax.random.key(2), (2, 5), 50, float))
    assert drawn.shape == (2, 5, 5, 50)  # shape, batch, members
    batches = np.moveaxis(drawn, 2, -1).reshape(500, 5)
    assert batches.shape == (500, 5) and batches.min() == 0 and batches.max() == 5
    distinct = [len(set(row)) == 5 for row in batches]
    assert all(distinct) if not replacement else not all(distinct)


def test_the_batch_on_a_rung():
    objective, law = tiny_sum(6), MinibatchNoise(4)
    finer = law.at(0.5, Regime.BATCH_EQUIVALENT)
    np.testing.assert_allclose(finer.covariance(objective, X), 2 * law.covariance(objective, X), rtol=1e-13)
    assert law.at(0.5, Regime.BALLISTIC) is law
    assert not (law.independent or law.gaussian or law.constant)
    assert law.sampled and law.complete and law.dof == np.inf
    with pytest.raises(DriftaxError, match="batches of 2.5 examples"):
        MinibatchNoise(5).at(0.5, Regime.BATCH_EQUIVALENT).draws(objective)


@pytest.mark.parametrize(("batch", "replacement"), [(2, True), (3, False), (2.5, True), (300, True)])
def test_frozen_batches_have_the_covariance_of_the_law(batch, replacement):
    """Also under jit, for formal batch sizes and for batches longer than the frozen ones; to 0.2 deviations."""
    objective = tiny_sum(6)

    def law_of(size):
        return eqx.tree_at(lambda law: law.batch_size, MinibatchNoise(2, replacement), size)

    law = law_of(batch)
    rule = jax.jit(lambda size: law_of(size).joint(objective, X, 3))(jnp.asarray(float(batch)))
    assert rule.normals is None and rule.exact_degree == 0
    found = np.einsum("q,qi,qj->ij", rule.weights, rule.nodes, rule.nodes)
    exact = np.asarray(law.covariance(objective, X))
    deviation = np.sqrt(np.diag(exact)[:2])
    assert np.all(np.abs(found - exact)[:2, :2] < 0.2 * np.outer(deviation, deviation))
    np.testing.assert_allclose(found[2], 0, atol=1e-14)


def test_minibatch_refusals():
    with pytest.raises(DriftaxError, match="batch_size = 0"):
        MinibatchNoise(0)
    with pytest.raises(DriftaxError, match="batch_size = 7 for 6 examples"):
        MinibatchNoise(7, replacement=False).check(tiny_sum(6), X)
    MinibatchNoise(7).check(tiny_sum(6), X)
    for method in ("covariance", "sample"):
        law = MinibatchNoise(2)
        with pytest.raises(DriftaxError, match="Quadratic, which is not a sum over examples"):
            law.covariance(LOSS, X) if method == "covariance" else law.sample(jax.random.key(0), LOSS, X)
