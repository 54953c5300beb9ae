"""`derive` refuses an equation of order 2 where none exists, and only there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import family
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Chain,
    DoubleWell,
    DriftaxError,
    GaussianNoise,
    MinibatchNoise,
    Regime,
    RMSprop,
    SignSGD,
    derive,
    local_order,
)
from driftax.compiler.obstruction import obstruction, persistent
from driftax.optimizer import AbstractOptimizer

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
OPTIMIZERS = ["SGD", "SignSGD", "RMSprop", "Adam"]


def at(name, dim=1):
    return dict(at=family.state(name, dim), step=family.STEP)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("RMSprop", r"d/dparams\[0\] d/dparams\[0\] d/dnu\[0\]"),
        ("Adam", r"d/dmu\[0\] d/dmu\[0\] d/dnu\[0\]"),
    ],
)
def test_batch_equivalent_order_2_is_refused_with_its_coefficient(name, where):
    chain = family.chain(name, BATCH)
    with pytest.raises(DriftaxError, match=where) as refusal:
        derive(chain, **at(name))
    _, residual = family.predicted(name, 1)
    found = float(re.search(r"has: (\S+) h\^2", str(refusal.value)).group(1))
    assert found == pytest.approx(residual / 2, rel=0.02)  # x^2 nu counts its derivative twice
    assert "allow_obstructed=True" in str(refusal.value) and "second moment alone" in str(refusal.value)
    allowed = derive(chain, allow_obstructed=True, **at(name))
    assert abs(allowed.obstruction.third) > 0.1
    derive(chain, weak_order=1, **at(name))
    derive(chain, **{**at(name), "at": None})  # no state, no judgement


def test_batch_equivalent_signsgd_is_refused():
    """Its steps are two-valued whatever the noise: kappa4 = -2 h^2 at mean zero."""
    with pytest.raises(DriftaxError, match="does not fall with the time step h") as refusal:
        derive(family.chain("SignSGD", BATCH), **at("SignSGD"))
    assert "second moment" not in str(refusal.value)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_ballistic_regime_is_never_refused(name):
    law = GaussianNoise(lambda x: 0.4 + x**2)
    equation = derive(family.chain(name, BALLISTIC, noise=law), **at(name))
    assert equation.obstruction is not None


def test_the_ballistic_obstruction_vanishes():
    for name in ("RMSprop", "Adam"):
        assert persistent(family.chain(name, BALLISTIC), family.STEP, family.state(name, 1), 15) is None


@pytest.mark.parametrize("dim", [1, 2])
def test_sgd_with_a_constant_gaussian_law_is_accepted(dim):
    equation = derive(family.chain("SGD", BATCH, dim=dim), **at("SGD", dim))
    assert abs(equation.obstruction.third) < 1e-9 and abs(equation.obstruction.fourth) < 1e-9


def test_sgd_with_a_law_that_moves_is_refused():
    law = GaussianNoise(lambda x: (0.6 + 0.5 * x) ** 2 / family.RATE**2)
    with pytest.raises(DriftaxError, match=r"d/dparams\[0\] d/dparams\[0\] d/dparams\[0\]") as refusal:
        derive(family.chain("SGD", BATCH, noise=law), **at("SGD"))
    x = family.X[0]
    expected = -0.25 * (0.6 + 0.5 * x) ** 2 * (0.6 + 0.5 * x)
    found = float(re.search(r"has: (\S+) h\^2", str(refusal.value)).group(1))
    assert found == pytest.approx(expected, rel=1e-3)


class Cautious(AbstractOptimizer):
    """Momentum that stands still where its average and the newest gradient disagree."""

    learning_rate: float
    decay: float
    slots = {"params": 0, "mu": 1}

    def update(self, step, state, gradient):
        mu = self.decay * state.mu + (1 - self.decay) * gradient
        move = jnp.where(mu * gradient > 0, mu, 0.0)
        return state._replace(params=state.params - self.learning_rate * move, mu=mu)


def test_a_term_that_falls_like_a_root_is_refused():
    """Its third moment at x mu^2 is of size h^2.5: order 1.5, as the certificate says, is not order 2."""
    chain = Chain(DoubleWell(), GaussianNoise(0.3), Cautious(0.1, 0.8), BATCH)
    z = jnp.asarray([[0.7], [0.5]])
    with pytest.raises(DriftaxError, match=r"d/dmu\[0\] of size h\^2.5, not h\^3.* above 1.5"):
        derive(chain, at=z)
    found = local_order(derive(chain, at=z, allow_obstructed=True), z)
    assert found.order == pytest.approx(1.5, abs=0.02) and found.worst.name == "params[0] mu[0]^2"


def test_a_large_term_that_vanishes_does_not_hide_a_small_one_that_stays():
    """kappa3 of nu is 1.3e5 h^2 on rung 1 and falls like h; the term of x^2 nu stays at 1.2 c D^2 S^2."""
    rate, decay, variance = 0.1, 0.5, 50.0
    chain = Chain(family.objective(1), GaussianNoise([variance / rate**2]), RMSprop(rate, decay, 1.0), BATCH)
    z = family.state("RMSprop", 1)
    first = obstruction(chain, 0.0, z, 15)
    assert first.third_at == "d/dnu[0] d/dnu[0] d/dnu[0]"
    kept = persistent(chain, 0.0, z, 15)
    assert kept is not None and kept.where == "d/dparams[0] d/dparams[0] d/dnu[0]"
    assert abs(kept.value) < 0.2 * abs(first.third)


def test_a_skewed_minibatch_law_is_refused():
    """Its third cumulant breaks even order 1 in the batch-equivalent regime."""
    from driftax import FiniteSum

    examples = jnp.asarray([[0.0], [0.1], [0.3], [2.0]])
    objective = FiniteSum(lambda x, a: 0.5 * jnp.sum((x - a) ** 2), examples, 1)
    for optimizer in (SGD(0.1), RMSprop(0.1, 0.95, 0.1)):
        chain = Chain(objective, MinibatchNoise(4), optimizer, BATCH)
        rows = [[0.7], [0.3]][: len(chain.slots)]
        with pytest.raises(DriftaxError, match="third-order moments"):
            derive(chain, at=jnp.asarray(rows))


def test_a_state_without_second_moments_is_refused():
    z = jnp.asarray([[1.0], [0.0]])
    with pytest.raises(DriftaxError, match="not finite"):
        derive(family.chain("RMSprop", BATCH, denominator=family.Denominator.PREVIOUS), at=z)


def test_signs_of_a_minibatch_are_refused():
    from driftax import FiniteSum

    objective = FiniteSum(lambda x, a: 0.5 * jnp.sum((x - a) ** 2), jnp.asarray([[0.0], [1.0]]), 1)
    with pytest.raises(DriftaxError, match="step function"):
        derive(Chain(objective, MinibatchNoise(1), SignSGD(0.1)), weak_order=1)


def test_other_orders_are_refused():
    with pytest.raises(DriftaxError, match="weak_order = 3"):
        derive(family.chain("SGD", BALLISTIC), weak_order=3)


def test_nothing_is_judged_at_order_1_or_without_noise():
    chain = family.chain("RMSprop", BATCH)
    assert derive(chain, weak_order=1, **at("RMSprop")).obstruction is None
    assert derive(chain, stochastic=False, **at("RMSprop")).obstruction is None
    assert np.isfinite(derive(chain, allow_obstructed=True, **at("RMSprop")).obstruction.third)
