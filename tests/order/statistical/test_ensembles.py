"""The coupled ensembles: what they must be whatever the seed, and the ablations they must see."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Chain, GaussianNoise, MinibatchNoise, Quadratic, RMSprop, derive
from driftax.compare.order_test import Answer, OrderTest
from driftax.compare.weak_error import Leaves
from driftax.objective.models import breast_cancer, logistic
from driftax.optimizer.from_optax import optax_by_name
from driftax.regime import Regime
from driftax.simulate.drivers import BatchDriver, NormalDriver
from driftax.simulate.schemes import Integration
from driftax.statistics.streaming import controlled
from driftax.study.experiment import Experiment

HESSIAN = np.array([[1.0, 0.5], [0.5, 1.0]])
COVARIANCE = 0.25 * HESSIAN @ HESSIAN
START = jnp.asarray([[1.5, -1.0], [1.0, 1.0]])


def rmsprop_experiment(models=("derived-2",), names=("params_sq", "nu_sq"), ladder=(1.0, 0.5, 0.25)):
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), RMSprop(0.25, 1 - 0.5 * 0.25, 0.1))
    return Experiment(chain, START, 0, 0, ladder, (8,), False, models, names, look_at=START)


def same(left, right):
    return all(np.array_equal(a, b) for a, b in zip(left, right, strict=True))


def test_statistics_do_not_depend_on_how_members_were_added():
    """Bit for bit, and the last leaf may count in part."""
    experiment = rmsprop_experiment()
    at_once, in_parts = experiment.rung_study(0, seed=3), experiment.rung_study(0, seed=3)
    at_once.grow(2500)
    in_parts.grow(1024)
    in_parts.grow(2500)
    assert same(at_once.moments, in_parts.moments)
    assert int(at_once.moments.members[0]) + int(at_once.failed.max()) >= 2500 - 5
    other = experiment.rung_study(0, seed=4)
    other.grow(1024)
    assert not np.array_equal(other.moments.mean, in_parts.moments.mean)
    alone = other.run(Leaves(3, 1000))
    beside = other.run(Leaves(0, 3 * 1024 + 1000), room=16).part(3, 4)
    assert same((*alone.moments, alone.failed), (*beside.moments, beside.failed))


_ONE_LEAF = """
import jax; jax.config.update("jax_enable_x64", True)
import sys; sys.path.insert(0, {folder!r})
from test_ensembles import rmsprop_experiment
study = rmsprop_experiment().rung_study(1, seed=0)
study.grow(2048)
print(len(jax.devices()), study.moments.mean.tobytes().hex(), study.moments.comoment.tobytes().hex())
"""


def test_statistics_do_not_depend_on_the_number_of_devices():
    from pathlib import Path

    code = _ONE_LEAF.format(folder=str(Path(__file__).parent))
    outputs = []
    for devices in (1, 2):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        environment = {"XLA_FLAGS": flags, "PATH": ""}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        count, *numbers = done.stdout.split()
        assert int(count) == devices
        outputs.append(numbers)
    assert outputs[0] == outputs[1]


@pytest.mark.statistical
def test_the_optimizer_ensemble_has_its_exact_moments():
    """False alarm 1e-6 per number: SGD on a quadratic has closed-form mean and second moment."""
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(COVARIANCE), SGD(0.25))
    z = START[:1]
    experiment = Experiment(
        chain, z, 0, 0, (1.0,), (4, 8), False, ("derived-1",), ("params_sq", "params[0]"), look_at=z
    )
    study = experiment.rung_study(0, seed=1)
    study.grow(16384)
    step = np.eye(2) - 0.25 * HESSIAN
    mean, second = np.asarray(z[0]), np.zeros((2, 2))
    for number in range(1, 9):
        mean, second = step @ mean, step @ second @ step.T + 0.25**2 * COVARIANCE
        if number in (4, 8):
            record = 0 if number == 4 else 1
            found = study.means(None, 0)
            exact = mean @ mean + np.trace(second)
            assert abs(found.mean[record] - exact) < 4.9 * found.standard_error[record]
            found = study.means(None, 1)
            assert abs(found.mean[record] - mean[0]) < 4.9 * found.standard_error[record]


@pytest.mark.statistical
def test_controls_have_mean_zero_and_remove_most_of_the_noise_of_nu():
    """False alarm 1e-6 per control; the variance of the error of E|nu|^2 must fall at least five times."""
    study = rmsprop_experiment().rung_study(2, seed=5)
    study.grow(8192)
    columns = study.columns
    for column in columns.controls:
        mean, error = controlled(study.moments, column, np.arange(0))
        assert abs(mean[-1]) < 4.9 * error[-1] + 1e-12
    target = columns.difference[0, 1]
    plain, plain_error = controlled(study.moments, target, np.arange(0))
    better, better_error = controlled(study.moments, target, columns.controls)
    assert better_error[-1] ** 2 < plain_error[-1] ** 2 / 5
    assert abs(better[-1] - plain[-1]) < 4.9 * plain_error[-1]


class WithoutNuNoise(NormalDriver):
    """The driver of Gaussian laws whose equations get no second channel: nu has no noise of its own."""

    def part_drivers(self, draw):
        return draw.at[:, 1].set(0.0)


@pytest.mark.statistical
@pytest.mark.slow
def test_without_the_independent_noise_of_nu_order_two_is_refuted():
    """False alarm 1e-6 per verdict. The error of E|nu|^2 then falls like h, the missing variance."""
    experiment = rmsprop_experiment(names=("nu_sq",), ladder=(0.5, 0.25, 0.125))
    answers = {}
    for ablated in (False, True):
        errors = []
        for position, members in enumerate((8192, 16384, 16384)):
            study = experiment.rung_study(position, seed=7)
            driver = study.rung.driver
            if ablated:
                study.rung = dataclasses.replace(
                    study.rung, driver=WithoutNuNoise(driver.parts, driver.channels)
                )
                study.columns = study.rung.columns(START.size)
            study.grow(members)
            errors.append(study.error(0, 0))
        answers[ablated] = OrderTest("derived-2", "nu_sq", 2, tuple(errors))
    assert answers[True].verdict(1e-6).answer is Answer.REFUTED
    assert answers[False].verdict(1e-6).answer is not Answer.REFUTED
    assert abs(answers[True].rungs[-1].weak_error) > 5 * abs(answers[False].rungs[-1].weak_error)


def test_members_that_leave_the_domain_are_counted():
    chain = Chain(Quadratic(HESSIAN), GaussianNoise(4 * COVARIANCE), RMSprop(0.25, 0.3, 0.1))
    experiment = Experiment(
        chain, START.at[1].set(0.05), 0, 0, (1.0,), (8,), False, ("derived-1",), ("nu_sq",), look_at=START
    )
    study = experiment.rung_study(0, seed=0)
    study.grow(1024)
    assert study.failures(0) > 0 and study.failures(None) == 0
    assert int(study.moments.members[-1]) == 1024 - study.failures(0)
    assert study.error(0, 0).failed == study.failures(0)


def minibatch_chain(batch=16, learning_rate=0.02):
    problem = logistic(breast_cancer())
    optimizer = optax_by_name(
        "adamw",
        {"learning_rate": learning_rate, "b1": 0.9, "b2": 0.99, "weight_decay": 0.01},
        Regime.BALLISTIC,
    )
    return Chain(problem.objective, MinibatchNoise(batch), optimizer), problem.start


def test_an_integration_without_extrapolation_is_off_by_no_more_than_its_bias():
    """Euler-Maruyama too: within its bias and 5 standard errors (6e-7 each) of the extrapolated integration."""
    errors = {}
    for name, integration in {
        "extrapolated": Integration(),
        "euler": Integration("euler-maruyama", substeps=4, extrapolate=False),
        "uncontrolled": Integration(extrapolate=False, controls=False),
    }.items():
        study = rmsprop_experiment(ladder=(1.0,))._replace(integration=integration).rung_study(0, seed=5)
        if study.refinement is not None:
            study.refinement.grow(study.refinement_members)
        study.grow(16 * 1024)
        errors[name] = [study.error(0, observable) for observable in (0, 1)]
    for name in ("euler", "uncontrolled"):
        for right, found in zip(errors["extrapolated"], errors[name], strict=True):
            assert found.bias is not None and found.bias > 0
            noise = np.hypot(right.standard_error, found.standard_error)
            assert abs(found.weak_error - right.weak_error) < right.bias + found.bias + 5 * noise, name
    assert errors["euler"][0].bias > 3 * errors["extrapolated"][0].bias
    assert errors["uncontrolled"][1].standard_error > 2 * errors["extrapolated"][1].standard_error


def test_batch_noise_halves_make_one_centred_increment():
    """The parts of a step add up to the increment of the optimizer's own batch about fresh ones."""
    chain, start = minibatch_chain()
    driver = BatchDriver(2, 8, chain.noise, chain.noise.draws(chain.objective))
    draw = driver.draw(driver.start(jax.random.key(0), 31, 4), jnp.asarray(0), 31, 4, float)[0][..., 0]
    z = chain.from_natural(jnp.stack([start + 0.1, jnp.full(31, 0.01), jnp.full(31, 0.01)]))
    equation = derive(chain, weak_order=1, nodes=3)
    number = jnp.asarray(10.0)
    parts = [driver.noise(equation, number, z, draw, half) for half in driver.part_drivers(draw)]
    gradients = chain.objective.example_gradients(chain.params(z))
    steps = [chain.increment(number, z, jnp.mean(gradients[index], axis=0)) for index in draw[0]]
    whole = np.sqrt(8 / 9) * (steps[0] - sum(steps[1:]) / 8)
    np.testing.assert_allclose(sum(parts) / np.sqrt(2), whole, rtol=1e-10, atol=1e-14)


