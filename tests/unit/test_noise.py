"""Gaussian laws: samples, quadratures and cross moments; the moments of signs."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erf
from scipy.stats import multivariate_normal, norm

from driftax import DriftaxError, GaussianNoise, Quadratic, Regime
from driftax.noise import pair_rule, sign_moments
from driftax.noise.sign import sign_covariance
from unit.noise_cases import LOSS, SIGMA, X


def moving(x):
    return 0.3 + x**2


def moving_matrix(x):
    return jnp.asarray(SIGMA) * (1 + x[0] ** 2)


GAUSSIANS = {
    "scalar": (GaussianNoise(0.4), 0.4 * np.eye(3)),
    "diagonal": (GaussianNoise([0.4, 0.1, 0.9]), np.diag([0.4, 0.1, 0.9])),
    "full": (GaussianNoise(SIGMA), SIGMA),
    "moving": (GaussianNoise(moving), np.diag(0.3 + np.asarray(X) ** 2)),
    "moving full": (GaussianNoise(moving_matrix, independent=False), SIGMA * (1 + 0.09)),
}


def isserlis(covariance, powers):
    """E prod z_i^powers_i of a centred Gaussian, by the sum over pairings."""
    letters = [i for i, n in enumerate(powers) for _ in range(n)]
    if len(letters) % 2:
        return 0.0
    if not letters:
        return 1.0
    first, rest = letters[0], letters[1:]
    total = 0.0
    for position, partner in enumerate(rest):
        left = rest[:position] + rest[position + 1 :]
        total += covariance[first, partner] * isserlis(
            covariance, [left.count(i) for i in range(len(powers))]
        )
    return total


# ---------------------------------------------------------------- Gaussian


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_covariance_and_properties(name):
    law, sigma = GAUSSIANS[name]
    found = np.asarray(law.covariance(LOSS, X))
    np.testing.assert_allclose(np.diag(found) if found.ndim == 1 else found, sigma, rtol=1e-14)
    assert law.independent == (found.ndim == 1) == ("full" not in name)
    assert law.gaussian and law.constant == ("moving" not in name)
    law.check(LOSS, X)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_rule_integrates_every_coordinate(name):
    law, sigma = GAUSSIANS[name]
    rule = law.rule(LOSS, X, 7)
    np.testing.assert_allclose(rule.weights.sum(axis=0), 1, rtol=1e-14)
    for power in range(14):  # 7 Gauss nodes are exact to degree 13
        expected = [isserlis(sigma[i : i + 1, i : i + 1], [power]) for i in range(3)]
        found = (rule.weights * rule.nodes**power).sum(axis=0)
        scale = np.diag(sigma) ** (power / 2) * 1e4
        np.testing.assert_allclose(found / scale, np.asarray(expected) / scale, rtol=1e-10, atol=1e-15)
    products = np.einsum("mai,ai,nai->imn", rule.polynomials, rule.weights, rule.polynomials)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(6), (3, 6, 6)), atol=1e-11)
    np.testing.assert_allclose(np.einsum("mai,ai->mi", rule.polynomials, rule.weights), 0, atol=1e-12)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_pair_rule_gives_all_cross_moments(name):
    law, sigma = GAUSSIANS[name]
    nodes = 5
    rule, gram = law.rule(LOSS, X, nodes), law.gram(LOSS, X, nodes)
    assert (gram is None) == law.independent
    for i, j in [(0, 1), (2, 0)]:
        grid, weights = pair_rule(rule, gram, i, j)
        pair = sigma[np.ix_([i, j], [i, j])]
        for p, q in itertools.product(range(5), range(5)):  # to degree nodes - 1 in each
            found = float(jnp.sum(weights * grid[..., 0] ** p * grid[..., 1] ** q))
            assert found == pytest.approx(isserlis(pair, [p, q]), rel=1e-12, abs=1e-12)


def test_gram_matrices_are_powers_of_the_correlation():
    law = GaussianNoise(SIGMA)
    deviation = np.sqrt(np.diag(SIGMA))
    correlation = SIGMA / np.outer(deviation, deviation)
    gram = np.asarray(law.gram(LOSS, X, 6))
    for m, n in itertools.product(range(5), range(5)):
        expected = correlation ** (n + 1) if m == n else np.zeros((3, 3))
        np.testing.assert_allclose(gram[m, n], expected, atol=1e-15)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_joint_nodes(name):
    law, sigma = GAUSSIANS[name]
    nodes, weights, normals, exact_degree = law.joint(LOSS, X, 4)
    assert nodes.shape == normals.shape == (64, 3) and exact_degree == 7
    for powers in itertools.product(range(4), repeat=3):
        if sum(powers) <= 6:  # the rule is exact to degree 7 in the independent normals
            found = float(jnp.sum(weights * np.prod(np.asarray(nodes) ** np.asarray(powers), axis=1)))
            assert found == pytest.approx(isserlis(sigma, powers), rel=1e-11, abs=1e-13)


def test_joint_nodes_where_a_tensor_grid_is_too_large():
    """A cubature of degree 5 in 20 parameters (5^20 grid nodes), frozen draws in 70."""
    rule = GaussianNoise(0.5).joint(LOSS, jnp.zeros(20), 5)
    assert rule.exact_degree == 5 and len(rule.weights) == 2 * 20**2 + 1
    np.testing.assert_allclose(
        np.einsum("q,qi,qj->ij", rule.weights, rule.nodes, rule.nodes), 0.5 * np.eye(20), atol=1e-13
    )
    frozen = GaussianNoise(0.5).joint(LOSS, jnp.zeros(70), 5)
    assert frozen.exact_degree == 0
    np.testing.assert_allclose(frozen.weights @ frozen.nodes, 0, atol=1e-12)


@pytest.mark.parametrize("independent", [False, True])
def test_a_singular_covariance_has_joint_nodes(independent):
    """Noise along one direction only: a matrix of rank 1, constant or moving with the params."""
    direction = np.array([1.0, -2.0, 0.5])
    sigma = np.outer(direction, direction)
    law = (
        GaussianNoise(sigma)
        if independent
        else GaussianNoise(lambda x: jnp.asarray(sigma), independent=False)
    )
    law.check(LOSS, X)
    nodes, weights, *_ = law.joint(LOSS, X, 3)
    np.testing.assert_allclose(jnp.einsum("q,qi,qj->ij", weights, nodes, nodes), sigma, atol=1e-12)


def test_the_variance_of_a_coordinate_may_be_zero():
    for law in (GaussianNoise([0.5, 0.0, 0.2]), GaussianNoise(lambda x: jnp.stack([x[0] ** 2, 0.0, 1.0]))):
        rule = law.rule(LOSS, X, 5)
        variance = np.einsum("ai,ai->i", rule.weights, rule.nodes**2)
        np.testing.assert_allclose(variance, law.covariance(LOSS, X), atol=1e-15)
        slope = jax.jacfwd(lambda x, law=law: law.rule(LOSS, x, 5).nodes)(X)
        assert np.all(np.isfinite(slope))
    sigma = SIGMA.copy()
    sigma[1, :] = sigma[:, 1] = 0
    law = GaussianNoise(sigma)
    np.testing.assert_allclose(law.joint(LOSS, X, 3).nodes[:, 1], 0, atol=1e-15)
    grid, weights = pair_rule(law.rule(LOSS, X, 4), law.gram(LOSS, X, 4), 0, 1)
    assert float(jnp.sum(weights * grid[..., 0] ** 2)) == pytest.approx(0.8, rel=1e-13)
    assert float(jnp.sum(weights * grid[..., 0] * grid[..., 1])) == 0.0


@pytest.mark.statistical
@pytest.mark.parametrize("name", GAUSSIANS)
def test_gaussian_samples(name):
    """False alarm 1e-6 in all (27 normal means, two-sided); power 0.99 against an error of 0.027 deviations."""
    law, sigma = GAUSSIANS[name]
    count = 65536
    draws = jax.vmap(lambda key: law.sample(key, LOSS, X))(jax.random.split(jax.random.key(0), count))
    centred = np.asarray(draws) - np.asarray(LOSS.gradient(X))
    limit = norm.isf(1e-6 / 45 / 2) / np.sqrt(count)
    for i in range(3):
        assert abs(centred[:, i].mean()) < limit * np.sqrt(sigma[i, i])
        for j in range(i, 3):
            spread = np.sqrt(sigma[i, i] * sigma[j, j] + sigma[i, j] ** 2)
            assert abs((centred[:, i] * centred[:, j]).mean() - sigma[i, j]) < limit * spread


def test_the_law_on_a_rung():
    for law, sigma in GAUSSIANS.values():
        finer = np.asarray(law.at(0.25, Regime.BATCH_EQUIVALENT).covariance(LOSS, X))
        np.testing.assert_allclose(np.diag(finer) if finer.ndim == 1 else finer, 4 * sigma, rtol=1e-14)
        same = np.asarray(law.at(0.25, Regime.BALLISTIC).covariance(LOSS, X))
        np.testing.assert_allclose(np.diag(same) if same.ndim == 1 else same, sigma, rtol=1e-14)


@pytest.mark.parametrize(
    ("covariance", "words"),
    [
        ([[1.0, 2.0], [2.0, 1.0]], "not positive semidefinite: its smallest eigenvalue is -1"),
        ([[1.0, 0.2], [0.1, 1.0]], "not symmetric: it differs from its transpose by 0.1"),
        ([[1.0, np.nan], [np.nan, 1.0]], "not finite"),
        (np.inf, "not finite"),
        (-0.5, "a variance of -0.5"),
        ([0.5, -0.1], "a variance of -0.1"),
        ([[1.0, 0.0]], r"shape \[1, 2\]"),
        (np.zeros((2, 2, 2)), r"shape \[2, 2, 2\]"),
    ],
)
def test_what_is_no_covariance_is_refused(covariance, words):
    with pytest.raises(DriftaxError, match=words):
        GaussianNoise(covariance)


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (GaussianNoise([0.5, 0.5]), r"shape \[2\] for 3 params"),
        (GaussianNoise(np.eye(2)), r"shape \[2, 2\] for 3 params"),
        (GaussianNoise(lambda x: jnp.diag(x)), r"shape \[3, 3\] for 3 params|not positive semidefinite"),
        (GaussianNoise(lambda x: x), "a variance of -0.5"),
        (GaussianNoise(lambda x: x[None] * x[:, None] - jnp.eye(3), independent=False), "not positive semi"),
        (GaussianNoise(lambda x: jnp.tri(3), independent=False), "not symmetric"),
        (GaussianNoise(lambda x: jnp.sqrt(x)), "not finite"),
    ],
)
def test_what_is_no_covariance_at_these_params_is_refused(law, words):
    with pytest.raises(DriftaxError, match=words):
        law.check(LOSS, X)


# ---------------------------------------------------------------- signs


def exact_sign_covariance(a, b, rho):
    """Price's theorem, integrated adaptively (to about 1e-13 for |rho| < 1)."""
    if abs(rho) == 1:
        sign = np.sign(rho)
        both = norm.cdf(min(a, sign * b)) * 4 - 2 * norm.cdf(a) - 2 * norm.cdf(sign * b) + 1
        return sign * (both - erf(a / 2**0.5) * erf(sign * b / 2**0.5))

    def density(t):
        return np.exp(-((a - b * np.sin(t)) ** 2 / np.cos(t) ** 2 + b * b) / 2)

    end = np.arcsin(rho)
    pieces = end * (1 - np.append(np.geomspace(1, 1e-9, 19), 0.0))
    values = (
        quad(density, p, q, epsabs=1e-15, epsrel=1e-12)[0] for p, q in zip(pieces, pieces[1:], strict=False)
    )
    return 2 / np.pi * sum(values)


