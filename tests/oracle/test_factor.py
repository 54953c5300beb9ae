"""The noise of an equation is a factor of its covariance: S S^T = covariance + O(h^3) per step."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adam, Chain, GaussianNoise, Regime, RMSprop, SignSGD, derive
from driftax.equation.factor import channel_count, has_channels, step_noise
from oracle import cases

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
MATRIX = GaussianNoise([[0.8, 0.3], [0.3, 0.5]])
MOVING, MOVING_MATRIX = cases.LAWS["diagonal"][0], cases.LAWS["matrix"][0]


@eqx.filter_jit
def square(equation, number, z):
    """S S^T per step, and the covariance per step."""
    normals = jnp.zeros((channel_count(equation), z.shape[1]))
    columns = jax.jacfwd(lambda xi: step_noise(equation, number, z, xi).reshape(-1))(normals)
    columns = columns.reshape(z.size, -1)
    return columns @ columns.T, equation.step_covariance(number, z.reshape(-1))


@pytest.mark.parametrize(
    ("optimizer", "law", "regime", "channels"),
    [
        (SGD(0.05, 0.3), MATRIX, BATCH, True),
        (RMSprop(0.1, 0.97, 0.2, 0.3), MATRIX, BATCH, True),
        (Adam(0.1, 0.95, 0.97, 0.2), MATRIX, BATCH, True),
        (RMSprop(0.1, 0.97, 0.2), MOVING, BALLISTIC, True),
        (RMSprop(0.1, 0.97, 0.2), MOVING_MATRIX, BALLISTIC, False),
        (SGD(0.05), MOVING, BATCH, False),
        (RMSprop(0.1, 0.97, 0.2), MOVING, BATCH, False),
        (SignSGD(0.1), MOVING, BALLISTIC, True),
        (SignSGD(0.1), MATRIX, BALLISTIC, False),
    ],
)
def test_the_factor_squares_to_the_covariance(optimizer, law, regime, channels):
    x, m, v = cases.state(2)
    z = jnp.stack({1: [x], 2: [x, v], 3: [x, m, v]}[len(optimizer.slots)])
    equation = derive(Chain(cases.objective(2), law, optimizer, regime))
    assert has_channels(equation) == channels
    gaps = []
    for scale in (2.0**-6, 2.0**-9):
        rung = equation.at(scale)
        found, expected = square(rung, jnp.asarray(6.0 / scale), z)
        h = float(rung.time_step)
        gaps.append(float(jnp.max(jnp.abs(found - expected))) / h**3)
        assert float(jnp.max(jnp.abs(expected))) > 1e-4 * (h**2 if regime is BALLISTIC else h)
    assert gaps[1] < 1.5 * gaps[0] + 1e-3 and np.all(np.isfinite(gaps))


def test_the_factor_at_order_1_squares_to_the_covariance_of_a_step():
    x, _, v = cases.state(2)
    chain = Chain(cases.objective(2), MATRIX, RMSprop(0.1, 0.97, 0.2), BATCH)
    found, expected = square(derive(chain, weak_order=1).at(2.0**-8), jnp.asarray(0.0), jnp.stack([x, v]))
    np.testing.assert_allclose(found, expected, atol=1e-12)
