"""Muon as somebody's own rule: momentum of a matrix, orthogonalised by Newton-Schulz, where all coordinates mix."""

from __future__ import annotations

import re

import jax.numpy as jnp
import pytest

from driftax import Chain, DriftaxError, GaussianNoise, Quadratic, Regime, derive, local_order
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer.structure import structure

STATE = jnp.asarray([[0.5, -1.0, 0.8, 1.2], [0.9, 0.2, -0.3, 1.1]])  # params, mu: 2 x 2 matrices
NODES = 5  # per coordinate: 625 gradients, which integrate the mean step to 1e-11


def orthogonalised(vector):
    """Five iterations of Newton and Schulz towards the polar factor of a 2 x 2 matrix."""
    x = vector.reshape(2, 2) / jnp.linalg.norm(vector)
    for _ in range(5):
        x = 1.5 * x - 0.5 * x @ x.T @ x
    return x.reshape(-1)


class Muon(AbstractOptimizer):
    """mu' = decay mu + (1 - decay) g, x' = x - learning_rate orthogonalised(mu')."""

    learning_rate: float
    decay: float = 0.9
    slots = {"params": 0, "mu": 1}
    normalised = True

    def update(self, step, state, gradient):
        mu = self.decay * state.mu + (1 - self.decay) * gradient
        return state._replace(params=state.params - self.learning_rate * orthogonalised(mu), mu=mu)


def chain(optimizer, regime, variance=0.3):
    return Chain(
        Quadratic(jnp.diag(jnp.asarray([1.0, 0.5, 2.0, 1.5]))), GaussianNoise(variance), optimizer, regime
    )


def test_it_is_read_as_mixing():
    found = structure(Muon(0.1), dim=4)
    assert not found.elementwise and found.smooth and found.mixing == "reduce_sum"


@pytest.mark.parametrize("order", [1, 2])
def test_ballistic_orders_are_certified_with_the_error_of_their_integration(order):
    equation = derive(chain(Muon(0.1), Regime.BALLISTIC), weak_order=order, at=STATE, nodes=NODES)
    said = re.search(r"coordinates mix \(reduce_sum\); error (\S+) of its mean", equation.record.integration)
    assert said and float(said[1]) < 1e-10
    assert local_order(equation, STATE).order == pytest.approx(order, abs=0.02)


def test_a_slow_average_that_is_normalised_has_no_batch_equivalent_limit():
    """As Signum: mu keeps its direction, and a step of sqrt(h) along it is no drift."""
    for order in (1, 2):
        with pytest.raises(
            DriftaxError, match="falls like the power 0.50 of the time step: its drift diverges"
        ):
            derive(chain(Muon(0.1), Regime.BATCH_EQUIVALENT), weak_order=order, at=STATE, nodes=NODES)


class Memoryless(Muon):
    """The newest gradient orthogonalised: singular where it vanishes, inside the law of the noise."""

    decay: float = 0.0
    slots = {"params": 0}

    def update(self, step, state, gradient):
        return state._replace(params=state.params - self.learning_rate * orthogonalised(gradient))


def test_order_2_is_refused_where_the_law_does_not_integrate_it():
    given = chain(Memoryless(0.1), Regime.BALLISTIC)
    derive(given, weak_order=1, at=STATE[:1], nodes=NODES)
    with pytest.raises(DriftaxError, match="integrates only to .* where the correction of order 2"):
        derive(given, weak_order=2, at=STATE[:1], nodes=NODES)
