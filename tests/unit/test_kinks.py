"""Zeros of switches that no formula gives."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from driftax import Chain, DriftaxError, GaussianNoise, Lion, Quadratic, derive
from driftax.compiler.step_moments import flat_mean
from driftax.optimizer import AbstractOptimizer

SPREAD, RATE = 0.3, 0.1


class SignOfClipped(AbstractOptimizer):
    """The sign of a gradient clipped by its norm, written with a root whose derivative at 0 is 0/0."""

    learning_rate: float
    slots = {"params": 0}
    normalised = True

    def update(self, step, state, gradient):
        clipped = gradient / jnp.maximum(1.0, jnp.sqrt(gradient**2))
        return state._replace(params=state.params - self.learning_rate * jnp.sign(clipped))


def test_a_zero_on_a_root_moves_with_the_state():
    chain = Chain(Quadratic([[1.0]]), GaussianNoise(SPREAD**2), SignOfClipped(RATE))
    mean = flat_mean(chain, 15)
    both = jax.jit(lambda y: (mean(0.0, y), jax.jacfwd(lambda point: mean(0.0, point))(y)))
    for x in (0.5, 0.1):
        at = jnp.asarray([x])
        score = x / SPREAD
        found, derivative = both(at)
        assert found[0] == pytest.approx(-RATE * (2 * norm.cdf(score) - 1), rel=1e-9)
        slope = -2 * RATE * norm.pdf(score) / SPREAD
        assert derivative[0, 0] == pytest.approx(slope, rel=1e-6)
    equation = derive(chain, at=at[None])
    assert np.isfinite(eqx.filter_jit(equation.drift)(0.0, at)).all() and np.isfinite(
        equation.obstruction.third
    )


class Undefined(AbstractOptimizer):
    """A step that is no number near where rung 1 stands, and one on every finer rung."""

    learning_rate: float
    slots = {"params": 0}

    def update(self, step, state, gradient):
        move = gradient * jnp.sqrt(RATE - 0.05 - self.learning_rate)
        return state._replace(params=state.params - self.learning_rate * move)


def test_a_step_with_kinks_keeps_the_precision_of_its_state():
    """Networks run in single precision, where one number of numpy would make all of it double."""
    chain = Chain(Quadratic(np.eye(2)), GaussianNoise(SPREAD**2), Lion(RATE))
    single = jax.tree.map(
        lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, chain
    )
    assert flat_mean(single, 3)(jnp.float32(0), jnp.ones(4, jnp.float32)).dtype == jnp.float32


def test_coefficients_that_are_no_numbers_are_refused():
    chain = Chain(Quadratic([[1.0]]), GaussianNoise(SPREAD**2), Undefined(RATE))
    with pytest.raises(DriftaxError, match="moments of one step of params that are not finite") as refusal:
        derive(chain, weak_order=1, at=jnp.asarray([[0.5]]))
    assert refusal.value.asked and refusal.value.instead
