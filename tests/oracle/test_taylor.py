"""The taylor method equals the published coefficients, term by term, to rounding error."""

from __future__ import annotations

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adam, Chain, GaussianNoise, Quadratic, Regime, RMSprop, SignSGD, derive
from driftax.equation import Method
from driftax.optimizer import DecayForm, Denominator
from oracle import cases, closed_forms

REGIMES = pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
LAWS = pytest.mark.parametrize(("law", "dim"), [("matrix", 2), ("diagonal", 3)])
BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
UPDATED, PREVIOUS = Denominator.UPDATED, Denominator.PREVIOUS
DECAYS = (0.0, 0.37)
NODES = 5  # exact: the coefficients are polynomials of degree 4 in the noise


def check(chain, expected, number, rows, orders=(1, 2)):
    """Drift and covariance against `expected` at the state `rows`."""
    flat = jnp.concatenate(rows)
    for order in orders:
        equation = derive(chain, weak_order=order, method=Method.TAYLOR, nodes=NODES)
        drift, covariance = cases.coefficients(equation, number, flat)
        cases.close(drift, expected.drift(order))
        cases.close(covariance, expected.covariance(order, chain.regime))


@cache
def local(law, dim):
    _, covariance = cases.LAWS[law]
    return closed_forms.local(cases.objective(dim).loss, covariance, cases.state(dim)[0])


@REGIMES
@LAWS
def test_sgd(law, dim, regime):
    x, _, _ = cases.state(dim)
    for decay in DECAYS:
        chain = Chain(cases.objective(dim), cases.LAWS[law][0], SGD(0.07, decay), regime)
        check(chain, closed_forms.sgd(local(law, dim), 0.07, decay, regime), 3.0, [x])


@REGIMES
@pytest.mark.parametrize(
    ("law", "dim", "denominator", "orders"),
    [("matrix", 2, UPDATED, (2,)), ("diagonal", 3, PREVIOUS, (1, 2))],
)
def test_rmsprop(law, dim, denominator, orders, regime):
    x, _, v = cases.state(dim)
    for decay in DECAYS:
        optimizer = RMSprop(0.2, 0.93, 0.15, decay, denominator=denominator)
        chain = Chain(cases.objective(dim), cases.LAWS[law][0], optimizer, regime)
        expected = closed_forms.rmsprop(
            local(law, dim), np.asarray(v), 0.2, 0.93, 0.15, decay, denominator, regime
        )
        check(chain, expected, 3.0, [x, v], orders)


@pytest.mark.parametrize(
    ("law", "dim", "denominator", "bias", "orders", "regime"),
    [
        ("matrix", 2, UPDATED, True, (2,), BALLISTIC),
        ("matrix", 2, UPDATED, True, (2,), BATCH),
        ("diagonal", 3, PREVIOUS, True, (1, 2), BALLISTIC),
        ("diagonal", 3, PREVIOUS, True, (1, 2), BATCH),
        ("diagonal", 2, UPDATED, False, (2,), BALLISTIC),
    ],
)
def test_adam(law, dim, denominator, bias, orders, regime):
    x, m, v = cases.state(dim)
    for decay in DECAYS:
        optimizer = Adam(0.2, 0.85, 0.93, 0.15, decay, denominator=denominator, bias_correction=bias)
        chain = Chain(cases.objective(dim), cases.LAWS[law][0], optimizer, regime)
        for number in (4.0, 11.0):
            expected = closed_forms.adam(
                local(law, dim), np.asarray(m), np.asarray(v), number, 0.2, 0.85, 0.93, 0.15, decay,
                denominator, bias, regime,
            )  # fmt: skip
            check(chain, expected, number, [x, m, v], orders)


@REGIMES
def test_l2_decay_is_a_quadratic_term_of_the_loss(regime):
    hessian = jnp.asarray([[1.0, 0.5], [0.5, 2.0]])
    x, _, v = cases.state(2)
    law = cases.LAWS["diagonal"][0]
    inside = RMSprop(0.2, 0.93, 0.15, 0.37, DecayForm.L2)
    outside = RMSprop(0.2, 0.93, 0.15)
    found, expected = (
        cases.coefficients(
            derive(Chain(loss, law, optimizer, regime), method=Method.TAYLOR, nodes=NODES),
            0.0,
            jnp.concatenate([x, v]),
        )
        for loss, optimizer in (
            (Quadratic(hessian), inside),
            (Quadratic(hessian + 0.37 * jnp.eye(2)), outside),
        )
    )
    cases.close(found[0], expected[0])
    cases.close(found[1], expected[1])


@LAWS
def test_signsgd(law, dim):
    x, _, _ = cases.state(dim)
    for decay in DECAYS:
        chain = Chain(cases.objective(dim), cases.LAWS[law][0], SignSGD(0.07, decay), Regime.BALLISTIC)
        check(chain, closed_forms.signsgd(local(law, dim), 0.07, decay), 0.0, [x])


def test_signsgd_batch_equivalent_order_1():
    """With noise of size 1/sqrt(h) only the slope of erf at 0 is left, and the arcsine law at zero mean."""
    covariance = jnp.asarray([[0.8, 0.3], [0.3, 0.5]])
    rate, x = 0.1, cases.state(2)[0]
    chain = Chain(cases.objective(2), GaussianNoise(covariance), SignSGD(rate, 0.2), Regime.BATCH_EQUIVALENT)
    equation = derive(chain, weak_order=1, method=Method.TAYLOR)
    drift, found = cases.coefficients(equation, 0.0, x)
    sd = np.sqrt(rate**2 * np.diag(covariance))
    gradient = np.asarray(cases.objective(2).gradient(x))
    cases.close(drift, -np.sqrt(2 / np.pi) * gradient / sd - 0.2 / rate * np.asarray(x))
    rho = 0.3 / np.sqrt(0.8 * 0.5)
    arc = 2 / np.pi * np.arcsin(rho)
    cases.close(found, [[1.0, arc], [arc, 1.0]])
