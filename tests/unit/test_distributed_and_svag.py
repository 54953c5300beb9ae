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
    GaussianNoise,
    MinibatchNoise,
    Quadratic,
    RMSprop,
    SignSGD,
    StudentT,
)
from driftax.objective.models import finite_sum_by_name
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
    assert more == 9
    law = chain.noise
    assert float(law.first + law.second) == pytest.approx(1)
    assert float(law.first**2 + law.second**2) == pytest.approx(9)
    draw = law.draws(objective).draw(jax.random.key(0), (), 4000, params.dtype)
    drawn = np.asarray(jax.vmap(lambda d: law.gradient(objective, params, d), in_axes=-1)(draw))
    exact = np.sqrt(np.diag(law.covariance(objective, params)))
    np.testing.assert_allclose(drawn.std(axis=0), exact, rtol=0.12)
    gap = np.abs(drawn.mean(axis=0) - objective.gradient(params))
    assert np.all(gap < FALSE_ALARM_Z * exact / np.sqrt(4000))


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
