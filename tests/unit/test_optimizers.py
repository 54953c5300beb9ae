"""One step of every optimizer against a naive loop, and how its numbers move along the ladder."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adam, DriftaxError, Regime, RMSprop, SignSGD
from driftax.optimizer import DecayForm, Denominator

DECOUPLED, L2 = DecayForm.DECOUPLED, DecayForm.L2
UPDATED, PREVIOUS = Denominator.UPDATED, Denominator.PREVIOUS
START = np.array([0.7, -1.2, 0.4])
GRADIENTS = np.random.default_rng(0).normal(size=(20, 3))


def run(optimizer, gradients=GRADIENTS, start=START):
    state = optimizer.init(jnp.asarray(start))
    update = jax.jit(lambda number, state, gradient: optimizer.update(number, state, gradient))
    states = []
    for number, gradient in enumerate(gradients):
        state = update(float(number), state, jnp.asarray(gradient))
        states.append(np.asarray(optimizer.pack(state)))
    return np.asarray(states)


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


def test_defaults():
    assert Adam(0.1).bias_correction and not RMSprop(0.1).bias_correction
    assert Adam(0.1).denominator is RMSprop(0.1).denominator is UPDATED
    assert Adam(0.1).weight_decay_form is SGD(0.1).weight_decay_form is DECOUPLED
    assert (Adam(0.1).b1, Adam(0.1).b2, Adam(0.1).eps, RMSprop(0.1).decay) == (0.9, 0.999, 1e-8, 0.99)
    assert SGD(0.1).slots == SignSGD(0.1).slots == {"params": 0}
    assert RMSprop(0.1).slots == {"params": 0, "nu": 2}
    assert Adam(0.1).slots == {"params": 0, "mu": 1, "nu": 2}


@pytest.mark.parametrize(
    "optimizer", [SGD(0.1), SignSGD(0.1), RMSprop(0.1), Adam(0.1)], ids=lambda o: type(o).__name__
)
def test_a_state_is_packed_and_unpacked(optimizer):
    state = optimizer.init(jnp.asarray(START))
    slots = jnp.arange(3.0 * len(optimizer.slots)).reshape(-1, 3)
    assert optimizer.pack(state).shape == slots.shape
    np.testing.assert_array_equal(optimizer.pack(optimizer.unpack(slots)), slots)
    np.testing.assert_array_equal(optimizer.params(optimizer.unpack(slots)), slots[0])


# ---------------------------------------------------------------- the ladder

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
# s is the factor on the time step: what every number is multiplied by (a decay: its 1 - decay).
TABLE = {
    ("normalised", BALLISTIC): {"learning_rate": 1, "decay": 1, "eps": 0, "decoupled": 0, "l2": 0},
    ("normalised", BATCH): {"learning_rate": 0.5, "decay": 1, "eps": -0.5, "decoupled": 0.5, "l2": 0},
    ("plain", BALLISTIC): {"learning_rate": 1, "decoupled": 0, "l2": 0},
    ("plain", BATCH): {"learning_rate": 1, "decoupled": 0, "l2": 0},
}


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_every_number_moves_by_the_table(scale, form, regime):
    decay = dict(weight_decay=0.3, weight_decay_form=form)
    optimizers = {
        "normalised": [
            SignSGD(0.1, **decay),
            RMSprop(0.1, 0.9, 0.05, **decay),
            Adam(0.1, 0.8, 0.95, 0.05, **decay),
        ],
        "plain": [SGD(0.1, **decay)],
    }
    for family, members in optimizers.items():
        powers = TABLE[family, regime]
        for optimizer in members:
            finer = optimizer.at(scale, regime)
            assert type(finer) is type(optimizer) and finer.weight_decay_form is form
            for name in ("learning_rate", "eps"):
                if hasattr(optimizer, name):
                    expected = getattr(optimizer, name) * scale ** powers[name]
                    assert float(getattr(finer, name)) == pytest.approx(expected, rel=1e-14)
            for name in ("decay", "b1", "b2"):
                if hasattr(optimizer, name):
                    expected = 1 - (1 - getattr(optimizer, name)) * scale
                    assert float(getattr(finer, name)) == pytest.approx(expected, rel=1e-14)
            assert float(finer.weight_decay) == pytest.approx(0.3 * scale ** powers[form.value], rel=1e-14)


def test_the_time_step():
    for optimizer in (SignSGD(0.1), RMSprop(0.1), Adam(0.1)):
        assert optimizer.time_step(BALLISTIC) == 0.1
        assert optimizer.time_step(BATCH) == pytest.approx(0.01)
        for regime in Regime:
            finer = optimizer.at(0.25, regime).time_step(regime)
            assert float(finer) == pytest.approx(0.25 * optimizer.time_step(regime))
    assert SGD(0.1).time_step(BATCH) == SGD(0.1).time_step(BALLISTIC) == 0.1
    assert float(SGD(0.1).at(0.25, BATCH).time_step(BATCH)) == pytest.approx(0.025)


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
def test_rescaled_at_is_the_same_optimizer_in_other_units(form, regime):
    """Gradients, first moments in units of 1/r, second moments of 1/r^2: the step of params is the same."""
    decay = dict(weight_decay=0.3, weight_decay_form=form)
    for optimizer in (
        SGD(0.1, **decay),
        SignSGD(0.1, **decay),
        RMSprop(0.1, 0.9, 0.05, denominator=UPDATED, **decay),
        RMSprop(0.1, 0.9, 0.05, denominator=PREVIOUS, **decay),
        Adam(0.1, 0.8, 0.95, 0.05, denominator=PREVIOUS, **decay),
        Adam(0.1, 0.8, 0.95, 0.05, denominator=UPDATED, **decay),
    ):
        r = 0.6
        units = np.array([r**power if regime is BATCH else 1.0 for power in optimizer.slots.values()])[
            :, None
        ]
        gradient_unit = r if regime is BATCH else 1.0
        slots = np.array([START, [0.3, -0.2, 0.5], [0.5, 0.9, 0.4]])
        slots = slots[{1: [0], 2: [0, 2], 3: [0, 1, 2]}[len(units)]]
        plain, rescaled = optimizer.at(r**2, regime), optimizer.rescaled_at(r, regime)
        clock = optimizer.clock(3.0)
        expected = plain.pack(
            plain.advance(clock, plain.unpack(jnp.asarray(slots)), jnp.asarray(GRADIENTS[0]))
        )
        found = rescaled.pack(
            rescaled.advance(
                clock, rescaled.unpack(jnp.asarray(slots * units)), jnp.asarray(GRADIENTS[0] * gradient_unit)
            )
        )
        np.testing.assert_allclose(found / units, expected, rtol=1e-13)


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
    ],
)
def test_numbers_no_optimizer_can_have(build, words):
    with pytest.raises(DriftaxError, match=words):
        build()
