"""Equations under reweighted examples: their noise, their coefficients, and the ensemble they drive."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Chain,
    DriftaxError,
    GaussianNoise,
    MinibatchNoise,
    Regime,
    RMSprop,
    SignSGD,
    derive,
)
from driftax.objective import FiniteSum
from driftax.published import publish
from driftax.simulate.reweighting import (
    ReweightingDriver,
    reweighted_equation,
    reweighting_driver,
    substep,
)
from driftax.simulate.schemes import EulerMaruyama
from driftax.simulate.steps import Draw, equation_step, optimizer_step
from driftax.study.run import experiment_of
from driftax.study.spec import read_study

SIZE, BATCH = 12, 4
DATA = {"x": jnp.asarray(np.random.default_rng(0).normal(size=(SIZE, 2)))}
OBJECTIVE = FiniteSum(
    lambda p, e: jnp.log1p(jnp.exp(p @ e["x"])) + 0.1 * jnp.sum(p**4) * (1 + e["x"][0]), DATA, 2
)
PARAMS = jnp.asarray([0.4, -0.7])
DRAWS = 60_000
FALSE_ALARM_Z = 5.5  # two-sided false alarm of 4e-8 per entry


def state(slots):
    mu, nu = jnp.asarray([0.2, 0.1]), jnp.asarray([0.3, 0.5])
    return jnp.stack({1: [PARAMS], 2: [PARAMS, nu], 3: [PARAMS, mu, nu]}[slots])


def chain_of(optimizer, replacement=True):
    return Chain(OBJECTIVE, MinibatchNoise(BATCH, replacement), optimizer)


def driven(chain, parts=2):
    """Draws of a driver, with members on the last axis."""
    driver = reweighting_driver(chain, parts)
    return driver, driver.draw(jax.random.key(1), jnp.asarray(0), 2, DRAWS, jnp.float64)[0]


@pytest.mark.parametrize("replacement", [True, False])
def test_the_noise_of_every_part_has_the_covariance_of_a_batch(replacement):
    """The first part of the weights is coupled to the batch, and their sum is the batch's own noise."""
    chain = chain_of(SGD(0.1), replacement)
    driver, draw = driven(chain)
    weights = jax.vmap(driver.part_drivers, in_axes=-1, out_axes=-1)(draw) / SIZE
    examples = OBJECTIVE.example_gradients(PARAMS)
    noise = np.asarray(jnp.einsum("psnm,nd->psmd", weights, examples))
    expected = np.asarray(chain.noise.covariance(OBJECTIVE, PARAMS))
    for part in noise.reshape(4, DRAWS, 2):
        products = part[:, :, None] * part[:, None, :]
        error = products.std(axis=0) / np.sqrt(DRAWS)
        assert np.all(np.abs(products.mean(axis=0) - expected) < FALSE_ALARM_Z * error)
    own = jax.vmap(lambda one: driver.gradient(chain, PARAMS, one), in_axes=-1)(draw)
    total = (noise[0, 0] + noise[1, 0]) / np.sqrt(2) + np.asarray(OBJECTIVE.gradient(PARAMS))
    np.testing.assert_allclose(total, own, atol=1e-12)


def test_several_weightings_share_one_pass():
    weights = jnp.asarray(np.random.default_rng(2).normal(size=(3, SIZE)))
    expected = weights @ OBJECTIVE.example_gradients(PARAMS)
    np.testing.assert_allclose(OBJECTIVE.weighted_gradients(PARAMS, weights), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("optimizer", "order"),
    [
        (SGD(0.1, weight_decay=0.3), 2),
        (RMSprop(0.1, 0.9, 0.1), 2),
        (SignSGD(0.1), 1),
    ],
)
def test_a_substep_has_the_mean_and_covariance_of_the_equation(optimizer, order):
    """Beside the compiled equation of a Gaussian law with the same covariance (constant: noise at this state)."""
    chain = chain_of(optimizer)
    z, number, dt = state(len(chain.slots)), jnp.asarray(7.0), jnp.asarray(0.5)
    equation = reweighted_equation(chain, order, True)
    normals = jax.random.normal(jax.random.key(3), (DRAWS, 2, SIZE)) * np.sqrt(SIZE / BATCH)
    weights = normals - jnp.mean(normals, axis=-1, keepdims=True)
    moved = np.asarray(
        jax.vmap(lambda w: substep(equation, number, dt, z, w, whole=False) - z)(weights)
    ).reshape(DRAWS, -1)
    law = GaussianNoise(chain.noise.covariance(OBJECTIVE, PARAMS))
    plain = Chain(OBJECTIVE, law, optimizer)
    if order == 2:  # the law moves with the params, and with it the drift of nu
        law = GaussianNoise(lambda x: chain.noise.covariance(OBJECTIVE, x), independent=False)
        plain = Chain(OBJECTIVE, law, optimizer)
    exact = derive(plain, weak_order=order, full=False, nodes=7)
    error = moved.std(axis=0) / np.sqrt(DRAWS)
    gap = moved.mean(axis=0) - 0.5 * np.asarray(exact.step_drift(number, z.reshape(-1)))
    assert np.all(np.abs(gap) < FALSE_ALARM_Z * error + 1e-12)
    centred = moved - moved.mean(axis=0)
    products = centred[:, :, None] * centred[:, None, :]
    spread = products.std(axis=0) / np.sqrt(DRAWS)
    expected = 0.5 * np.asarray(derive(plain, weak_order=1, nodes=7).step_covariance(number, z.reshape(-1)))
    slack = 0.2 * np.sqrt(np.outer(np.diag(expected), np.diag(expected))) if order == 2 else 0.0
    assert np.all(np.abs(products.mean(axis=0) - expected) < FALSE_ALARM_Z * spread + slack)


