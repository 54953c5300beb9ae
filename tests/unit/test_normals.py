"""Streams of normals, and members as one long vector."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adam, Chain, GaussianNoise, Quadratic, RMSprop, SignSGD, StudentT, derive
from driftax.simulate import steps
from driftax.simulate.drivers import NormalDriver
from driftax.simulate.normals import FastNormals
from driftax.simulate.schemes import Splitting

HESSIAN = [[1.0, 0.5], [0.5, 1.0]]
COVARIANCE = [[0.3, 0.2], [0.2, 0.4]]


@pytest.mark.statistical
def test_fast_normals_have_the_moments_of_normals_and_no_correlation():
    """False alarm about 1e-6 per number (4.9 standard errors): moments to the sixth, neighbours in every direction."""
    stream = FastNormals((False, True))
    shape, members = (2, 2, 3), 50_000
    state = stream.start(jax.random.key(3), shape, members)
    draws = []
    for index in range(3):
        draw, state = stream.draw(state, jnp.asarray(index), shape, members, jnp.float64)
        draws.append(np.asarray(draw))
    drawn = np.stack(draws)  # [step, half, channel, dim, member]
    exact = {1: (0, 1), 2: (1, 3), 3: (0, 15), 4: (3, 105), 5: (0, 945), 6: (15, 10395)}
    for channel, orders in ((0, range(1, 7)), (1, range(1, 6))):  # the three-point law matches to the fifth
        values = drawn[:, :, channel].ravel()
        for order in orders:
            mean, twice = exact[order]
            error = np.sqrt((twice - mean**2) / values.size)
            assert abs(np.mean(values**order) - mean) < 4.9 * error, (channel, order)
    for axis in range(drawn.ndim):
        pairs = np.take(drawn, range(1, drawn.shape[axis]), axis) * np.take(
            drawn, range(drawn.shape[axis] - 1), axis
        )
        assert abs(pairs.mean()) < 4.9 / np.sqrt(pairs.size), axis


@pytest.mark.parametrize(
    "optimizer, noise, order",
    [
        (RMSprop(learning_rate=0.1, decay=0.9, eps=0.1), GaussianNoise(COVARIANCE), 2),
        (Adam(learning_rate=0.1, b1=0.9, b2=0.9, eps=0.1), GaussianNoise([0.3, 0.4]), 1),
        (SignSGD(learning_rate=0.1), GaussianNoise([0.3, 0.4]), 1),
        (SignSGD(learning_rate=0.1), StudentT([0.3, 0.4], 3.0), 1),
    ],
)
def test_members_in_one_vector_move_as_one_by_one(optimizer, noise, order):
    """To rounding, for the optimizer and for its equation."""
    chain = Chain(Quadratic(HESSIAN), noise, optimizer)
    equation = derive(chain, weak_order=order, full=False, nodes=3)
    driver = NormalDriver(4, 3)
    draw, _ = driver.draw(driver.start(jax.random.key(0), 2, 5), jnp.asarray(0), 2, 5, float)
    z = 0.5 + jax.random.uniform(jax.random.key(1), (len(chain.slots), 2, 5))
    number = jnp.asarray(7.0)

    def both(shared):
        moved = steps.equation_step(equation, Splitting(), driver, 2, number, z, shared)
        return steps.optimizer_step(chain, driver, number, z, shared), moved

    shared = steps.drawn(chain, 2, draw)
    assert shared.long is not None
    for together, alone in zip(both(shared), both(steps.Draw(draw, None)), strict=True):
        np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-13)
