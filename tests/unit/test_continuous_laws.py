"""Laws with densities beyond the Gaussian: Student-t, skewed, mixtures, label noise, covariances that grow with
the loss."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gamma
from scipy.stats import lognorm, norm
from scipy.stats import t as student

from driftax import (
    DriftaxError,
    FiniteSum,
    GaussianMixture,
    GaussianNoise,
    LabelNoise,
    Quadratic,
    Regime,
    SkewedNoise,
    StudentT,
)
from driftax.noise import sign_moments
from driftax.objective.models import breast_cancer, diabetes, linear, logistic

LOSS = Quadratic(np.diag([1.0, 2.0, 0.5]))
X = jnp.asarray([0.3, -0.5, 0.8])
SCALES = [0.7, 0.2, 1.5]
COMPONENTS = ((0.7, 0.3), (-0.5, 1.0), (1.0, 2.0))
LAWS = {
    "student_t": StudentT(SCALES, 8.0),
    "skewed": SkewedNoise(np.square(SCALES), 1.2),
    "reflected": SkewedNoise(0.5, -0.4),
    "mixture": GaussianMixture(*COMPONENTS, scale=SCALES),
}


def student_moment(dof, power):
    """E t^power for an even power below dof."""
    return (
        dof ** (power / 2) * gamma((power + 1) / 2) * gamma((dof - power) / 2) / gamma(0.5) / gamma(dof / 2)
    )


# ---------------------------------------------------------------- any of them


@pytest.mark.parametrize("name", LAWS)
def test_the_image_increases_and_the_score_is_its_inverse(name):
    law = LAWS[name]
    scores = jnp.linspace(-6.0, 6.0, 241)
    images = jax.vmap(lambda s: law.image(LOSS, X, jnp.full(3, s)))(scores)
    assert np.all(np.diff(images, axis=0) > 0)
    back = jax.vmap(lambda z: law.score(LOSS, X, z))(images)
    np.testing.assert_allclose(back, np.broadcast_to(np.asarray(scores)[:, None], (241, 3)), atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_the_image_and_the_score_have_all_their_derivatives(name):
    """Against differences of the derivative one lower; the image of the score is the identity to any order."""
    law, step = LAWS[name], 1e-5

    def image(s):
        return law.image(LOSS, X, jnp.full(3, s))[0]

    def score(z):
        return law.score(LOSS, X, jnp.full(3, z))[0]

    for function in (image, score):
        for _ in range(3):
            slope = jax.grad(function)
            for at in (-1.3, -0.2, 0.4, 2.0):
                found = (function(at + step) - function(at - step)) / (2 * step)
                assert float(slope(at)) == pytest.approx(float(found), rel=1e-6, abs=1e-6)
            function = slope
    both = lambda s: score(image(s))
    for at in (-2.0, 0.0, 1.0):
        assert float(jax.grad(both)(at)) == pytest.approx(1, abs=1e-11)
        assert float(jax.grad(jax.grad(both))(at)) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("nodes", [3, 15])
def test_rules_have_the_moments_of_the_law(name, nodes):
    law = LAWS[name]
    variance, skewness, kurtosis = law.shape_moments
    rule = law.rule(LOSS, X, nodes)
    assert rule.complete == (nodes == 3) and not law.complete
    deviation = np.sqrt(np.asarray(law.covariance(LOSS, X)))
    np.testing.assert_allclose(deviation, np.sqrt(variance) * np.asarray(law._scales(X)), rtol=1e-13)
    expected = [1.0, 0.0, 1.0, skewness, kurtosis]
    for power, moment in enumerate(expected):
        found = np.sum(rule.weights * (rule.nodes / deviation[None]) ** power, axis=0)
        np.testing.assert_allclose(found, moment, rtol=1e-8, atol=1e-8)
    products = np.einsum("mai,ai,nai->imn", rule.polynomials, rule.weights, rule.polynomials)
    np.testing.assert_allclose(
        products, np.broadcast_to(np.eye(products.shape[1]), products.shape), atol=1e-9
    )
    assert law.gram(LOSS, X, nodes) is None and law.independent and law.constant and not law.gaussian


@pytest.mark.parametrize("name", LAWS)
def test_laws_on_a_rung_and_of_another_length(name):
    law = LAWS[name]
    finer = law.at(0.25, Regime.BATCH_EQUIVALENT)
    np.testing.assert_allclose(finer.covariance(LOSS, X), 4 * law.covariance(LOSS, X), rtol=1e-13)
    assert finer.shape_moments == law.shape_moments and law.at(0.25, Regime.BALLISTIC) is law
    law.check(LOSS, X)
    if np.ndim(law.scale):
        with pytest.raises(DriftaxError, match="3 scales for 2 params"):
            law.check(Quadratic(np.eye(2)), X[:2])


@pytest.mark.statistical
@pytest.mark.parametrize("name", LAWS)
def test_samples(name):
    """False alarm 1e-6 in all (16 normal means, two-sided); power 0.99 against an error of 0.03 deviations."""
    law, count = LAWS[name], 65536
    draws = jax.vmap(lambda key: law.sample(key, LOSS, X))(jax.random.split(jax.random.key(0), count))
    score = jax.vmap(lambda z: law.score(LOSS, X, z))(draws - LOSS.gradient(X)[None])
    limit = norm.isf(1e-6 / 16 / 2) / np.sqrt(count)
    mean, square = np.mean(score, axis=0), np.mean(score**2, axis=0)
    assert np.all(np.abs(mean) < limit) and np.all(np.abs(square - 1) < limit * np.sqrt(2))


# ---------------------------------------------------------------- Student-t


@pytest.mark.parametrize("dof", [0.1, 0.5, 1.0, 1.5, 3.0, 30.0, 1e4])
def test_student_quantiles_far_out(dof):
    law, loss = StudentT(1.0, dof), Quadratic([[1.0]])
    n = np.asarray([1.0, 2.0, 4.0, 6.0])
    found = jax.vmap(lambda s: law.image(loss, jnp.zeros(1), s[None]))(jnp.asarray(n))[:, 0]
    np.testing.assert_allclose(student.sf(np.asarray(found), dof), norm.sf(n), rtol=1e-10)


@pytest.mark.parametrize("dof", [0.5, 1.0, 1.5, 3.0, 30.0])
def test_sign_moments_of_student_noise(dof):
    law = StudentT(SCALES, dof)
    for scale in (1.0, 1e-3, 30.0):
        at = scale * X
        moments = sign_moments(law, LOSS, at, jnp.zeros(3))
        ratio = np.asarray(LOSS.gradient(at)) / np.asarray(SCALES)
        mean = 1 - 2 * student.cdf(-ratio, dof)
        np.testing.assert_allclose(moments.mean, mean, atol=1e-12)
        np.testing.assert_allclose(
            moments.covariance, 4 * student.cdf(-ratio, dof) * student.sf(-ratio, dof), atol=1e-12
        )
    slope = jax.jacfwd(lambda x: sign_moments(law, LOSS, x, jnp.zeros(3)).mean)(X)
    density = 2 * student.pdf(np.asarray(LOSS.gradient(X)) / SCALES, dof) / SCALES
    np.testing.assert_allclose(slope, np.diag(density * np.diag(LOSS.hessian)), atol=1e-12)


@pytest.mark.parametrize("dof", [2.5, 3.0, 4.5, 8.0, 30.0])
def test_moments_of_student_noise_that_exist(dof):
    """Also without a kurtosis; the rule of few nodes is then the fine one."""
    law = StudentT(SCALES, dof)
    rule = law.rule(LOSS, X, 15)
    for power in (2, 4, 6):
        if power < 0.85 * dof:
            found = np.sum(rule.weights * rule.nodes**power, axis=0) / np.asarray(SCALES) ** power
            np.testing.assert_allclose(found, student_moment(dof, power), rtol=1e-8)
    np.testing.assert_allclose(law.covariance(LOSS, X), np.square(SCALES) * dof / (dof - 2), rtol=1e-13)
    few = law.rule(LOSS, X, 3)
    assert len(few.weights) == (3 if dof > 4 else len(few.weights)) and few.complete == (dof > 4)
    assert law.dof == dof


def test_student_noise_without_a_covariance():
    law = StudentT(1.0, 2.0)
    with pytest.raises(DriftaxError, match="2 degrees of freedom, with which it is infinite"):
        law.covariance(LOSS, X)
    np.testing.assert_array_equal(sign_moments(StudentT(0.0, 1.0), LOSS, X, jnp.zeros(3)).mean, jnp.sign(X))


# ---------------------------------------------------------------- the others


@pytest.mark.parametrize("skewness", [-5.0, -0.3, 0.001, 0.01, 1.0, 4.0])
def test_the_skewed_law_is_a_shifted_lognormal(skewness):
    law = SkewedNoise(2.0, skewness)
    exact = lognorm(law._tau)
    _, variance, third, excess = exact.stats("mvsk")
    assert abs(float(third)) == pytest.approx(abs(skewness), rel=1e-9)
    assert law.shape_moments[2] == pytest.approx(float(excess) + 3, rel=1e-9)
    n, sign = 0.7, np.sign(skewness)
    standard = sign * (exact.ppf(norm.cdf(sign * n)) - exact.mean()) / np.sqrt(float(variance))
    assert float(law.image(LOSS, X, jnp.full(3, n))[0]) == pytest.approx(np.sqrt(2.0) * standard, rel=1e-9)


def test_a_sign_beyond_the_support_of_skewed_noise_is_certain():
    law = SkewedNoise(0.01, 2.0)  # bounded below by -0.1 / sqrt(exp(tau^2) - 1)
    moments = sign_moments(law, LOSS, jnp.asarray([5.0, -5.0, 5.0]), jnp.zeros(3))
    np.testing.assert_array_equal(moments.mean[jnp.asarray([0, 2])], 1.0)
    slope = jax.jacfwd(lambda x: sign_moments(law, LOSS, x, jnp.zeros(3)).mean)(jnp.full(3, 5.0))
    assert not np.any(slope)


def test_the_mixture_has_its_distribution():
    law = GaussianMixture(*COMPONENTS)
    weights, means, deviations = (np.asarray(row) for row in COMPONENTS)
    means = means - weights @ means
    z = np.asarray([-4.0, -0.3, 1.7])
    cdf = norm.cdf((z[:, None] - means) / deviations) @ weights
    np.testing.assert_allclose(law.score(LOSS, X, jnp.asarray(z)), norm.ppf(cdf), rtol=1e-12)
    kurtosis = weights @ (means**4 + 6 * means**2 * deviations**2 + 3 * deviations**4)
    assert law.shape_moments[2] * law.shape_moments[0] ** 2 == pytest.approx(kurtosis, rel=1e-12)


def test_the_contaminated_normal_law():
    law = GaussianMixture((19, 1), None, (1, 5))
    variance, skewness, kurtosis = law.shape_moments
    assert (variance, skewness) == (pytest.approx(0.95 + 0.05 * 25), 0.0)
    assert kurtosis == pytest.approx(3 * (0.95 + 0.05 * 625) / variance**2, rel=1e-12)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: StudentT(1.0, 0.0), "dof = 0.0"),
        (lambda: StudentT(1.0, np.inf), "GaussianNoise"),
        (lambda: StudentT(-1.0, 3.0), r"scale = -1.0"),
        (lambda: StudentT(np.eye(2), 3.0), "scale = "),
        (lambda: SkewedNoise(1.0, 0.0), "GaussianNoise"),
        (lambda: SkewedNoise(1.0, 7.0), "from -5 to 5"),
        (lambda: SkewedNoise([1.0, -1.0], 1.0), r"variance = \[1.0, -1.0\]"),
        (lambda: GaussianMixture((1.0, 1.0), None, (1.0,)), "2 weights, 2 means and 1 deviations"),
        (lambda: GaussianMixture((1.0, 0.0), None, (1.0, 2.0)), r"weights = \[1.0, 0.0\]"),
        (lambda: GaussianMixture((1.0, 1.0), (-1.0, 1.0), (0.05, 0.05)), "hardly anything lies between"),
        (lambda: LabelNoise(-1.0), "variance = -1.0"),
        (lambda: GaussianNoise(1.0, per_loss=-1.0), "a variance of -1"),
        (lambda: GaussianNoise(1.0, per_loss=np.eye(2)), r"per loss of shape \[2, 2\] beside"),
        (lambda: GaussianNoise(lambda x: x**2, per_loss=1.0), "both a function of the params and per_loss"),
    ],
)
def test_what_is_no_law_is_refused(build, words):
    with pytest.raises(DriftaxError, match=words):
        build()


# ---------------------------------------------------------------- Gaussian laws that move with the params


@pytest.mark.parametrize("form", ["number", "vector", "matrix"])
def test_a_covariance_that_grows_with_the_loss(form):
    one, two = {
        "number": (0.4, 0.3),
        "vector": ([0.4, 0.1, 0.2], [0.3, 0.0, 0.1]),
        "matrix": (np.eye(3) + 0.2, 0.5 * np.eye(3)),
    }[form]
    law = GaussianNoise(one, per_loss=two)
    law.check(LOSS, X)
    assert not law.constant and law.roots is None and law.independent == (form != "matrix")
    expected = np.asarray(one) + float(LOSS.loss(X)) * np.asarray(two)
    np.testing.assert_allclose(
        law.covariance(LOSS, X), np.broadcast_to(expected, law.covariance(LOSS, X).shape)
    )
    rule = law.rule(LOSS, X, 5)
    variance = np.diag(expected) if form == "matrix" else expected
    np.testing.assert_allclose(
        np.sum(rule.weights * rule.nodes**2, axis=0), np.broadcast_to(variance, 3), rtol=1e-12
    )


def test_label_noise_of_linear_regression():
    """J_i = -(features_i, 1): the same covariance at all params."""
    problem = linear(diabetes())
    law = LabelNoise(0.5)
    law.check(problem.objective, problem.start)
    inputs = np.concatenate([np.asarray(diabetes()["features"]), np.ones((442, 1))], axis=1)
    exact = 0.5 / 442**2 * inputs.T @ inputs
    for params in (problem.start, problem.start + 0.7):
        np.testing.assert_allclose(law.covariance(problem.objective, params), exact, rtol=1e-10, atol=1e-16)
    finer = law.at(0.25, Regime.BATCH_EQUIVALENT)
    np.testing.assert_allclose(finer.covariance(problem.objective, params), 4 * exact, rtol=1e-10, atol=1e-16)
    root = np.asarray(law.root(problem.objective, params))
    np.testing.assert_allclose(root @ root.T, law.correlation(problem.objective, params), atol=1e-10)
    gram = law.gram(problem.objective, params, 3)
    np.testing.assert_allclose(gram[0, 0], law.correlation(problem.objective, params), atol=1e-12)


def curved(params, example):
    """A squared loss of a model that is not linear in its params."""
    return 0.5 * (jnp.tanh(params[0] * example["x"]) * params[1] - example["label"]) ** 2


def test_label_noise_moves_with_the_params_of_a_curved_model():
    x = jnp.asarray([0.5, -1.0, 2.0])
    objective = FiniteSum(curved, {"x": x, "label": jnp.asarray([1.0, 0.0, -1.0])}, 2)
    law, params = LabelNoise(0.3), jnp.asarray([0.4, 1.2])
    law.check(objective, params)
    slope = jnp.stack([params[1] * x / jnp.cosh(params[0] * x) ** 2, jnp.tanh(params[0] * x)], axis=1)
    np.testing.assert_allclose(law.covariance(objective, params), 0.3 / 9 * slope.T @ slope, rtol=1e-12)


def test_label_noise_refuses_other_losses():
    problem = logistic(breast_cancer())
    with pytest.raises(DriftaxError, match="not quadratic in the label"):
        LabelNoise(0.1).check(problem.objective, problem.start)  # at 0, where it looks quadratic
    unlabelled = FiniteSum(lambda x, a: jnp.sum((x - a) ** 2), jnp.zeros((3, 2)), 2)
    for objective, words in ((unlabelled, "no `label`"), (LOSS, "no sum over examples")):
        with pytest.raises(DriftaxError, match=words):
            LabelNoise(0.1).check(objective, X)