def test_sign_covariance_of_the_worked_example():
    found = float(sign_covariance(jnp.asarray([[0.3]]), jnp.asarray([[-0.5]]), jnp.asarray([[0.6]]))[0, 0])
    assert found == pytest.approx(0.3176905, abs=5e-8)


def test_sign_covariance_against_the_bivariate_normal():
    rng = np.random.default_rng(0)
    for rho in (-0.95, -0.4, 0.0, 0.2, 0.7, 0.99):
        a, b = rng.normal(size=2)
        both = multivariate_normal([0, 0], [[1, rho], [rho, 1]]).cdf([a, b])
        expected = 4 * both - 2 * norm.cdf(a) - 2 * norm.cdf(b) + 1 - erf(a / 2**0.5) * erf(b / 2**0.5)
        found = float(sign_covariance(jnp.asarray([[a]]), jnp.asarray([[b]]), jnp.asarray([[rho]]))[0, 0])
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("rho", "tolerance"),
    [(0.5, 1e-13), (-0.9, 1e-13), (0.999, 1e-13), (-0.99999, 1e-8), (1.0, 1e-5), (-1.0, 1e-5)],
)
def test_sign_covariance_up_to_perfect_correlation(rho, tolerance):
    rng = np.random.default_rng(1)
    a = rng.normal(size=(40, 1))
    b = np.sign(rho) * a + rng.normal(size=(40, 1)) * 10.0 ** rng.uniform(-4, 0.3, size=(40, 1))
    found = sign_covariance(jnp.asarray(a), jnp.asarray(b), jnp.full((40, 1), rho))[:, 0]
    expected = [exact_sign_covariance(float(p[0]), float(q[0]), rho) for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_sign_moments():
    shift = jnp.asarray([0.1, -0.3, 0.0])
    mean_gradient = np.asarray(LOSS.gradient(X) + shift)
    for law, sigma in GAUSSIANS.values():
        moments = sign_moments(law, LOSS, X, shift)
        deviation = np.sqrt(np.diag(sigma))
        a = mean_gradient / deviation
        np.testing.assert_allclose(moments.mean, erf(a / 2**0.5), rtol=1e-14)
        np.testing.assert_allclose(moments.linear, 2 * norm.pdf(a), rtol=1e-13)
        covariance = np.asarray(moments.covariance)
        assert covariance.ndim == (1 if law.independent else 2)
        covariance = np.diag(covariance) if law.independent else covariance
        np.testing.assert_allclose(np.diag(covariance), 1 - erf(a / 2**0.5) ** 2, rtol=1e-12)
        for i, j in [(0, 1), (0, 2), (1, 2)]:
            rho = sigma[i, j] / (deviation[i] * deviation[j])
            assert covariance[i, j] == pytest.approx(exact_sign_covariance(a[i], a[j], rho), abs=1e-13)
            assert covariance[i, j] == pytest.approx(covariance[j, i], abs=1e-15)


def test_sign_moments_where_the_sign_is_nearly_certain():
    """1 - erf^2 keeps its digits: at 8 standard deviations it is 2.5e-15."""
    law = GaussianNoise([1.0])
    moments = sign_moments(law, Quadratic([[1.0]]), jnp.asarray([8.0]), jnp.zeros(1))
    assert float(moments.covariance[0]) == pytest.approx(4 * norm.sf(8.0), rel=1e-10, abs=0)


def test_sign_moments_of_a_coordinate_without_noise():
    sigma = SIGMA.copy()
    sigma[1, :] = sigma[:, 1] = 0
    for law in (GaussianNoise(sigma), GaussianNoise([0.8, 0.0, 0.6])):
        moments = sign_moments(law, LOSS, X, jnp.zeros(3))
        assert float(moments.mean[1]) == float(jnp.sign(LOSS.gradient(X)[1]))
        covariance = np.asarray(moments.covariance)
        assert not np.any(covariance[1]) and np.all(np.isfinite(covariance))
        slope = jax.jacfwd(lambda x, law=law: sign_moments(law, LOSS, x, jnp.zeros(3)).mean)(X)
        assert np.all(np.isfinite(slope)) and not np.any(slope[1])
