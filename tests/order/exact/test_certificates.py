"""The order of every equation by its one-step residuals: no sampling, no tolerance beyond rounding.

The whole table is printed by `benchmarks/certificate_table.py`; here stands a subset in which every optimizer,
denominator and regime occurs.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import family
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from driftax import Chain, GaussianNoise, Regime, derive, from_optax, local_order
from driftax.compiler.obstruction import obstruction
from driftax.equation import Method
from driftax.optimizer import Denominator

UPDATED, PREVIOUS = Denominator.UPDATED, Denominator.PREVIOUS
BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
REGIMES = pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)


def certify(chain, name, dim=1, order=2, step=family.STEP, **kwargs):
    equation = derive(chain, weak_order=order, **kwargs)
    return local_order(equation, family.state(name, dim), step=step)


def residual(certificate, monomial):
    """Over h^2, on the finest rung."""
    found = next(m for m in certificate.monomials if m.name == monomial)
    return found.residuals[-1] / certificate.time_steps[-1] ** 2


def is_order(certificate, order):
    assert certificate.order == pytest.approx(order, abs=0.1), certificate.worst


@REGIMES
@pytest.mark.parametrize("name", ["SGD", "SignSGD", "RMSprop", "Adam"])
def test_order_1(name, regime):
    is_order(certify(family.chain(name, regime), name, order=1), 1)


@REGIMES
@pytest.mark.parametrize(
    ("names", "denominator"),
    [
        (["SGD"], UPDATED),
        (["SignSGD"], UPDATED),
        (["RMSprop", "RMSpropW"], UPDATED),
        (["RMSprop", "RMSpropW"], PREVIOUS),
        (["Adam", "AdamW"], UPDATED),
        (["Adam", "AdamW"], PREVIOUS),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else x.value,
)
def test_order_2_or_the_predicted_obstruction(names, denominator, regime):
    for name in names:
        certificate = certify(family.chain(name, regime, denominator), name)
        if not family.obstructed(name, regime):
            is_order(certificate, 2)
            continue
        is_order(certificate, 1)
        if name != "SignSGD":
            monomial, value = family.predicted(name, 1)
            assert residual(certificate, monomial) == pytest.approx(value, rel=0.01)
            unseen = [m for m in certificate.monomials if set(m.name.split()) <= {"nu[0]", "nu[0]^2"}]
            assert len(unseen) == 2  # functions of nu alone are of order 2 all the same
            assert all([o for o in m.local_orders if o is not None][-1] > 2.9 for m in unseen)


@pytest.mark.parametrize(
    ("name", "regime"), [("SGD", BATCH), ("SignSGD", BALLISTIC), ("RMSprop", BALLISTIC), ("AdamW", BALLISTIC)]
)
def test_order_2_with_correlated_noise_in_two_parameters(name, regime):
    is_order(certify(family.chain(name, regime, dim=2), name, dim=2), 2)


def test_the_obstruction_in_two_parameters():
    """Every coefficient c D_i D_j S_ik S_jk of the third-order term, by residuals and by its own formula."""
    chain = family.chain("RMSprop", BATCH, dim=2)
    certificate = certify(chain, "RMSprop", dim=2)
    is_order(certificate, 1)
    inverse, S = 1 / (np.sqrt(family.V) + family.EPS), family.SIGMA
    for i, j, k in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 1, 0), (1, 1, 1)]:
        params = f"params[{i}]^2" if i == j else "params[0] params[1]"
        value = 2 * family.C2 * inverse[i] * inverse[j] * S[i, k] * S[j, k]
        assert residual(certificate, f"{params} nu[{k}]") == pytest.approx(value, rel=0.01)
    fine = obstruction(chain.at(2.0**-10), family.STEP, family.state("RMSprop", 2), 15)
    largest = 2 * family.C2 * inverse[0] * inverse[1] * S[0, 0] * S[1, 0]  # the coefficient of d0 d1 d(nu0)
    candidates = [family.C2 * inverse[0] ** 2 * S[0, 0] ** 2, largest]
    assert fine.third == pytest.approx(max(candidates), rel=0.01)
    assert fine.fourth == pytest.approx(0, abs=0.01)


# ---------------------------------------------------------------- other ways to the same equation


def test_the_taylor_method_has_the_same_orders():
    for order in (1, 2):
        is_order(
            certify(family.chain("RMSpropW", BALLISTIC), "RMSpropW", order=order, method=Method.TAYLOR), order
        )
    is_order(certify(family.chain("SGD", BATCH), "SGD", method=Method.TAYLOR), 2)


def test_the_short_drift_is_enough_in_the_ballistic_regime():
    is_order(certify(family.chain("RMSprop", BALLISTIC), "RMSprop", full=False), 2)
    is_order(
        certify(family.chain("SGD", BATCH), "SGD", full=False), 1
    )  # third derivatives of the loss are missing


def test_bias_corrected_rmsprop():
    is_order(certify(family.chain("RMSprop", BALLISTIC, bias=True), "RMSprop"), 2)


def test_logarithmic_second_moments():
    chain = family.chain("RMSprop", BALLISTIC)
    log = Chain(chain.objective, chain.noise, chain.optimizer, BALLISTIC, log_second_moments=True)
    state = log.from_natural(family.state("RMSprop", 1))
    is_order(local_order(derive(log), state, step=family.STEP), 2)


def test_the_ode_is_of_order_1_and_sees_no_noise():
    chain = family.chain("RMSprop", BALLISTIC)
    certificate = certify(chain, "RMSprop", stochastic=False)
    is_order(certificate, 1)
    inverse = 1 / (np.sqrt(family.V[0]) + family.EPS)
    assert residual(certificate, "params[0]^2") == pytest.approx(inverse**2 * family.SIGMA[0, 0], rel=0.01)


def test_an_optax_optimizer_with_its_counter():
    h = family.RATE

    def step_family(s):
        return optax.adamw(
            h * s, 1 - family.C1 * h * s, 1 - family.C2 * h * s, family.EPS, weight_decay=family.DECAY
        )

    optimizer = from_optax(step_family, learning_rate=h)
    chain = Chain(family.objective(1), family.law(1, BALLISTIC), optimizer)
    is_order(certify(chain, "Adam"), 2)


# ---------------------------------------------------------------- noise that moves with the params


def moving(x):
    return 0.4 + 0.3 * jnp.sin(x) ** 2


def moving_matrix(x):
    root = jnp.asarray(family.SIGMA) + 0.3 * jnp.outer(jnp.sin(x), jnp.cos(x))
    return root @ root.T


def test_order_2_with_a_covariance_that_moves():
    is_order(certify(family.chain("RMSprop", BALLISTIC, noise=GaussianNoise(moving)), "RMSprop"), 2)
    matrix = GaussianNoise(moving_matrix, independent=False)
    is_order(certify(family.chain("SGD", BALLISTIC, dim=2, noise=matrix), "SGD", dim=2), 2)


def test_the_obstruction_of_a_covariance_that_moves():
    """Even for SGD, batch-equivalent: -1/4 a a' d^3, seen by x^3 as -3/2 a a'."""
    tau = family.RATE**2
    chain = family.chain("SGD", BATCH, noise=GaussianNoise(lambda x: moving(x) / tau))
    certificate = certify(chain, "SGD")
    is_order(certificate, 1)
    x = family.X[0]
    a, slope = 0.4 + 0.3 * np.sin(x) ** 2, 0.6 * np.sin(x) * np.cos(x)
    assert residual(certificate, "params[0]^3") == pytest.approx(-1.5 * a * slope, rel=0.01)
    seen = {m.name: [o for o in m.local_orders if o is not None][-1] for m in certificate.monomials}
    assert seen["params[0]"] > 2.9 and seen["params[0]^2"] > 2.9  # the first two moments match
