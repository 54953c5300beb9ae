"""Ensembles under gradient laws that are not Gaussian: the optimizer has its exact law, and its equation is near."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Chain,
    EmpiricalNoise,
    GaussianMixture,
    LinearRegressionNoise,
    Quadratic,
    RMSprop,
    SignSGD,
    SkewedNoise,
    StudentT,
)
from driftax.simulate.drivers import BatchDriver, NormalDriver
from driftax.study.experiment import Experiment

LOSS = Quadratic([[1.2]])
START = jnp.asarray([[1.5], [1.0]])
LAWS = {
    "student_t": StudentT(0.6, 9.0),
    "skewed": SkewedNoise(0.5, 1.5),
    "mixture": GaussianMixture((0.9, 0.1), None, (1.0, 3.0), scale=0.5),
}


def experiment(law, optimizer, start=START, steps=2, models=("derived-1",), loss=LOSS):
    chain = Chain(loss, law, optimizer)
    return Experiment(chain, start, 0, 0, (1.0,), (steps,), False, models, ("params_sq",), look_at=start)


def exact_after_two_steps(chain, start):
    """E x^2 after two steps, by the law's own quadrature of both gradient noises."""
    rule = chain.noise.rule(chain.objective, start[0], 15)
    noise, weights = rule.nodes[:, 0], rule.weights[:, 0]

    def after(z, number, one):
        return chain.step(jnp.asarray(number), z, chain.gradient(z) + one[None])

    first = jax.vmap(lambda one: after(start, 0.0, one))(noise)
    second = jax.vmap(lambda z: jax.vmap(lambda one: after(z, 1.0, one))(noise))(first)
    return float(jnp.einsum("a,b,ab->", weights, weights, second[:, :, 0, 0] ** 2))


@pytest.mark.statistical
@pytest.mark.parametrize("name", LAWS)
def test_the_optimizer_has_its_law(name):
    """False alarm 1e-6 per law (two-sided normal), against exact quadrature; power 0.99 for a wrong kurtosis of nu."""
    case = experiment(LAWS[name], RMSprop(0.25, 0.7, 0.1), models=())
    study = case.rung_study(0, seed=2)
    assert isinstance(study.rung.driver, NormalDriver)
    study.grow(65536)
    found = study.means(None, 0)
    exact = exact_after_two_steps(case.chain, START)
    assert abs(found.mean[-1] - exact) < 4.9 * found.standard_error[-1]
    assert found.standard_error[-1] < 0.005 * exact


@pytest.mark.statistical
@pytest.mark.parametrize("name", LAWS)
def test_the_equation_has_the_covariance_of_the_step(name):
    """False alarm 1e-6 per law: E x^2 of SGD and of its order-2 equation, a linear one, in closed form."""
    rate, steps = 0.1, 8
    case = experiment(LAWS[name], SGD(rate), START[:1], steps, ("derived-2",))
    study = case.rung_study(0, seed=3)
    study.grow(65536)
    step, variance = 1 - rate * 1.2, rate**2 * float(LAWS[name].covariance(LOSS, START[0])[0])
    mean, second = 1.5 * step**steps, variance * (1 - step ** (2 * steps)) / (1 - step**2)
    optimizer, error = study.means(None, 0), study.error(0, 0)
    assert abs(optimizer.mean[-1] - mean**2 - second) < 4.9 * optimizer.standard_error[-1]
    # The order-2 equation is linear too; its error is of third order.
    assert abs(error.weak_error) < 4.9 * error.standard_error + 0.003
    assert error.standard_error < 0.01 * second  # the same normals drive both


@pytest.mark.statistical
def test_signs_of_cauchy_noise():
    """False alarm 1e-6: E x^2 after two steps of SignSGD, four paths of exact probability."""
    law, rate = StudentT(0.5, 1.0), 0.2
    case = experiment(law, SignSGD(rate), START[:1], 2, ("derived-1", "derived-2"))
    study = case.rung_study(0, seed=4)
    study.grow(65536)

    def up(x):  # the probability of a positive stochastic gradient
        return 0.5 + np.arctan(1.2 * x / 0.5) / np.pi

    exact, x = 0.0, 1.5
    for one, first in ((-rate, up(x)), (rate, 1 - up(x))):
        for two, second in ((-rate, up(x + one)), (rate, 1 - up(x + one))):
            exact += first * second * (x + one + two) ** 2
    found = study.means(None, 0)
    assert abs(found.mean[-1] - exact) < 4.9 * found.standard_error[-1]
    one, two = study.error(0, 0), study.error(1, 0)
    assert abs(two.weak_error) < abs(one.weak_error)


@pytest.mark.statistical
@pytest.mark.parametrize("law", ["recorded", "regression"])
def test_sampled_laws(law):
    """False alarm 1e-6 per law: E|x|^2 of SGD against the recursion of its exact second moment."""
    hessian, rate, steps = np.array([[1.0, 0.4], [0.4, 0.7]]), 0.1, 6
    loss, start = Quadratic(hessian), jnp.asarray([[1.0, -0.5]])
    recorded = np.random.default_rng(3).gamma(1.0, size=(20, 2))
    noise = EmpiricalNoise(recorded, 2) if law == "recorded" else LinearRegressionNoise(0.3, 2)
    case = experiment(noise, SGD(rate), start, steps, ("derived-2",), loss)
    study = case.rung_study(0, seed=5)
    assert isinstance(study.rung.driver, BatchDriver)
    study.grow(4096)
    study.refinement.grow(1024)
    second = np.outer(start[0], start[0])
    for _ in range(steps):
        if law == "recorded":
            covariance = np.asarray(noise.covariance(loss, start[0]))
            mean_square = hessian @ second @ hessian
        else:  # the covariance is quadratic in x: its mean needs E x x^T alone
            mean_square = hessian @ second @ hessian
            covariance = (mean_square + (np.trace(hessian @ second) + 0.3) * hessian) / 2
        second = second - rate * (hessian @ second + second @ hessian) + rate**2 * (mean_square + covariance)
    found, error = study.means(None, 0), study.error(0, 0)
    assert abs(found.mean[-1] - np.trace(second)) < 4.9 * found.standard_error[-1]
    assert abs(error.weak_error) < 4.9 * error.standard_error + 0.003
