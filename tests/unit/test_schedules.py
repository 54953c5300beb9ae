"""Numbers that change in time: against optax, along the ladder, and in equations with explicit time."""

from __future__ import annotations

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from driftax import (
    SGD,
    Adagrad,
    Adam,
    Chain,
    DriftaxError,
    GaussianNoise,
    Lion,
    Momentum,
    Quadratic,
    Regime,
    RMSprop,
    Scheduled,
    derive,
    from_optax,
    local_order,
)
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import flat_covariance, flat_mean
from driftax.equation import Method, ModifiedEquation
from driftax.equation.describe import as_text
from driftax.optimizer import (
    MomentumForm,
    constant,
    cosine,
    exponential,
    linear,
    polynomial,
    relative,
    warmup_cosine,
)

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
START = jnp.asarray([0.7, -1.2, 0.4])
GRADIENTS = jnp.asarray(np.random.default_rng(3).normal(size=(20, 3)))

SCHEDULES = {
    "constant": (constant(0.7), optax.constant_schedule(0.7)),
    "linear": (linear(12, 0.2), optax.linear_schedule(1.0, 0.2, 12)),
    "polynomial": (polynomial(12, 0.2, 2.5), optax.polynomial_schedule(1.0, 0.2, 2.5, 12)),
    "cosine": (cosine(12, 0.2), optax.cosine_decay_schedule(1.0, 12, 0.2)),
    "exponential": (exponential(12, 0.3), optax.exponential_decay(1.0, 12, 0.3)),
    "warmup cosine": (
        warmup_cosine(5, 12, 0.1, 0.2),
        optax.warmup_cosine_decay_schedule(0.1, 1.0, 5, 12, 0.2),
    ),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_values_are_optax_s(name):
    own, theirs = SCHEDULES[name]
    for step in np.arange(0, 16, 0.5):
        assert float(own(step)) == pytest.approx(float(theirs(jnp.asarray(step))), rel=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_slope_is_the_one_to_the_right(name):
    """At step 0 and at every kink: an equation looks ahead by one step from there."""
    own = SCHEDULES[name][0]
    for step in (0.0, 3.0, 5.0, 12.0, 15.0):
        slope = float(jax.jvp(own, (jnp.asarray(step),), (jnp.asarray(1.0),))[1])
        after, before = (float(own(jnp.asarray(step + e))) for e in (1e-6, 0.0))
        assert slope == pytest.approx((after - before) / 1e-6, abs=2e-6), step


def run(optimizer):
    state, path = optimizer.init(START), []
    update = eqx.filter_jit(lambda number, state, gradient: optimizer.update(number, state, gradient))
    for number, gradient in enumerate(GRADIENTS):
        state = update(jnp.asarray(float(number)), state, gradient)
        path.append(np.asarray(state[0]))
    return np.asarray(path)


def run_optax(transform):
    params, state, path = START, transform.init(START), []
    for gradient in GRADIENTS:
        updates, state = transform.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        path.append(np.asarray(params))
    return np.asarray(path)


FALLING, DECAY, RISING = cosine(15, 0.1), linear(15, 0.3), warmup_cosine(4, 18, 0.2, 0.4)


def values(factor, number):
    return lambda count: factor(count) * number


def betas(factor, number):
    return lambda count: 1 - (1 - number) * factor(count)


PAIRS = {
    "sgd": (
        Scheduled(SGD(0.1), {"learning_rate": FALLING}),
        lambda: optax.sgd(values(FALLING, 0.1)),
    ),
    "heavy ball": (
        Scheduled(Momentum(0.1, 0.8, nesterov=True), {"learning_rate": FALLING, "decay": DECAY}),
        lambda: optax.inject_hyperparams(optax.sgd)(values(FALLING, 0.1), betas(DECAY, 0.8), True),
    ),
    "adamw": (
        Scheduled(
            Adam(0.1, 0.8, 0.95, 0.05, 0.3),
            {"learning_rate": RISING, "b1": DECAY, "b2": RISING, "weight_decay": FALLING},
        ),
        lambda: optax.inject_hyperparams(optax.adamw)(
            values(RISING, 0.1),
            betas(DECAY, 0.8),
            betas(RISING, 0.95),
            0.05,
            weight_decay=values(FALLING, 0.3),
        ),
    ),
    "rmsprop": (
        Scheduled(RMSprop(0.1, 0.8, 0.05), {"learning_rate": FALLING, "decay": DECAY}),
        lambda: optax.inject_hyperparams(optax.rmsprop)(
            values(FALLING, 0.1), betas(DECAY, 0.8), 0.05, eps_in_sqrt=False
        ),
    ),
    "lion": (
        Scheduled(Lion(0.1, 0.7, 0.9, 0.3), {"learning_rate": FALLING, "b1": DECAY, "b2": DECAY}),
        lambda: optax.inject_hyperparams(optax.lion)(
            values(FALLING, 0.1), betas(DECAY, 0.7), betas(DECAY, 0.9), weight_decay=0.3
        ),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_twenty_steps_equal_optax(name):
    own, theirs = PAIRS[name]
    # optax evaluates a schedule of an integer counter in single precision.
    np.testing.assert_allclose(run(own), run_optax(theirs()), rtol=1e-5, atol=1e-6)


def test_twenty_steps_equal_optax_in_double_precision():
    theirs = from_optax(
        lambda s: optax.adam(optax.cosine_decay_schedule(0.1 * s, 15, 0.1)), learning_rate=0.1
    )
    falling = relative(optax.cosine_decay_schedule(0.1, 15, 0.1), 0.1)
    np.testing.assert_allclose(run(Scheduled(Adam(0.1), {"learning_rate": falling})), run(theirs), rtol=1e-12)


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_a_schedule_is_one_function_of_time_on_the_whole_ladder(regime):
    optimizer = Scheduled(Adam(0.1, 0.8), {"learning_rate": FALLING, "b1": DECAY})
    finer = optimizer.at(0.25, regime)
    assert finer.learning_rate == Adam(0.1).at(0.25, regime).learning_rate
    for step in (0.0, 3.0, 7.0):
        now, later = optimizer.clock(step), finer.clock(4 * step)
        np.testing.assert_allclose(now.factors, later.factors, rtol=1e-14)
        assert float(later.factors[1]) == pytest.approx(float(DECAY(step)))
    assert optimizer.time_step(regime) == Adam(0.1).time_step(regime)
    decay = 1 - 0.2 * float(DECAY(7.0))
    assert float(optimizer.clock(7.0).base.mu) == pytest.approx(1 - decay**8)


HESSIAN = np.array([[1.0, 0.5], [0.5, 1.0]])
COVARIANCE = 0.25 * HESSIAN @ HESSIAN
X, MU, NU = [1.5, -1.0], [0.6, -0.2], [1.0, 1.5]
EQUATIONS = {
    "sgd": (Scheduled(SGD(0.125, 0.3), {"learning_rate": cosine(8, 0.1), "weight_decay": linear(9)}), [X]),
    "momentum": (
        Scheduled(
            Momentum(0.125, 0.9, MomentumForm.EMA), {"learning_rate": cosine(8, 0.1), "decay": linear(9)}
        ),
        [X, MU],
    ),
    "adam": (
        Scheduled(Adam(0.125, 0.875, 0.9375, 0.1), {"learning_rate": cosine(8, 0.1), "b1": linear(9)}),
        [X, MU, NU],
    ),
    "adagrad": (Scheduled(Adagrad(0.3, 0.1), {"learning_rate": exponential(8, 0.1)}), [X, NU]),
}


def chain(optimizer, regime=BALLISTIC):
    return Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), optimizer, regime)


@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("sgd", Method.FINITE_STEP),
        ("sgd", Method.TAYLOR),
        ("momentum", Method.TAYLOR),
        ("adam", Method.FINITE_STEP),
        ("adam", Method.TAYLOR),
        ("adagrad", Method.FINITE_STEP),
    ],
)
def test_the_equation_has_order_two_in_explicit_time(name, method):
    optimizer, state = EQUATIONS[name]
    equation = derive(chain(optimizer), weak_order=2, method=method)
    assert local_order(equation, jnp.asarray(state), 2.0).order == pytest.approx(2, abs=0.03)


