"""Laws that are drawn afresh: recorded gradients and one-pass linear regression (minibatches: test_minibatch.py)."""

from __future__ import annotations

import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from driftax import (
    DriftaxError,
    EmpiricalNoise,
    FiniteSum,
    LinearRegressionNoise,
    MinibatchNoise,
    Quadratic,
    Regime,
    Rosenbrock,
)
from driftax.noise import pair_rule
from driftax.noise.rule import gauss_hermite

H = np.array([[1.0, 0.4], [0.4, 0.7]])
LOSS = Quadratic(H, [0.2, -0.1])
X = jnp.asarray([1.1, -0.7])
RECORDED = np.random.default_rng(3).gamma(1.0, size=(5, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])


def has_moments(law, noise, weights, loss=LOSS):
    """The exact moments of a law against the noise at nodes [node, 2] of given weights."""
    covariance = np.einsum("q,qi,qj->ij", weights, noise, noise)
    np.testing.assert_allclose(law.covariance(loss, X), covariance, rtol=1e-11, atol=1e-14)
    rule, gram = law.rule(loss, X, 3), law.gram(loss, X, 3)
    for power in range(5):
        expected = weights @ noise**power
        np.testing.assert_allclose(
            np.sum(rule.weights * rule.nodes**power, axis=0), expected, rtol=1e-10, atol=1e-11
        )
    for i, j in [(0, 1), (1, 0)]:
        grid, mass = pair_rule(rule, gram, i, j)
        for p, q in itertools.product(range(3), repeat=2):
            expected = weights @ (noise[:, i] ** p * noise[:, j] ** q)
            assert float(jnp.sum(mass * grid[..., 0] ** p * grid[..., 1] ** q)) == pytest.approx(
                expected, rel=1e-10
            )
    two = law.rule(loss, X, 2)
    np.testing.assert_allclose(
        np.sum(two.weights * two.nodes**3, axis=0), weights @ noise**3, rtol=1e-10, atol=1e-12
    )


# ---------------------------------------------------------------- recorded gradients


@pytest.mark.parametrize(("batch", "replacement"), [(1, True), (2, True), (3, True), (2, False), (4, False)])
def test_moments_of_recorded_gradients(batch, replacement):
    law = EmpiricalNoise(RECORDED, batch, replacement)
    law.check(LOSS, X)
    picks = (
        itertools.product(range(5), repeat=batch) if replacement else itertools.permutations(range(5), batch)
    )
    means = np.asarray([RECORDED[list(p)].mean(axis=0) for p in picks]) - RECORDED.mean(axis=0)
    has_moments(law, means, np.full(len(means), 1 / len(means)))
    assert law.constant and law.sampled and not (law.independent or law.gaussian)


def test_recorded_gradients_are_the_minibatch_law_of_their_own_sum():
    objective = FiniteSum(lambda x, a: x @ a, jnp.asarray(RECORDED), 2)
    recorded, minibatch = EmpiricalNoise(RECORDED, 3), MinibatchNoise(3)
    for part in (lambda law: law.rule(objective, X, 3), lambda law: law.gram(objective, X, 3)):
        for a, b in zip(jax.tree.leaves(part(recorded)), jax.tree.leaves(part(minibatch)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-13)
    key = jax.random.key(4)
    np.testing.assert_allclose(
        recorded.sample(key, objective, X), minibatch.sample(key, objective, X), rtol=1e-12
    )
    finer = recorded.at(0.5, Regime.BATCH_EQUIVALENT)
    np.testing.assert_allclose(finer.covariance(LOSS, X), 2 * recorded.covariance(LOSS, X), rtol=1e-13)


def test_recorded_gradients_in_a_file(tmp_path):
    law, path = EmpiricalNoise(RECORDED, 2, replacement=False), tmp_path / "gradients.npz"
    law.save(path)
    law.save(path)  # once more over itself
    assert [p.name for p in tmp_path.iterdir()] == ["gradients.npz"]  # nothing unfinished is left
    again = EmpiricalNoise.load(path, 2, replacement=False)
    np.testing.assert_allclose(again.vectors, law.vectors, atol=1e-15)
    np.save(tmp_path / "plain.npy", RECORDED.astype(np.float32))
    np.testing.assert_allclose(EmpiricalNoise.load(tmp_path / "plain.npy").vectors, law.vectors, atol=1e-6)
    with pytest.raises(DriftaxError, match="gradients.npz"):
        law.save(tmp_path / "gradients.txt")


def write(path, what):
    if what == "pickled":
        np.save(path, np.asarray([{"a": 1}, None], dtype=object), allow_pickle=True)
    elif what == "a pickle":
        path.write_bytes(pickle.dumps([1.0]))
    elif what == "text":
        path.write_text("no array")
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "cut":
        np.savez(path.with_suffix(".npz"), gradients=RECORDED)
        path.write_bytes(path.with_suffix(".npz").read_bytes()[:60])
    elif what == "another name":
        np.savez(path.with_suffix(".npz"), noise=RECORDED)
        path.with_suffix(".npz").rename(path)
    elif what == "pickled inside":
        np.savez(path.with_suffix(".npz"), gradients=np.asarray([{}, None], dtype=object))
        path.with_suffix(".npz").rename(path)
    elif what != "missing":
        np.save(
            path,
            {"vector": RECORDED[0], "strings": np.asarray([["a"], ["b"]]), "nan": RECORDED * np.nan}[what],
        )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "no such file"),
        ("pickled", "pickled objects, which could run code"),
        ("a pickle", "pickled objects, which could run code"),
        ("pickled inside", "pickled objects, which could run code"),
        ("text", "pickled objects|no NumPy file"),
        ("empty", "no NumPy file"),
        ("cut", "no NumPy file"),
        ("another name", "no array of the name gradients; there are: noise"),
        ("vector", r"an array of shape \[2\]"),
        ("strings", "values of type <U1"),
        ("nan", "nan in sample 0, parameter 0"),
    ],
)
def test_wrong_files_are_refused(tmp_path, what, words):
    path = tmp_path / "file.npy"
    write(path, what)
    with pytest.raises(DriftaxError, match=words) as refusal:
        EmpiricalNoise.load(path)
    assert "file.npy" in refusal.value.asked and refusal.value.instead


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: EmpiricalNoise(RECORDED[:1]), r"shape \[1, 2\]"),
        (lambda: EmpiricalNoise(RECORDED, 0), "batch_size = 0"),
        (lambda: EmpiricalNoise(RECORDED, 6, replacement=False), "batch_size = 6 for 5 examples"),
        (
            lambda: EmpiricalNoise(RECORDED).check(Quadratic(np.eye(3)), jnp.zeros(3)),
            "of 2 parameters for 3 params",
        ),
        (lambda: LinearRegressionNoise(-0.1), "label_variance = -0.1"),
        (lambda: LinearRegressionNoise(0.1, 0), "batch_size = 0"),
        (lambda: LinearRegressionNoise(0.1).check(Rosenbrock(2), X), "not a mean squared error"),
        (lambda: LinearRegressionNoise(0.1).check(Quadratic(np.diag([1.0, -2.0])), X), "the eigenvalue -2"),
        (
            lambda: LinearRegressionNoise(0.1, 3).at(0.5, Regime.BATCH_EQUIVALENT).draws(LOSS),
            "batches of 1.5",
        ),
    ],
)
def test_what_is_no_law_is_refused(build, words):
    with pytest.raises(DriftaxError, match=words):
        build()


