"""The states, losses and laws at which coefficients are compared."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from driftax import GaussianNoise, Rosenbrock


def matrix_covariance(x):
    """A full covariance that moves with the params: A(x) A(x)^T with non-commuting factors."""
    n = x.shape[0]
    base = 0.6 * jnp.eye(n) + 0.25 * jnp.tri(n, k=-1)
    factor = base + 0.3 * jnp.outer(jnp.sin(x), jnp.ones(n)) * jnp.tri(n) + 0.2 * jnp.diag(x**2)
    return factor @ factor.T


def vector_covariance(x):
    """Variances that move with all params."""
    return 0.4 + 0.3 * jnp.sin(x) ** 2 + 0.1 * (jnp.roll(x, 1) - 0.3) ** 2


def dense(covariance):
    """A covariance function as a matrix, whatever it returns."""

    def function(x):
        value = covariance(x)
        return jnp.diag(value) if value.ndim == 1 else value

    return function


LAWS = {
    "matrix": (GaussianNoise(matrix_covariance, independent=False), matrix_covariance),
    "diagonal": (GaussianNoise(vector_covariance), dense(vector_covariance)),
}


def objective(dim):
    return Rosenbrock(dim, steepness=1.3)


def state(dim):
    """x, m, v of a generic point."""
    x = jnp.asarray([0.7, -0.4, 0.3])[:dim]
    m = jnp.asarray([0.5, -0.8, 0.2])[:dim]
    v = jnp.asarray([0.9, 0.5, 1.3])[:dim]
    return x, m, v


def coefficients(equation, number, flat):
    """Drift and covariance per unit of t, compiled once per kind of equation."""
    return _coefficients(
        equation, jnp.asarray(number), flat
    )  # a number that is no array would be compiled in


@eqx.filter_jit
def _coefficients(equation, number, flat):
    return (
        equation.step_drift(number, flat) / equation.time_step,
        equation.step_covariance(number, flat) / equation.time_step,
    )


def close(found, expected, tolerance=1e-12):
    """Relative to the largest entry."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    error = np.max(np.abs(found - expected)) / max(1.0, np.max(np.abs(expected)))
    assert error < tolerance, f"differs by {error:.3g}"
