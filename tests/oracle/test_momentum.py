"""Momentum: the taylor method against closed forms, both forms of the buffer, both regimes."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adagrad, Chain, GaussianNoise, Momentum, Quadratic, Regime, derive, local_order
from driftax.equation import Method
from driftax.optimizer import DecayForm, MomentumForm

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
H, C = 0.125, 0.75  # the time step and (1 - decay) per unit of time
HESSIAN = np.array([[1.0, 0.5], [0.5, 2.0]])
COVARIANCE = np.array([[0.5, 0.2], [0.2, 0.8]])
X, M = np.array([1.5, -1.0]), np.array([0.6, -0.2])
F = HESSIAN @ X


def momentum(form, **keywords):
    rate = H if form is MomentumForm.EMA else H * C * H
    return Momentum(rate, 1 - C * H, form, **keywords)


def equation(optimizer, regime=BALLISTIC, **keywords):
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), optimizer, regime)
    return derive(chain, method=Method.TAYLOR, **keywords)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("form", MomentumForm, ids=lambda f: f.value)
def test_taylor_coefficients_in_closed_form(form, nesterov):
    """b0 = (-m, c (f - m)), b1 = (c/2 (m - f), c/2 H m + c^2/2 (f - m)), noise in m alone.

    Nesterov's look-ahead adds -2 c (f - m) to the second coefficient of the step of x.
    """
    found = equation(momentum(form, nesterov=nesterov))
    state = jnp.asarray(np.concatenate([X, M]))
    ahead = -C * (F - M) if nesterov else 0.0
    drift = np.concatenate(
        [-M + H * (C / 2 * (M - F) + ahead), C * (F - M) + H * (C / 2 * HESSIAN @ M + C**2 / 2 * (F - M))]
    )
    np.testing.assert_allclose(found.drift(0.0, state), drift, rtol=1e-12, atol=1e-13)
    covariance = np.zeros((4, 4))
    covariance[2:, 2:] = H * C**2 * COVARIANCE
    np.testing.assert_allclose(found.covariance(0.0, state), covariance, atol=1e-13)


@pytest.mark.parametrize("form", MomentumForm, ids=lambda f: f.value)
def test_the_batch_equivalent_limit(form):
    """The covariance is per step: c^2 h Sigma per unit of time, where h Sigma stays."""
    found = equation(momentum(form), BATCH, weak_order=1)
    state = jnp.asarray(np.concatenate([X, M]))
    np.testing.assert_allclose(found.drift(0.0, state), np.concatenate([-M, C * (F - M)]), rtol=1e-12)
    covariance = np.zeros((4, 4))
    covariance[2:, 2:] = H * C**2 * COVARIANCE
    np.testing.assert_allclose(found.covariance(0.0, state), covariance, atol=1e-13)


@pytest.mark.parametrize(
    ("order", "regime", "method", "decay_form"),
    [
        (1, BALLISTIC, Method.FINITE_STEP, DecayForm.L2),
        (2, BALLISTIC, Method.TAYLOR, DecayForm.L2),
        (2, BALLISTIC, Method.TAYLOR, DecayForm.DECOUPLED),
        (2, BATCH, Method.FINITE_STEP, DecayForm.DECOUPLED),
        (2, BATCH, Method.TAYLOR, DecayForm.DECOUPLED),
        (1, BATCH, Method.TAYLOR, DecayForm.L2),
    ],
)
def test_momentum_certificates(order, regime, method, decay_form):
    optimizer = momentum(
        MomentumForm.HEAVY_BALL, nesterov=True, weight_decay=0.4, weight_decay_form=decay_form
    )
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), optimizer, regime)
    found = local_order(derive(chain, weak_order=order, method=method), jnp.asarray([X, M]))
    assert found.order == pytest.approx(order, abs=0.03)


@pytest.mark.parametrize(
    ("order", "method", "decay_form"),
    [
        (1, Method.FINITE_STEP, DecayForm.DECOUPLED),
        (2, Method.FINITE_STEP, DecayForm.DECOUPLED),
        (2, Method.FINITE_STEP, DecayForm.L2),
        (2, Method.TAYLOR, DecayForm.DECOUPLED),
    ],
)
def test_adagrad_certificates(order, method, decay_form):
    optimizer = Adagrad(0.25, 0.1, 0.05, weight_decay=0.4, weight_decay_form=decay_form)
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), optimizer)
    state = jnp.asarray([X, [1.0, 1.5]])
    found = local_order(derive(chain, weak_order=order, method=method, at=state), state, 2.0)
    assert found.order == pytest.approx(order, abs=0.03)


def test_adagrad_in_the_batch_equivalent_regime():
    """dx = -eta f/(sqrt(n) + eps) dt + eta Sigma^(1/2)/(sqrt(n) + eps) dW, dn = Sigma_d dt, in units of h^2 nu."""
    rate, eps = 0.25, 0.1
    h = rate**2
    found = equation(Adagrad(rate, eps), BATCH, weak_order=1)
    n = np.array([1.0, 1.5])
    divisor = np.sqrt(n) / h + eps  # sqrt(nu) + eps, with the numbers of rung 1
    state = jnp.asarray(np.concatenate([X, n]))
    drift = np.concatenate([-rate * F / divisor, h**2 * np.diag(COVARIANCE)]) / h
    np.testing.assert_allclose(found.drift(0.0, state), drift, rtol=1e-12)
    covariance = np.zeros((4, 4))
    covariance[:2, :2] = rate**2 * COVARIANCE / np.outer(divisor, divisor) / h
    np.testing.assert_allclose(found.covariance(0.0, state), covariance, atol=1e-13)
    assert local_order(found, state.reshape(2, 2)).order == pytest.approx(1, abs=0.03)


def test_adagrad_of_order_two_is_obstructed_there():
    with pytest.raises(ValueError, match="batch-equivalent regime"):
        equation(Adagrad(0.25, 0.1), BATCH, weak_order=2, at=jnp.asarray([X, [1.0, 1.5]]))
