"""The rules torch and optax have in common or not: NAdam, RAdam, groups, dampening, centred RMSprop."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from driftax import (
    Adagrad,
    Adam,
    Chain,
    DriftaxError,
    GaussianNoise,
    Grouped,
    Momentum,
    NAdam,
    Quadratic,
    RAdam,
    Regime,
    Signum,
    derive,
    local_order,
)
from driftax.equation.derivation import Method
from driftax.equation.describe import as_text
from driftax.optimizer import AbstractOptimizer, DampenedMomentum, DecayForm, MomentumRMSprop, Rectification
from driftax.optimizer.structure import structure

START = jnp.array([0.7, -1.2, 0.4])
GRADIENTS = np.random.default_rng(2).normal(size=(20, 3))


def path(optimizer, start=START):
    """The params along twenty steps."""
    state, params = optimizer.init(start), []
    update = jax.jit(lambda number, state, gradient: optimizer.update(number, state, gradient))
    for number, gradient in enumerate(GRADIENTS):
        state = update(float(number), state, jnp.asarray(gradient[: len(start)]))
        params.append(state.params)
    return np.stack(params)


def optax_path(transform):
    state, x, params = transform.init(START), START, []
    for gradient in GRADIENTS:
        updates, state = transform.update(jnp.asarray(gradient), state, x)
        x = x + updates
        params.append(x)
    return np.stack(params)


NUMBERS = (0.1, 0.8, 0.95, 0.05)
OPTAX = {
    "nadam": (NAdam(*NUMBERS), optax.nadam(*NUMBERS)),
    "nadamw": (NAdam(*NUMBERS, weight_decay=0.3), optax.nadamw(*NUMBERS, weight_decay=0.3)),
    "radam": (RAdam(*NUMBERS, rectification=Rectification.OPTAX), optax.radam(*NUMBERS)),
    "radam, never rectified": (
        RAdam(0.1, 0.8, 0.5, 0.05, rectification=Rectification.OPTAX),
        optax.radam(0.1, 0.8, 0.5, 0.05),
    ),
    "rmsprop centred": (
        MomentumRMSprop(0.1, 0.9, None, 0.05, centered=True),
        optax.rmsprop(0.1, 0.9, 0.05, centered=True, eps_in_sqrt=False),
    ),
    "rmsprop momentum": (
        MomentumRMSprop(0.1 / (1 - 0.8), 0.9, 0.8, 0.05),
        optax.rmsprop(0.1, 0.9, 0.05, momentum=0.8, eps_in_sqrt=False),
    ),
}


@pytest.mark.parametrize("name", OPTAX)
def test_twenty_steps_equal_optax(name):
    own, theirs = OPTAX[name]
    np.testing.assert_allclose(path(own), optax_path(theirs), rtol=1e-11)


def test_the_forms_of_radam_differ_by_eps():
    torch_form, optax_form = (RAdam(*NUMBERS, rectification=form) for form in Rectification)
    assert np.abs(path(torch_form) - path(optax_form)).max() > 1e-3
    without = (RAdam(0.1, 0.8, 0.95, 0.0, rectification=form) for form in Rectification)
    np.testing.assert_allclose(*map(path, without), rtol=1e-12)


def test_radam_is_not_normalised_in_its_first_five_steps():
    clocks = [RAdam(0.1).clock(float(step)) for step in range(8)]
    assert [float(clock.plain) for clock in clocks] == [1.0] * 5 + [0.0] * 3
    assert [float(clock.rectified) > 0 for clock in clocks] == [False] * 5 + [True] * 3
    for step in (0.0, 3.0, 10.0):
        slopes = jax.jvp(RAdam(0.1).clock, (step,), (1.0,))[1]
        assert all(np.isfinite(float(slope)) for slope in slopes)


@pytest.mark.parametrize("regime", Regime)
def test_the_momentum_of_nadam_is_one_function_of_time(regime):
    nadam = NAdam(0.1, 0.8, 0.95, 0.05, momentum_decay=0.3)
    for scale in (1.0, 0.5, 0.1):
        state = nadam.at(scale, regime).init(jnp.ones(1))
        for step in (0.0, 7.0):
            product = nadam.at(scale, regime).update(step, state, jnp.ones(1)).mu_product
            momentum = 0.8 * (1 - 0.5 * 0.96 ** ((step + 1) * scale * 0.3))
            assert float(1 - product[0]) == pytest.approx(scale * (1 - momentum), rel=1e-12)


def test_a_group_is_the_optimizer_on_its_own_coordinates():
    first, second = Adam(0.1, 0.8, 0.9, 0.05, 0.3), Adam(0.02, 0.5, 0.95, 0.2)
    grouped = path(Grouped((first, second), (2, 1), (False, True)))
    np.testing.assert_allclose(grouped[:, :2], path(first)[:, :2], rtol=1e-14)
    up = Grouped((second,), (1,), (True,))
    state = up.init(START[2:])
    for number, gradient in enumerate(GRADIENTS):
        state = up.update(float(number), state, jnp.asarray(gradient[2:]))
    np.testing.assert_allclose(grouped[-1, 2], float(state.params[0]), rtol=1e-14)
    down = second.init(START[2:])
    for number, gradient in enumerate(GRADIENTS):
        down = second.update(float(number), down, -jnp.asarray(gradient[2:]))
    np.testing.assert_allclose(grouped[-1, 2], float(down.params[0]), rtol=1e-14)


def test_groups_do_not_mix_coordinates():
    assert structure(Grouped((Adam(0.1), Adam(0.2)), (2, 1)), 3) == structure(Adam(0.1), 3)


def test_the_state_of_groups_starts_as_theirs():
    grouped = Grouped((Adagrad(0.1, initial_accumulator=0.5), Adagrad(0.1, initial_accumulator=2.0)), (1, 2))
    np.testing.assert_array_equal(grouped.init(START).nu, [0.5, 2.0, 2.0])


class Normed(AbstractOptimizer):
    """A rule whose step is divided by the norm of the gradient."""

    learning_rate: float
    slots = {"params": 0}

    def update(self, step, state, gradient):
        return self.unpack((state.params - self.learning_rate * gradient / jnp.linalg.norm(gradient),))


def test_groups_are_refused_where_they_make_no_sense():
    with pytest.raises(DriftaxError, match="1 optimizers, sizes"):
        Grouped((Adam(0.1),), (2, 1))
    with pytest.raises(DriftaxError, match="differ in more than their numbers"):
        Grouped((Adam(0.1), NAdam(0.1)), (2, 1))
    with pytest.raises(DriftaxError, match="differ in more than their numbers"):
        Grouped((Adam(0.1), Adam(0.1, weight_decay_form=DecayForm.L2)), (2, 1))
    with pytest.raises(DriftaxError, match="coordinates depend on each other"):
        Grouped((Normed(0.1), Normed(0.2)), (2, 1))
    with pytest.raises(DriftaxError, match="a vector of 2 parameters"):
        Grouped((Adam(0.1), Adam(0.2)), (2, 1)).init(jnp.ones(2))
    signs = Grouped((Signum(0.1), Signum(0.2)), (1, 1))
    with pytest.raises(DriftaxError, match="a step with no limit there"):
        Chain(Quadratic(jnp.eye(2)), GaussianNoise(0.3), signs, Regime.BATCH_EQUIVALENT)


@pytest.mark.parametrize(
    "make",
    [
        lambda: NAdam(0.1, momentum_decay=-1.0),
        lambda: NAdam(0.1, 1.0),
        lambda: RAdam(-0.1),
        lambda: DampenedMomentum(0.1, 0.9, 1.0),
        lambda: DampenedMomentum(0.1, 1.0, 0.5),
        lambda: MomentumRMSprop(0.1, momentum=1.0),
        lambda: MomentumRMSprop(0.1, decay=1.0),
    ],
)
def test_impossible_numbers_are_refused(make):
    with pytest.raises(DriftaxError):
        make()


# ---------------------------------------------------------------- their equations

RULES = {
    "nadam, torch": (NAdam(0.25, 0.8, 0.9, 0.1, 0.1, 0.1), [1.5, 1.0, 1.0, 0.5]),
    "nadam, optax": (NAdam(0.25, 0.8, 0.9, 0.1), [1.5, 1.0, 1.0]),
    "radam": (RAdam(0.25, 0.8, 0.9, 0.1, 0.1), [1.5, 1.0, 1.0]),
    "dampened": (DampenedMomentum(0.25, 0.8, 0.5), [1.5, 1.0]),
    "rmsprop": (MomentumRMSprop(0.25, 0.8, 0.7, 0.1, centered=True), [1.5, 2.0, 0.5, 1.0]),
}


def check_orders(chain, state):
    orders = []
    for regime, order, method in (
        (Regime.BALLISTIC, 2, Method.FINITE_STEP),
        (Regime.BATCH_EQUIVALENT, 1, Method.TAYLOR),
    ):
        chain = Chain(chain.objective, chain.noise, chain.optimizer, regime)
        equation = derive(chain, weak_order=order, at=state, step=10.0, method=method)
        orders.append(local_order(equation, state, step=10.0).order)
        assert chain.optimizer.name in as_text(equation)
    assert orders == pytest.approx([2, 1], abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_orders_of_their_equations(name):
    optimizer, rows = RULES[name]
    check_orders(Chain(Quadratic([[1.0]]), GaussianNoise([[0.3125]]), optimizer), jnp.array(rows)[:, None])


@pytest.mark.slow
def test_orders_of_the_equations_of_groups():
    optimizer = Grouped((Momentum(0.25, 0.8), Momentum(0.5, 0.5)), (1, 1), (False, True))
    covariance = GaussianNoise([[0.3125, 0.25], [0.25, 0.3125]])
    chain = Chain(Quadratic([[1.0, 0.5], [0.5, 1.0]]), covariance, optimizer)
    check_orders(chain, jnp.array([[1.5, -1.0], [1.0, 1.0]]))
