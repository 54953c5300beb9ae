"""The extended equation against its closed form, term by term: section 3.4 for RMSprop, C3 for Adam.

    dx = (u + tau b1x) dt - (D S^{1/2} + tau Lambda) dW
    dv = [c (y*y - v) + tau b1v] dt + 2 tau c diag(f) S^{1/2} dW
    dy = -y/tau dt + tau^{-1/2} S^{1/2} (dW + dB)

with b1x, b1v of the equation on (x, v), whose q is c (S_d - v). The library measures y in standard deviations.
"""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adam, Chain, DriftaxError, GaussianNoise, MinibatchNoise, Regime, RMSprop, derive
from driftax.equation import Method
from driftax.equation.extended import ExtendedEquation, extend
from driftax.optimizer import DecayForm, Denominator
from oracle import cases, closed_forms

BATCH = Regime.BATCH_EQUIVALENT
UPDATED, PREVIOUS = Denominator.UPDATED, Denominator.PREVIOUS
MATRIX = np.array([[0.8, 0.3], [0.3, 0.5]])
LAWS = {"matrix": MATRIX, "diagonal": np.diag([0.8, 0.5]), "isotropic": 0.6 * np.eye(2)}
GIVEN = {"matrix": MATRIX, "diagonal": [0.8, 0.5], "isotropic": 0.6}
Y = np.array([0.9, -1.7])  # in standard deviations
STEP = 6.0

OPTIMIZERS = {
    "rmsprop": RMSprop(0.1, 0.97, 0.2, 0.3),
    "rmsprop-previous": RMSprop(0.1, 0.97, 0.2, 0.3, denominator=PREVIOUS),
    "rmsprop-l2": RMSprop(0.1, 0.97, 0.2, 0.3, DecayForm.L2, PREVIOUS),
    "adam": Adam(0.1, 0.95, 0.97, 0.2, 0.3),
    "adam-previous": Adam(0.1, 0.95, 0.97, 0.2, denominator=PREVIOUS, bias_correction=False),
    "adam-l2": Adam(0.1, 0.95, 0.97, 0.2, 0.3, DecayForm.L2),
}


def chain(name, law="matrix"):
    return Chain(cases.objective(2), GaussianNoise(GIVEN[law]), OPTIMIZERS[name], BATCH)


def state(optimizer):
    x, m, v = cases.state(2)
    return jnp.stack([x, v] if len(optimizer.slots) == 2 else [x, m, v])


@eqx.filter_jit
def coefficients(equation, number, flat):
    t = number * equation.time_step
    return equation.drift(t, flat), equation.covariance(t, flat)


def closed(optimizer, real, number):
    """Drift of (x, m, v, y) and the columns (W, B) of its noise, per unit of t, at the time step of `optimizer`."""
    x, m, v = (np.asarray(a) for a in cases.state(2))
    form, lam = optimizer.weight_decay_form, float(optimizer.weight_decay)
    inside = lam if form is DecayForm.L2 else 0.0
    outside = 0.0 if form is DecayForm.L2 else lam
    loss = cases.objective(2).loss
    point = closed_forms.local(
        lambda p: loss(p) + 0.5 * inside * p @ p, lambda p: jnp.asarray(real) + 0 * p[0], jnp.asarray(x)
    )
    lr, eps, denominator = float(optimizer.learning_rate), float(optimizer.eps), optimizer.denominator
    h = lr**2
    p = closed_forms.rescaled(point, h)
    root = np.linalg.cholesky(p.S)
    deviation = np.sqrt(p.Sd)
    if len(optimizer.slots) == 2:
        decay = float(optimizer.decay)
        c = (1 - decay) / h
        b = closed_forms.rmsprop(point, v, lr, decay, eps, outside, denominator, BATCH)
        D, Dp = closed_forms.inverse_denominator(v, lr * eps)
        w = -0.5 * Dp * c * (p.Sd - v)
        if denominator is UPDATED:
            w = w + c * Dp * (3 * p.Sd - v)
        first = 0.5 * D[:, None] * (p.H @ (D[:, None] * root)) + (w + 0.5 * outside / lr * D)[:, None] * root
        noise = [-(D[:, None] * root + h * first)]
        # The quadratic part of the divided step, -3 c tau f D' z^2: mean 0, and without effect at order 2.
        extra = -3 * c * h * p.f * Dp * p.Sd * (Y**2 - 1) * (denominator is UPDATED)
    else:
        b1, b2 = float(optimizer.b1), float(optimizer.b2)
        c1, c = (1 - b1) / h, (1 - b2) / h
        biased = optimizer.bias_correction
        b = closed_forms.adam(point, m, v, number, lr, b1, b2, eps, outside, denominator, biased, BATCH)
        bias = closed_forms.corrections(h, number, c1, c, denominator, biased)
        D, Dp = closed_forms.inverse_denominator(v, lr * eps * bias.root)
        noise = [-0.5 * h * c1 * bias.gamma * D[:, None] * root, c1 * (1 + 0.5 * c1 * h) * root]
        extra = -bias.gamma * m * Dp * c * p.Sd * (Y**2 - 1) * h * (denominator is UPDATED)
    drift = b.drift(2)
    drift[-2:] += c * p.Sd * (Y**2 - 1)  # c (S_d - v) becomes c (y*y - v)
    drift[:2] += extra
    noise += [2 * h * c * p.f[:, None] * root, root / deviation[:, None] / np.sqrt(h)]
    shared = np.concatenate(noise)
    own = np.concatenate([np.zeros((len(shared) - 2, 2)), noise[-1]])
    return np.concatenate([drift, -Y / h]), shared @ shared.T + own @ own.T


