"""One step of every optimizer against a naive loop."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Adagrad,
    Adam,
    AMSGrad,
    DriftaxError,
    Lion,
    Momentum,
    Regime,
    RMSprop,
    Scheduled,
    SignSGD,
    Signum,
)
from driftax.optimizer import DecayForm, Maximum, MomentumForm, cosine
from driftax.optimizer.structure import structure
from unit.optimizer_steps import DECOUPLED, GRADIENTS, HEAVY, L2, PREVIOUS, START, UPDATED, run


def naive(kind, lr, d1, d2, eps, decay, form, denominator, bias):
    """The updates as in the textbooks, in a loop over steps."""
    x, m, v = START.copy(), np.zeros(3), np.zeros(3)
    states = []
    for k, g in enumerate(GRADIENTS):
        if form is L2:
            g = g + decay * x
        before = v.copy()
        v = d2 * v + (1 - d2) * g**2
        m = d1 * m + (1 - d1) * g
        divisor, seen = (v, k + 1) if denominator is UPDATED else (before, k)
        top = m if kind == "adam" else g
        if bias:
            divisor = divisor / (1 - d2**seen)
            top = top / (1 - d1 ** (k + 1)) if kind == "adam" else top
        step = {"sgd": g, "signsgd": np.sign(g)}.get(kind)
        if step is None:
            step = top / (np.sqrt(divisor) + eps)
        if form is DECOUPLED:
            step = step + decay * x
        x = x - lr * step
        slots = {"sgd": [x], "signsgd": [x], "rmsprop": [x, v], "adam": [x, m, v]}[kind]
        states.append(np.asarray(slots))
    return np.asarray(states)


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_sgd_and_signsgd_against_a_loop(decay, form):
    for kind, optimizer in (("sgd", SGD), ("signsgd", SignSGD)):
        expected = naive(kind, 0.1, 0.0, 0.0, 0.0, decay, form, UPDATED, False)
        np.testing.assert_allclose(run(optimizer(0.1, decay, form)), expected, rtol=1e-13)


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize(("denominator", "bias"), [(UPDATED, True), (UPDATED, False), (PREVIOUS, False)])
def test_rmsprop_and_adam_against_a_loop(denominator, bias, form):
    kwargs = dict(weight_decay=0.2, weight_decay_form=form, denominator=denominator, bias_correction=bias)
    expected = naive("rmsprop", 0.1, 0.0, 0.9, 0.05, 0.2, form, denominator, bias)
    np.testing.assert_allclose(run(RMSprop(0.1, 0.9, 0.05, **kwargs)), expected, rtol=1e-11)
    expected = naive("adam", 0.1, 0.8, 0.9, 0.05, 0.2, form, denominator, bias)
    np.testing.assert_allclose(run(Adam(0.1, 0.8, 0.9, 0.05, **kwargs)), expected, rtol=1e-11)


def test_the_previous_denominator_with_bias_correction_counts_one_step_less():
    """From a state after k steps: v_k over 1 - b2**k, m_{k+1} over 1 - b1**(k+1)."""
    optimizer = Adam(0.1, 0.8, 0.9, 0.05, denominator=PREVIOUS, bias_correction=True)
    x, m, v, g, k = START, np.array([0.1, 0.2, -0.3]), np.array([0.5, 0.4, 0.3]), GRADIENTS[0], 6
    after = optimizer.update(float(k), optimizer.unpack(jnp.asarray([x, m, v])), jnp.asarray(g))
    moment = 0.8 * m + 0.2 * g
    expected = x - 0.1 * moment / (1 - 0.8 ** (k + 1)) / (np.sqrt(v / (1 - 0.9**k)) + 0.05)
    np.testing.assert_allclose(after.params, expected, rtol=1e-13)
    rms = RMSprop(0.1, 0.9, 0.05, denominator=PREVIOUS, bias_correction=True)
    after = rms.update(float(k), rms.unpack(jnp.asarray([x, v])), jnp.asarray(g))
    np.testing.assert_allclose(after.params, x - 0.1 * g / (np.sqrt(v / (1 - 0.9**k)) + 0.05), rtol=1e-13)


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("kind", MomentumForm, ids=lambda f: f.value)
def test_momentum_against_a_loop(kind, nesterov, form):
    """The buffers as PyTorch and the papers write them; the slot is (1 - decay) times a heavy ball's."""
    lr, decay, wd, x, b = 0.1, 0.8, 0.3, START.copy(), np.zeros(3)
    states = []
    for g in GRADIENTS:
        before = x
        g = g + wd * x if form is L2 else g
        fresh = g if kind is HEAVY else (1 - decay) * g
        b = decay * b + fresh
        x = x - lr * (fresh + decay * b if nesterov else b)
        x = x - lr * wd * before if form is DECOUPLED else x
        states.append([x, b * (1 - decay) if kind is HEAVY else b])
    own = Momentum(lr, decay, kind, nesterov, wd, form)
    np.testing.assert_allclose(run(own), states, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
def test_signum_lion_and_adagrad_against_a_loop(form):
    lr, wd = 0.1, 0.3
    paths = {name: [] for name in ("signum", "lion", "adagrad")}
    for name, path in paths.items():
        x, s = START.copy(), np.full(3, 0.2 if name == "adagrad" else 0.0)
        for k, g in enumerate(GRADIENTS):
            g = g + wd * x if form is L2 else g
            rate = lr / (1 + 0.05 * k) if name == "adagrad" else lr
            if name == "signum":
                s = 0.8 * s + 0.2 * g
                step = np.sign(s)
            elif name == "lion":
                step = np.sign(0.7 * s + 0.3 * g)
                s = 0.8 * s + 0.2 * g
            else:
                s = s + g**2
                step = g / (np.sqrt(s) + 0.05)
            x = x - rate * (step + wd * x if form is DECOUPLED else step)
            path.append([x, s])
    own = {
        "signum": Signum(lr, 0.8, wd, form),
        "lion": Lion(lr, 0.7, 0.8, wd, form),
        "adagrad": Adagrad(lr, 0.05, 0.05, 0.2, wd, form),
    }
    for name, optimizer in own.items():
        np.testing.assert_allclose(run(optimizer), paths[name], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("maximum", Maximum, ids=lambda m: m.value)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
def test_amsgrad_against_a_loop(form, bias, maximum):
    lr, b1, b2, eps, wd = 0.1, 0.8, 0.7, 0.05, 0.3
    x, m, v, top = START.copy(), np.zeros(3), np.zeros(3), np.zeros(3)
    states, falls = [], 0
    for k, g in enumerate(GRADIENTS):
        g = g + wd * x if form is L2 else g
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        c1, c2 = (1 - b1 ** (k + 1), 1 - b2 ** (k + 1)) if bias else (1.0, 1.0)
        new = v if maximum is Maximum.RAW else v / c2
        falls += np.sum(new < top)
        top = np.maximum(top, new)
        divisor = top / c2 if maximum is Maximum.RAW else top
        step = m / c1 / (np.sqrt(divisor) + eps)
        x = x - lr * (step + wd * x if form is DECOUPLED else step)
        states.append([x, m, v, top])
    assert falls > 10
    own = AMSGrad(lr, b1, b2, eps, wd, form, maximum, bias)
    np.testing.assert_allclose(run(own), states, rtol=1e-11, atol=1e-14)


def test_defaults():
    assert Adam(0.1).bias_correction and not RMSprop(0.1).bias_correction
    assert Adam(0.1).denominator is RMSprop(0.1).denominator is UPDATED
    assert Adam(0.1).weight_decay_form is SGD(0.1).weight_decay_form is DECOUPLED
    assert (Adam(0.1).b1, Adam(0.1).b2, Adam(0.1).eps, RMSprop(0.1).decay) == (0.9, 0.999, 1e-8, 0.99)
    assert SGD(0.1).slots == SignSGD(0.1).slots == {"params": 0}
    assert RMSprop(0.1).slots == {"params": 0, "nu": 2}
    assert Adam(0.1).slots == {"params": 0, "mu": 1, "nu": 2}
    assert Momentum(0.1).form is HEAVY and not Momentum(0.1).nesterov and Momentum(0.1).decay == 0.9
    assert Momentum(0.1).slots == Signum(0.1).slots == Lion(0.1).slots == {"params": 0, "mu": 1}
    assert AMSGrad(0.1).slots == {"params": 0, "mu": 1, "nu": 2, "nu_max": 2}
    assert AMSGrad(0.1).maximum is Maximum.RAW and AMSGrad(0.1).bias_correction
    assert Adagrad(0.1).slots == {"params": 0, "nu": 2} and (Lion(0.1).b1, Lion(0.1).b2) == (0.9, 0.99)


ALL = [
    SGD(0.1),
    Momentum(0.1),
    SignSGD(0.1),
    Signum(0.1),
    Lion(0.1),
    Adagrad(0.1),
    RMSprop(0.1),
    Adam(0.1),
    AMSGrad(0.1),
    Scheduled(Adam(0.1), {"learning_rate": cosine(10, 0.1)}),
]


@pytest.mark.parametrize("optimizer", ALL, ids=lambda o: o.name)
def test_every_update_is_coordinatewise(optimizer):
    found = structure(optimizer, 3)
    kinks = {"SignSGD": 1, "Signum": 1, "Lion": 1, "AMSGrad": 2}.get(optimizer.name)
    assert found.elementwise and found.switches == (() if kinks is None else (kinks,))


@pytest.mark.parametrize("optimizer", ALL, ids=lambda o: o.name)
@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_latex_ends_with_the_numbers(optimizer, regime):
    lines = optimizer.latex()
    assert lines[-1].startswith(r"\eta = 0.1") and "x_{k+1}" in " ".join(lines[:-1])
    assert all(line.count("{") == line.count("}") for line in lines)
    assert "eta" in optimizer.time_step_latex(regime)


@pytest.mark.parametrize("optimizer", ALL, ids=lambda o: o.name)
def test_a_state_is_packed_and_unpacked(optimizer):
    state = optimizer.init(jnp.asarray(START))
    slots = jnp.arange(3.0 * len(optimizer.slots)).reshape(-1, 3)
    assert optimizer.pack(state).shape == slots.shape
    np.testing.assert_array_equal(optimizer.pack(optimizer.unpack(slots)), slots)
    np.testing.assert_array_equal(optimizer.params(optimizer.unpack(slots)), slots[0])


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: SGD(0.0), "learning_rate = 0"),
        (lambda: SGD(-0.1), "learning_rate = -0.1"),
        (lambda: SGD(float("nan")), "learning_rate = nan"),
        (lambda: SGD(float("inf")), "learning_rate = inf"),
        (lambda: SGD(0.1, -0.5), "weight_decay = -0.5"),
        (lambda: SignSGD(0.1, -0.5), "weight_decay = -0.5"),
        (lambda: RMSprop(0.1, 1.0), "decay = 1"),
        (lambda: RMSprop(0.1, -0.1), "decay = -0.1"),
        (lambda: RMSprop(0.1, 0.9, -1e-8), "eps = -1e-08"),
        (lambda: Adam(0.1, 1.2), r"b1 = 1.2\ninstead: b1 = a number in \[0, 1\)"),
        (lambda: Adam(0.1, 0.9, 1.0), "b2 = 1"),
        (lambda: Adam(0.1, 0.9, 0.99, float("inf")), "eps = inf"),
        (lambda: Momentum(0.1, 1.0), r"decay = 1\ninstead: decay = a number in \[0, 1\)"),
        (lambda: Momentum(-0.1), "learning_rate = -0.1"),
        (lambda: Momentum(0.1, weight_decay=-1.0), "weight_decay = -1"),
        (lambda: Signum(0.1, 1.0), "decay = 1"),
        (lambda: Signum(0.0), "learning_rate = 0"),
        (lambda: Lion(0.1, 1.0), "b1 = 1"),
        (lambda: Lion(0.1, 0.9, -0.1), "b2 = -0.1"),
        (lambda: AMSGrad(0.1, b2=1.0), "b2 = 1"),
        (lambda: AMSGrad(0.1, eps=-1.0), "eps = -1"),
        (lambda: Adagrad(0.1, -1.0), "eps = -1"),
        (lambda: Adagrad(0.1, learning_rate_decay=-1.0), "learning_rate_decay = -1"),
        (lambda: Adagrad(0.1, initial_accumulator=-1.0), "initial_accumulator = -1"),
    ],
)
def test_numbers_no_optimizer_can_have(build, words):
    with pytest.raises(DriftaxError, match=words):
        build()