@pytest.mark.statistical
@pytest.mark.slow
def test_a_drift_without_the_noise_of_the_gradient_is_seen():
    """False alarm 1e-6. nu's drift without the minibatch variance is wrong by O(1); noise centred with fresh
    batches must show it (centred with the compiler's own mean it would cancel)."""
    chain, start = minibatch_chain()
    z = jnp.stack([start, jnp.zeros(31), jnp.zeros(31)])
    experiment = Experiment(
        chain,
        z,
        0,
        20,
        (1.0,),
        (60,),
        False,
        ("derived-1",),
        ("params_sq",),
        look_at=z,
        log_second_moments=True,
    )
    errors = {}
    for ablated in (False, True):
        study = experiment._study(0, 0, (1,), 8)
        if ablated:
            (equation,) = study.rung.equations
            noiseless = Chain(chain.objective, GaussianNoise(1e-20), chain.optimizer, log_second_moments=True)
            noiseless = jax.tree.map(
                lambda a: a.astype(jnp.float32) if jnp.issubdtype(a.dtype, jnp.floating) else a, noiseless
            )
            study.rung = dataclasses.replace(
                study.rung, equations=(dataclasses.replace(equation, chain=noiseless),)
            )
        study.grow(64)
        errors[ablated] = study.error(0, 0)
    right, wrong = errors[False], errors[True]
    assert abs(wrong.weak_error) > abs(right.weak_error) + 4.9 * (wrong.standard_error + right.standard_error)
    assert wrong.weak_error > 0.05