@pytest.mark.parametrize(
    ("name", "law"), [*((name, "matrix") for name in OPTIMIZERS), ("rmsprop", "diagonal")]
)
def test_the_coefficients_are_those_of_the_closed_form(name, law):
    """To the order of the equation: drift O(h^2), covariance of z O(h^2), of z and y O(h^{3/2}), of y exactly."""
    natural = derive(chain(name, law), nodes=7)
    z = state(natural.chain.optimizer)
    cut, gaps = z.size, []
    flat = jnp.concatenate([z.reshape(-1), jnp.asarray(Y)])
    for scale in (2.0**-4, 2.0**-6):
        rung = extend(natural).at(scale)
        h = float(rung.time_step)
        drift, covariance = (np.asarray(a) for a in coefficients(rung, STEP / scale, flat))
        b, a = closed(rung.chain.optimizer, LAWS[law] / scale, STEP / scale)
        np.testing.assert_allclose(drift[cut:], b[cut:], rtol=1e-12)
        np.testing.assert_allclose(covariance[cut:, cut:], a[cut:, cut:], rtol=1e-12)
        assert np.abs(a[:cut, cut:]).max() > 0.1  # W is shared
        wrong = np.abs(covariance - a)
        row = np.abs(drift - b)[:cut].max(), wrong[:cut, :cut].max(), wrong[:cut, cut:].max() * h**0.5
        gaps.append(np.asarray(row) / h**2)
    assert np.all(gaps[1] < 1.3 * gaps[0]), gaps  # a term missing at the order before is 4 times


def test_the_taylor_method_gives_the_closed_drift():
    """Exactly: `b0 + h b1` with c (y*y - v) for c (S_d - v)."""
    equation = extend(derive(chain("rmsprop-previous"), method=Method.TAYLOR))
    z = state(equation.chain.optimizer)
    expected, _ = closed(equation.chain.optimizer, MATRIX, 0.0)
    found = eqx.filter_jit(equation.drift)(jnp.asarray(0.0), jnp.concatenate([z.reshape(-1), jnp.asarray(Y)]))
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_the_equation_moves_along_its_ladder():
    natural = derive(chain("rmsprop"))
    moved = extend(natural).at(0.25)
    assert isinstance(moved, ExtendedEquation)
    assert float(moved.time_step) == pytest.approx(0.25 * 0.01) and moved.weak_order == 2


def minibatches():
    from driftax import FiniteSum

    objective = FiniteSum(
        lambda x, a: 0.5 * jnp.sum((x - a) ** 2), jnp.asarray([[0.0], [1.0], [3.0], [4.0]]), 1
    )
    return Chain(objective, MinibatchNoise(4), RMSprop(0.1), BATCH)


RMS, LAW = OPTIMIZERS["rmsprop"], GaussianNoise(0.6)
REFUSED = {
    "ballistic": (lambda: Chain(cases.objective(2), LAW, RMS), "ballistic", "derived-2"),
    "sgd": (lambda: Chain(cases.objective(2), LAW, SGD(0.1), BATCH), "SGD", "derived-1"),
    "minibatch": (minibatches, "MinibatchNoise", "derived-1"),
    "moving": (
        lambda: Chain(cases.objective(2), cases.LAWS["diagonal"][0], RMS, BATCH),
        "one parameter and affine",
        "constant covariance",
    ),
    "log": (lambda: Chain(cases.objective(2), LAW, RMS, BATCH, True), "logarithms", "natural"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_worked_out_is_refused(case):
    build, found, instead = REFUSED[case]
    with pytest.raises(DriftaxError) as refusal:
        extend(derive(build(), allow_obstructed=True))
    assert "derived-2-extended" in refusal.value.asked
    assert found in refusal.value.found and instead in refusal.value.instead


def test_only_an_order_2_equation_with_noise_is_extended():
    for natural in (derive(chain("rmsprop"), weak_order=1), derive(chain("rmsprop"), stochastic=False)):
        with pytest.raises(DriftaxError, match="weak_order=2"):
            extend(natural)