@pytest.mark.parametrize("model", ["compagnoni-2025", "malladi-2022"])
def test_a_published_substep_has_the_drift_of_its_formula(model):
    chain = chain_of(RMSprop(0.1, 0.9, 0.1))
    z, number, dt = state(2), jnp.asarray(7.0), jnp.asarray(0.5)
    equation = publish(model, chain)
    normals = jax.random.normal(jax.random.key(3), (DRAWS, 2, SIZE)) * np.sqrt(SIZE / BATCH)
    weights = normals - jnp.mean(normals, axis=-1, keepdims=True)
    moved = np.asarray(
        jax.vmap(lambda w: substep(equation, number, dt, z, w, whole=False) - z)(weights)
    ).reshape(DRAWS, -1)
    gap = moved.mean(axis=0) - 0.5 * np.asarray(equation.step_drift(number, z.reshape(-1)))
    assert np.all(np.abs(gap) < FALSE_ALARM_Z * moved.std(axis=0) / np.sqrt(DRAWS))
    np.testing.assert_allclose(
        np.cov(moved[:, :2].T), 0.5 * equation.step_covariance(number, z.reshape(-1))[:2, :2], rtol=0.03
    )


def test_a_whole_step_is_the_substep_of_length_1():
    """From one noise in place of two, of which nothing is left there."""
    chain = chain_of(RMSprop(0.1, 0.9, 0.1))
    z, number, dt = state(2), jnp.asarray(7.0), jnp.asarray(1.0)
    equation = reweighted_equation(chain, 1, True)
    weights = jnp.asarray(np.random.default_rng(4).normal(size=(2, SIZE)))
    one, two = (substep(equation, number, dt, z, weights, whole=whole) for whole in (True, False))
    np.testing.assert_allclose(one, two, rtol=1e-12)


def test_one_substep_of_sgd_follows_the_optimizers_own_batch():
    """The coupling: with one substep per step the noise is half the batch's own, half fresh."""
    chain = chain_of(SGD(0.1))
    driver, draw = driven(chain)
    few = jax.tree.map(lambda leaf: leaf[..., :1000], draw)
    members = jnp.broadcast_to(PARAMS[None, :, None], (1, 2, 1000))
    equation = reweighted_equation(chain, 1, True)
    shared = Draw(few, None)
    ours = equation_step(equation, EulerMaruyama(), driver, 1, jnp.asarray(0.0), members, shared)
    theirs = optimizer_step(chain, driver, jnp.asarray(0.0), members, shared)
    assert np.corrcoef(np.asarray(ours[0, 0]), np.asarray(theirs[0, 0]))[0, 1] == pytest.approx(
        np.sqrt(0.5), abs=0.1
    )


@pytest.mark.parametrize(
    ("optimizer", "regime", "words"),
    [(SignSGD(0.1), Regime.BALLISTIC, "kinks"), (RMSprop(0.1), Regime.BATCH_EQUIVALENT, "third derivatives")],
)
def test_where_order_2_has_no_unbiased_estimate_it_is_refused(optimizer, regime, words):
    chain = Chain(OBJECTIVE, MinibatchNoise(BATCH), optimizer, regime)
    with pytest.raises(DriftaxError, match=words):
        reweighted_equation(chain, 2, True)


STUDY = """seed = 0
[objective]
name = "network"
data = "breast_cancer"
model = "mlp"
[noise]
name = "minibatch"
batch_size = 32
[optimizer]
name = "sgd"
learning_rate = 0.1
[start]
[regime]
name = "ballistic"
[compare]
steps = 2
models = ["derived-2", "li-tai-e-2019-2"]
"""


@pytest.mark.parametrize(
    "noise", ['name = "minibatch"\nbatch_size = 32', 'name = "gaussian"\ncovariance = 1e-6']
)
def test_a_network_is_run_member_by_member(noise):
    """A chunk is a member; Euler's bias is left to two levels; the noise of order 2 is not corrected."""
    study = read_study("study.toml", STUDY.replace('name = "minibatch"\nbatch_size = 32', noise))
    experiment = experiment_of(study, "verify", False)
    rung = experiment.rung_study(0, 0).rung
    assert rung.leaf == rung.chunk == 1 and rung.levels == ((1, 2), (1, 2))
    assert isinstance(rung.scheme, EulerMaruyama)
    assert isinstance(rung.driver, ReweightingDriver) == ("minibatch" in noise)
    assert experiment.judged("derived-2").obstruction is None
    if "gaussian" in noise:
        assert not rung.equations[0].corrected_noise


def test_a_scheme_that_reweighted_examples_do_not_drive_is_refused():
    study = read_study("study.toml", STUDY + 'scheme = "weak-2"\n')
    with pytest.raises(DriftaxError, match="euler-maruyama"):
        experiment_of(study, "verify", False).check()


def test_a_scheme_that_takes_a_column_per_parameter_is_refused():
    noise = 'name = "gaussian"\ncovariance = 1e-6'
    text = STUDY.replace('name = "minibatch"\nbatch_size = 32', noise) + 'scheme = "weak-2"\n'
    with pytest.raises(DriftaxError, match="splitting"):
        experiment_of(read_study("study.toml", text), "verify", False).check()


def test_a_quadratic_of_many_parameters_is_no_network():
    text = STUDY.replace(
        'name = "network"\ndata = "breast_cancer"\nmodel = "mlp"', 'name = "rosenbrock"\ndim = 1100'
    )
    text = text.replace('name = "minibatch"\nbatch_size = 32', 'name = "gaussian"\ncovariance = 1.0')
    text = text.replace("[start]", f"[start]\nparams = {[1.0] * 1100}")
    assert not experiment_of(read_study("study.toml", text), "verify", False).large
