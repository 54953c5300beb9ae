"""The certificate refutes equations with one term missing: what it guards, it sees."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import family
import jax.numpy as jnp
import pytest

from driftax import Chain, Regime, derive, local_order
from driftax.compiler import finite_step
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import flat_covariance, flat_mean
from driftax.equation import ModifiedEquation
from driftax.optimizer import Denominator

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT


class QuietNu(ModifiedEquation):
    """Without the noise of nu that is independent of the noise of params."""

    def step_covariance(self, number, state):
        whole = super().step_covariance(number, state)
        dim = self.chain.objective.dim
        own = self.chain.noise.covariance(self.chain.objective, state[:dim])
        rate = 1 - self.chain.optimizer.decay
        return whole.at[dim:, dim:].add(-2 * rate**2 * jnp.diag(own**2))


class Timeless(ModifiedEquation):
    """Without the derivative of the mean step in time."""

    def step_drift(self, number, state):
        mean = flat_mean(self.chain, self.nodes)
        m = mean(number, state)
        moments = flat_covariance(self.chain, self.nodes)(number, state) + jnp.outer(m, m)
        return m - 0.5 * generator(mean, number, state, m, moments, in_time=False)


class Bare(ModifiedEquation):
    """The drift of order 2 with the covariance of order 1."""

    def step_covariance(self, number, state):
        return flat_covariance(self.chain, self.nodes)(number, state)


class Uncorrelated(ModifiedEquation):
    """Without the covariance between slots."""

    def step_covariance(self, number, state):
        whole = super().step_covariance(number, state)
        dim = self.chain.objective.dim
        slot = jnp.arange(state.size) // dim
        return jnp.where(slot[:, None] == slot[None, :], whole, 0.0)


class OneStepLate(ModifiedEquation):
    """With the clock of the bias correction off by one step."""

    def step_drift(self, number, state):
        return super().step_drift(number + 1, state)


class Swapped(ModifiedEquation):
    """The drift of the other denominator."""

    def step_drift(self, number, state):
        optimizer = dataclasses.replace(self.chain.optimizer, denominator=Denominator.PREVIOUS)
        other = Chain(self.chain.objective, self.chain.noise, optimizer, self.chain.regime)
        return finite_step.drift(other, self.weak_order, self.nodes, number, state)


def order(kind, name, regime=BALLISTIC, **kwargs):
    equation = derive(family.chain(name, regime, **kwargs))
    fields = [getattr(equation, field.name) for field in dataclasses.fields(ModifiedEquation)]
    return local_order(kind(*fields), family.state(name, 1), step=family.STEP)


@pytest.mark.parametrize(
    ("kind", "name", "regime", "monomial"),
    [
        (QuietNu, "RMSprop", BALLISTIC, "nu[0]^2"),
        (Uncorrelated, "RMSprop", BALLISTIC, "params[0] nu[0]"),
        (Timeless, "Adam", BALLISTIC, "params[0]"),
        (OneStepLate, "Adam", BALLISTIC, "params[0]"),
        (Bare, "SGD", BATCH, "params[0]^2"),
    ],
)
def test_a_missing_term_costs_one_order(kind, name, regime, monomial):
    found = order(kind, name, regime)
    assert found.order == pytest.approx(1, abs=0.1)
    lost = [m for m in found.monomials if m.local_orders[-1] is not None and m.local_orders[-1] < 2.5]
    assert monomial in [m.name for m in lost]


def test_the_whole_covariance_is_what_makes_the_difference():
    """The same optimizers with nothing taken away are of order 2 (elsewhere); Bare is enough when ballistic."""
    assert order(Bare, "SGD", BALLISTIC).order == pytest.approx(2, abs=0.1)
    assert order(ModifiedEquation, "RMSprop").order == pytest.approx(2, abs=0.1)


def test_the_equation_of_the_other_denominator_is_of_order_1():
    found = order(Swapped, "RMSprop")
    assert found.order == pytest.approx(1, abs=0.1)