class Timeless(ModifiedEquation):
    """Without the derivative of the mean step in time."""

    def step_drift(self, number, state):
        mean, covariance = (part(self.chain, self.nodes) for part in (flat_mean, flat_covariance))
        m = mean(number, state)
        moments = covariance(number, state) + jnp.outer(m, m)
        return m - 0.5 * generator(mean, number, state, m, moments, in_time=False)


@pytest.mark.parametrize("name", ["sgd", "adagrad"])
def test_without_the_derivative_of_the_schedule_it_has_order_one(name):
    optimizer, state = EQUATIONS[name]
    equation = derive(chain(optimizer))
    fields = [getattr(equation, field.name) for field in dataclasses.fields(ModifiedEquation)]
    assert local_order(Timeless(*fields), jnp.asarray(state), 2.0).order == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("step", [0.0, 3.0])
def test_the_drift_of_scheduled_sgd_in_closed_form(step):
    """`b = -phi f - h/2 (phi^2 H f - phi' f)` with phi a function of t; at step 0 too, where phi has a kink."""
    h, steps = 0.125, 8
    equation = derive(chain(Scheduled(SGD(h), {"learning_rate": linear(steps, 0.2)})))
    f = HESSIAN @ np.array(X)
    phi, slope = 1 - 0.8 * step / steps, -0.8 / steps / h
    expected = -phi * f - h / 2 * (phi**2 * HESSIAN @ f - slope * f)
    np.testing.assert_allclose(equation.drift(step * h, jnp.asarray(X)), expected, rtol=1e-12)


def test_what_is_printed():
    optimizer = Scheduled(Adam(0.1, 0.8), {"learning_rate": cosine(8), "b1": linear(9)})
    assert optimizer.name == "Adam with schedules"
    assert optimizer.latex()[-2] == (
        r"\text{at step } k:\quad \eta \to \eta\,\phi_{1}(s\,k),\quad "
        r"1-\beta_1 \to (1-\beta_1)\,\phi_{2}(s\,k)"
    )
    text = as_text(derive(chain(optimizer)))
    assert "∂ₖ + L" in text and "h = η = 0.1" in text


@pytest.mark.parametrize(
    ("base", "schedules", "words"),
    [
        (
            Adam(0.1),
            {"decay": FALLING},
            "no number of this name that may change: learning_rate, b1, b2, weight",
        ),
        (Adam(0.1), {"eps": FALLING}, "no number of this name"),
        (from_optax(lambda s: optax.sgd(0.1 * s), learning_rate=0.1), {"learning_rate": FALLING}, "none"),
        (Adam(0.1), {"b1": constant(0.0)}, "the factor 0 at step 0 on 1 - b1 = 0.1"),
        (Adam(0.1), {"b1": constant(11.0)}, "at most 10"),
        (Adam(0.1), {"learning_rate": constant(-1.0)}, "the factor -1 at step 0"),
        (Adam(0.1), {"learning_rate": constant(float("nan"))}, "the factor nan at step 0"),
    ],
)
def test_schedules_that_are_refused(base, schedules, words):
    with pytest.raises(DriftaxError, match=words):
        Scheduled(base, schedules)
