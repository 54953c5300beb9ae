"""Coefficients of distributed variants by direct simulation, and SVAG's two draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Adam,
    Chain,
    DriftaxError,
    EmpiricalNoise,
    GaussianNoise,
    MinibatchNoise,
    Quadratic,
    Regime,
    RMSprop,
    SignSGD,
    StudentT,
    derive,
    local_order,
)
from driftax.noise import Message, TwiceDrawn, WorkersNoise, pair_rule, sign_moments
from driftax.objective.models import finite_sum_by_name
from driftax.published import publish
from driftax.published.distributed_2025 import (
    dsgd_covariance,
    dsignsgd,
    dsignsgd_loss,
    recovered,
    sparsified_covariance,
)
from driftax.published.svag_2021 import svag

DRAWS, FALSE_ALARM_Z = 200_000, 5.5  # two-sided false alarm of 4e-8 per entry
GRADIENT = np.asarray([0.5, -0.2])
COVARIANCE = np.asarray([[0.4, 0.1], [0.1, 0.3]])


def gradients(workers, seed=0):
    root = np.linalg.cholesky(COVARIANCE)
    return GRADIENT + np.random.default_rng(seed).normal(size=(DRAWS, workers, 2)) @ root.T


def close(sample, expected):
    """Covariance of a sample beside the exact one, within its standard error."""
    centred = sample - sample.mean(axis=0)
    products = np.einsum("ni,nj->nij", centred, centred)
    error = products.std(axis=0) / np.sqrt(len(sample))
    assert np.all(np.abs(products.mean(axis=0) - expected) < FALSE_ALARM_Z * error + 1e-12)


def test_averaged_gradients_have_a_covariance_divided_by_the_workers():
    mean = gradients(4).mean(axis=1)
    close(mean, dsgd_covariance(1.0, jnp.stack([jnp.asarray(COVARIANCE)] * 4)))


@pytest.mark.parametrize("keep", [1.0, 0.25])
def test_sparsified_gradients_have_the_covariance_of_the_formula(keep):
    mask = np.random.default_rng(1).random((DRAWS, 4, 2)) < keep
    sent = (mask * gradients(4) / keep).mean(axis=1)
    expected = sparsified_covariance(1.0, jnp.asarray(GRADIENT), jnp.asarray(COVARIANCE), keep, 4)
    close(sent, np.asarray(expected))
    np.testing.assert_allclose(
        sent.mean(axis=0), GRADIENT, atol=FALSE_ALARM_Z * np.sqrt(np.diag(expected) / DRAWS).max()
    )


def test_mean_signs_have_drift_and_variances_of_the_formula():
    signs = np.sign(gradients(4)).mean(axis=1)
    drift, variance = dsignsgd(1.0, jnp.asarray(GRADIENT), jnp.sqrt(jnp.diagonal(jnp.asarray(COVARIANCE))), 4)
    error = signs.std(axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(-signs.mean(axis=0) - drift) < FALSE_ALARM_Z * error)
    np.testing.assert_allclose(signs.var(axis=0), variance, rtol=0.02)


def test_the_stationary_loss_of_mean_signs_falls_like_one_over_the_workers():
    """1.014 of the leading term at N = 16, eta = 0.01 on the theory page; the term is exact as eta falls."""
    random, x = np.random.default_rng(2), np.zeros(4096)
    total, count = 0.0, 0
    for step in range(3000):
        noise = random.normal(size=(4, len(x)))
        x = x - 0.01 * np.sign(x[None, :] + noise).mean(axis=0)
        if step >= 1000:
            total, count = total + 0.5 * np.mean(x**2), count + 1
    assert total / count == pytest.approx(float(dsignsgd_loss(0.01, jnp.ones(1), 4)), rel=0.03)


def test_what_recovers_from_compression():
    assert recovered(0.1, 32, 4, 3.0) == {"learning_rate": 0.025, "batch": 128.0, "workers": 16.0}
    with pytest.raises(DriftaxError, match="keep"):
        sparsified_covariance(1.0, jnp.asarray(GRADIENT), jnp.asarray(COVARIANCE), 0.0, 4)


@pytest.mark.parametrize(
    ("optimizer", "more", "rate", "forget"),
    [(SGD(0.1), 4, 0.025, None), (RMSprop(0.1, 0.9, 0.01), 16, 0.025, 0.1 / 16)],
)
def test_svag_of_a_gaussian_law_is_the_batch_equivalent_ladder(optimizer, more, rate, forget):
    chain, factor = svag(Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.5), optimizer), 4)
    assert factor == more
    assert float(chain.optimizer.learning_rate) == pytest.approx(rate)
    variance = chain.noise.covariance(chain.objective, jnp.zeros(1))
    assert float(jnp.squeeze(variance)) == pytest.approx(0.5 * more)
    if forget is not None:
        assert 1 - float(chain.optimizer.decay) == pytest.approx(forget)
        assert float(chain.optimizer.eps) == pytest.approx(0.04)


def test_svag_of_minibatches_keeps_the_mean_and_amplifies_the_noise():
    objective, params = finite_sum_by_name("diabetes", "linear", 0)
    chain, more = svag(Chain(objective, MinibatchNoise(8), Adam(1e-3)), 3)
    law = chain.noise
    assert more == 9
    assert float(sum(law.shares)) == pytest.approx(1)
    draw = law.draws(objective).draw(jax.random.key(0), (), 4000, params.dtype)
    drawn = np.asarray(jax.vmap(lambda d: law.gradient(objective, params, d), in_axes=-1)(draw))
    exact = np.sqrt(np.diag(law.covariance(objective, params)))
    np.testing.assert_allclose(
        exact**2, 9 * np.diag(MinibatchNoise(8).covariance(objective, params)), rtol=1e-6
    )
    np.testing.assert_allclose(drawn.std(axis=0), exact, rtol=0.12)
    gap = np.abs(drawn.mean(axis=0) - objective.gradient(params))
    assert np.all(gap < FALSE_ALARM_Z * exact / np.sqrt(4000))


def _moments(law, objective, params):
    """Mean, and `E y_i^a y_j^b` of the centred noise, from one quadrature of a law on every pair of coordinates."""
    rule, gram = law.rule(objective, params, 3), law.gram(objective, params, 3)
    mean = jnp.sum(rule.weights * rule.nodes, axis=0)
    found = {}
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        grid, weights = pair_rule(rule, gram, i, j)
        y = np.asarray(grid) - np.asarray(mean)[[i, j]]
        if i == j:
            y, weights = (
                np.asarray(rule.nodes[:, i] - mean[i])[:, None, None] * np.ones(2),
                rule.weights[:, i, None],
            )
        for a, b in ((1, 1), (1, 2), (2, 2)):
            found[i, j, a, b] = float(np.sum(weights * y[..., 0] ** a * y[..., 1] ** b))
    return np.asarray(mean), found


def _enumerated(points, weights):
    """The same of a law with finitely many values [value, 2]."""
    mean = weights @ points
    y = points - mean
    return mean, {
        (i, j, a, b): float(weights @ (y[:, i] ** a * y[:, j] ** b))
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1))
        for a, b in ((1, 1), (1, 2), (2, 2))
    }


def _mean_of(points, weights, count):
    """The law of the mean of `count` independent values."""
    total, mass = points, weights
    for _ in range(count - 1):
        total = (total[:, None] + points[None]).reshape(-1, 2)
        mass = (mass[:, None] * weights[None]).reshape(-1)
    return total / count, mass


def _same(law, objective, params, points, weights):
    mean, ours = _moments(law, objective, params)
    expected_mean, expected = _enumerated(points, weights)
    np.testing.assert_allclose(np.asarray(objective.gradient(params)) + mean, expected_mean, atol=1e-12)
    for key, value in expected.items():
        assert ours[key] == pytest.approx(value, abs=1e-10), key


@pytest.mark.parametrize("workers", [1, 3])
def test_messages_have_their_exact_moments_to_order_4(workers):
    """Sparse gradients and signs beside their laws written out: Gauss-Hermite nodes, masks and orthants."""
    objective, params = Quadratic([[1.0, 0.3], [0.3, 0.5]]), jnp.asarray([0.6, -0.7])
    law, gradient = GaussianNoise(COVARIANCE), np.asarray(objective.gradient(params))
    rule = law.joint(objective, params, 5)
    values, weights = gradient + np.asarray(rule.nodes), np.asarray(rule.weights)
    masks = np.asarray([[0, 0], [0, 1], [1, 0], [1, 1]])
    chances = np.prod(np.where(masks == 1, 0.4, 0.6), axis=1)
    sent = (values[:, None] * masks[None] / 0.4).reshape(-1, 2)
    chance = (weights[:, None] * chances[None]).reshape(-1)
    if workers == 1:
        _same(WorkersNoise(law, 1, Message.SPARSE, 0.4), objective, params, sent, chance)
    moments = sign_moments(law, objective, params, jnp.zeros(2))
    signs = np.asarray([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    both = float(moments.covariance[0, 1] + moments.mean[0] * moments.mean[1])
    orthants = (1 + signs @ np.asarray(moments.mean) + signs[:, 0] * signs[:, 1] * both) / 4
    _same(WorkersNoise(law, workers, Message.SIGN), objective, params, *_mean_of(signs, orthants, workers))


@pytest.mark.parametrize("growth", [1.0, 4.0])
def test_two_draws_have_their_exact_moments_to_order_4(growth):
    objective, params = Quadratic(jnp.eye(2)), jnp.zeros(2)
    vectors = np.asarray([[0.0, 1.0], [2.0, 1.5], [1.0, -0.5], [-1.0, 0.2]])
    law = TwiceDrawn(EmpiricalNoise(vectors)).at(1 / growth, Regime.BATCH_EQUIVALENT)
    centred, (first, second) = vectors - vectors.mean(axis=0), law.shares
    pairs = (float(first) * centred[:, None] + float(second) * centred[None]).reshape(-1, 2)
    _same(law, objective, params, pairs, np.full(16, 1 / 16))


@pytest.mark.parametrize("message", Message)
def test_the_model_by_name_is_the_compiled_equation_of_order_1(message):
    """With the decays of SGD; drift and covariance to 1e-10."""
    keep = 0.5 if message is Message.SPARSE else 1.0
    law = WorkersNoise(GaussianNoise(COVARIANCE), 4, message, keep)
    chain = Chain(Quadratic([[1.0, 0.3], [0.3, 0.5]]), law, SGD(0.1, weight_decay=0.2))
    z = jnp.asarray([0.6, -0.7])
    ours, theirs = derive(chain, weak_order=1), publish("distributed-2025", chain)
    np.testing.assert_allclose(theirs.step_drift(0.0, z), ours.step_drift(0.0, z), atol=1e-12)
    np.testing.assert_allclose(theirs.step_covariance(0.0, z), ours.step_covariance(0.0, z), atol=1e-12)
    if message is Message.SIGN:  # the one whose mean is no gradient
        assert local_order(derive(chain, weak_order=2, at=z[None]), z[None]).order > 1.9


def test_the_closed_forms_are_the_coefficients_of_the_model():
    objective, params = Quadratic([[1.0, 0.3], [0.3, 0.5]]), jnp.asarray([0.6, -0.7])
    gradient, deviation = objective.gradient(params), jnp.sqrt(jnp.diagonal(jnp.asarray(COVARIANCE)))
    law = WorkersNoise(GaussianNoise(COVARIANCE), 4, Message.SPARSE, 0.5)
    expected = sparsified_covariance(0.1, gradient, jnp.asarray(COVARIANCE), 0.5, 4)
    np.testing.assert_allclose(0.1 * law.covariance(objective, params), expected, rtol=1e-12)
    law = WorkersNoise(GaussianNoise(COVARIANCE), 4, Message.SIGN)
    drift, variances = dsignsgd(0.1, gradient, deviation, 4)
    np.testing.assert_allclose(-law.mean(objective, params), drift, rtol=1e-12)
    np.testing.assert_allclose(0.1 * jnp.diagonal(law.covariance(objective, params)), variances, rtol=1e-12)


def test_a_drawn_message_has_the_mean_and_covariance_of_its_law():
    objective, params = Quadratic([[1.0, 0.3], [0.3, 0.5]]), jnp.asarray([0.6, -0.7])
    law = WorkersNoise(StudentT(0.5, 1.0), 4, Message.SIGN)
    draw = law.draws(objective).draw(jax.random.key(0), (), DRAWS, params.dtype)
    drawn = np.asarray(jax.vmap(lambda d: law.gradient(objective, params, d), in_axes=-1)(draw))
    close(drawn, np.asarray(law.covariance(objective, params)))
    error = drawn.std(axis=0) / np.sqrt(DRAWS)
    assert np.all(np.abs(drawn.mean(axis=0) - law.mean(objective, params)) < FALSE_ALARM_Z * error)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: WorkersNoise(StudentT(0.5, 5.0), 2), "StudentT"),
        (lambda: WorkersNoise(GaussianNoise(0.5), 0), "workers"),
        (lambda: WorkersNoise(GaussianNoise(0.5), 2, Message.SIGN, 0.5), "keep"),
        (lambda: TwiceDrawn(GaussianNoise(0.5)), "recorded"),
        (
            lambda: publish("distributed-2025", Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.5), SGD(0.1))),
            "workers",
        ),
        (
            lambda: publish(
                "li-tai-e-2019-1",
                Chain(Quadratic(jnp.eye(1)), WorkersNoise(GaussianNoise(0.5), 2, Message.SIGN), SGD(0.1)),
            ),
            "distributed-2025",
        ),
    ],
)
def test_what_is_refused(build, said):
    with pytest.raises(DriftaxError, match=said):
        build()


@pytest.mark.parametrize(
    "chain",
    [
        Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.5), SignSGD(0.1)),
        Chain(Quadratic(jnp.eye(1)), StudentT(0.5, 5.0), SGD(0.1)),
    ],
)
def test_svag_refuses_what_it_is_not_made_for(chain):
    with pytest.raises(DriftaxError, match="svag"):
        svag(chain, 2)