# ---------------------------------------------------------------- linear regression


def regression_noise(batch, variance):
    """The noise at the nodes of a product rule, exact to degree 9 in every normal: the fourth moment has degree 8."""
    normals, weights, _ = gauss_hermite(5)
    root, apart = np.linalg.cholesky(H), np.asarray(X) - np.asarray(LOSS.minimum)
    grid = np.stack(np.meshgrid(*[normals] * (3 * batch), indexing="ij"), axis=-1).reshape(-1, batch, 3)
    mass = np.prod(
        np.stack(np.meshgrid(*[weights] * (3 * batch), indexing="ij"), axis=-1).reshape(-1, 3 * batch), axis=1
    )
    inputs, labels = grid[..., :2] @ root.T, np.sqrt(variance) * grid[..., 2]
    gradients = np.mean(inputs * (inputs @ apart - labels)[..., None], axis=1)
    return gradients - H @ apart, mass


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("variance", [0.0, 0.3])
def test_moments_of_linear_regression(batch, variance):
    law = LinearRegressionNoise(variance, batch)
    law.check(LOSS, X)
    has_moments(law, *regression_noise(batch, variance))
    apart = np.asarray(X - LOSS.minimum)
    c = H @ apart
    exact = (np.outer(c, c) + (apart @ c + variance) * H) / batch
    np.testing.assert_allclose(law.covariance(LOSS, X), exact, rtol=1e-13)


def test_linear_regression_without_noise_at_the_minimum():
    law = LinearRegressionNoise(0.0, 4)
    slope = jax.jacfwd(lambda x: jax.tree.leaves((law.rule(LOSS, x, 3), law.gram(LOSS, x, 3))))(LOSS.minimum)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(slope))
    np.testing.assert_array_equal(law.covariance(LOSS, LOSS.minimum), 0)


@pytest.mark.parametrize("batch", [3, 100])
def test_frozen_examples_have_nearly_the_covariance_of_the_law(batch):
    law = LinearRegressionNoise(0.3, batch)
    rule = law.joint(LOSS, X, 3)
    exact = np.asarray(law.covariance(LOSS, X))
    found = np.einsum("q,qi,qj->ij", rule.weights, rule.nodes, rule.nodes)
    assert np.all(np.abs(found - exact) < 0.25 * np.sqrt(np.outer(np.diag(exact), np.diag(exact))))


@pytest.mark.statistical
@pytest.mark.parametrize("law", [EmpiricalNoise(RECORDED, 3, False), LinearRegressionNoise(0.3, 3)], ids=type)
def test_draws_have_the_moments_of_the_law(law):
    """False alarm 1e-6 in all (8 normal means, two-sided); power 0.99 against an error of 0.04 deviations."""
    count = 32768
    drawn = law.draws(LOSS).draw(jax.random.key(5), (2,), count // 2, float)
    at_once = jax.vmap(jax.vmap(law.gradients(LOSS, X)), in_axes=-1)(drawn).reshape(count, 2)
    alone = law.gradient(LOSS, X, jax.tree.map(lambda leaf: leaf[1, ..., 7], drawn))
    np.testing.assert_allclose(alone, at_once.reshape(-1, 2, 2)[7, 1], rtol=1e-12)
    noise = np.asarray(at_once - LOSS.gradient(X)[None])
    deviation = np.sqrt(np.diag(law.covariance(LOSS, X)))
    kurtosis = np.sum(law.rule(LOSS, X, 3).weights * law.rule(LOSS, X, 3).nodes ** 4, axis=0) / deviation**4
    limit = norm.isf(1e-6 / 8 / 2) / np.sqrt(count)
    assert np.all(np.abs(noise.mean(axis=0)) < limit * deviation)
    assert np.all(np.abs((noise**2).mean(axis=0) / deviation**2 - 1) < limit * np.sqrt(kurtosis - 1))
