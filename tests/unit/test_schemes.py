"""Order of the integrators, exactly: one step's moments against a linear equation's, no Monte Carlo."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from driftax._rows import Rows
from driftax.simulate.schemes import EulerMaruyama, Splitting, WeakOrderTwo

A = jnp.asarray([[-0.7, 0.4], [-0.2, -0.5]])
NONCOMMUTING = jnp.asarray([[[0.3, 0.5], [0.0, 0.2]], [[0.1, 0.0], [-0.6, 0.4]]])  # dx = A x dt + B_j x dW_j
START = Rows((jnp.asarray([1.0, -0.8]),))


def drift(number, z):
    return Rows((A @ z.rows[0],))


def multiplicative(number, z, driver):
    return Rows((jnp.einsum("jab,b,j->a", NONCOMMUTING, z.rows[0], driver.reshape(-1)),))


def additive(number, z, driver):
    return Rows((jnp.asarray([[0.5, 0.2], [-0.1, 0.4]]) @ driver.reshape(-1),))


def one_step_moments(scheme, noise, dt, dim=2):
    """Mean and second moment after one step, by Gauss-Hermite over the drivers of all parts."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(6)
    weights = weights / weights.sum()
    numbers = scheme.parts * dim
    grid = np.asarray(list(itertools.product(nodes, repeat=numbers))).reshape(-1, scheme.parts, 1, dim)
    product = np.asarray([np.prod(w) for w in itertools.product(weights, repeat=numbers)])

    def step(drivers):
        return scheme.step(drift, noise, jnp.asarray(0.0), jnp.asarray(dt), START, drivers).rows[0]

    after = np.asarray(jax.jit(jax.vmap(step))(jnp.asarray(grid)))
    return product @ after, np.einsum("q,qa,qb->ab", product, after, after)


def exact_moments(noise, dt):
    """Mean e^{A t} x and second moment of the linear equation, by the exponential of its generator."""
    eye, x = np.eye(2), np.asarray(START.rows[0])
    generator = np.kron(A, eye) + np.kron(eye, A)
    second = np.outer(x, x).reshape(-1)
    mean = expm(np.asarray(A) * dt) @ x
    if noise is multiplicative:
        generator = generator + sum(np.kron(b, b) for b in np.asarray(NONCOMMUTING))
        return mean, (expm(generator * dt) @ second).reshape(2, 2)
    factor = np.asarray([[0.5, 0.2], [-0.1, 0.4]])
    source = (factor @ factor.T).reshape(-1)
    block = np.zeros((5, 5))
    block[:4, :4], block[:4, 4] = generator, source
    return mean, (expm(block * dt) @ np.append(second, 1.0))[:4].reshape(2, 2)


def local_exponent(scheme, noise):
    errors = []
    for dt in (0.02, 0.01):
        mean, second = one_step_moments(scheme, noise, dt)
        exact_mean, exact_second = exact_moments(noise, dt)
        errors.append(max(np.abs(mean - exact_mean).max(), np.abs(second - exact_second).max()))
    return np.log2(errors[0] / errors[1])


@pytest.mark.parametrize(
    ("scheme", "noise", "exponent"),
    [
        (EulerMaruyama(), additive, 2),
        (EulerMaruyama(), multiplicative, 2),
        (WeakOrderTwo(), additive, 3),
        (WeakOrderTwo(), multiplicative, 3),
        (Splitting(), additive, 3),
        (Splitting(), multiplicative, 2),  # why it is not the default for noise of size 1
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_one_step_moments_have_the_order_claimed(scheme, noise, exponent):
    assert local_exponent(scheme, noise) == pytest.approx(exponent, abs=0.15)


def test_two_halves_make_the_whole_increment():
    """Splitting with additive noise moves by both halves: variances add to dt."""
    first, second = jnp.asarray([[1.0, 0.0]]), jnp.asarray([[0.0, 2.0]])
    still = Splitting().step(
        lambda n, z: 0.0 * z, additive, jnp.asarray(0.0), jnp.asarray(0.5), START, (first, second)
    )
    factor = np.asarray([[0.5, 0.2], [-0.1, 0.4]])
    expected = START.rows[0] + np.sqrt(0.25) * factor @ np.asarray([1.0, 2.0])
    np.testing.assert_allclose(still.rows[0], expected, rtol=1e-12)
