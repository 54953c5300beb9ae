"""Orders under gradient laws that are not Gaussian: skewness costs order 1/2, kurtosis order 2, in one regime only."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import equinox as eqx
import family
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    Chain,
    DriftaxError,
    EmpiricalNoise,
    FiniteSum,
    GaussianMixture,
    LabelNoise,
    LinearRegressionNoise,
    MinibatchNoise,
    Quadratic,
    Regime,
    SkewedNoise,
    StudentT,
    derive,
    local_order,
)
from driftax.equation import Method

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
DEVIATION = 0.7


def law(name, regime):
    deviation = DEVIATION / (family.RATE if regime is BATCH else 1.0)
    return {
        "student_t": lambda: StudentT(deviation * np.sqrt(6 / 8), 8.0),
        "skewed": lambda: SkewedNoise(deviation**2, 1.0),
        "mixture": lambda: GaussianMixture((0.9, 0.1), None, (1.0, 3.0), scale=deviation / np.sqrt(1.8)),
    }[name]()


def at(name, dim=1):
    return dict(at=family.state(name, dim), step=family.STEP)


def certificate(chain, name, order, dim=1, allow_obstructed=True):
    equation = derive(chain, weak_order=order, allow_obstructed=allow_obstructed, **at(name, dim))
    return local_order(equation, family.state(name, dim), step=family.STEP)


def residual(found, monomial, power=2.0):
    entry = next(m for m in found.monomials if m.name == monomial)
    return entry.residuals[-1] / found.time_steps[-1] ** power


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("RMSprop", "student_t"),
        ("RMSprop", "mixture"),
        ("Adam", "skewed"),
    ],
)
def test_no_law_need_be_gaussian_in_the_ballistic_regime(name, noise):
    chain = family.chain(name, BALLISTIC, noise=law(noise, BALLISTIC))
    for order in (1, 2):
        found = certificate(chain, name, order, allow_obstructed=False)  # nothing is refused
        assert found.order == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_skewness_leaves_order_one_half_in_the_batch_equivalent_regime(name):
    """The third cumulant of a step is `-skewness S^3 D^3 h^(3/2)`, which no equation has; `derive` refuses order 1."""
    chain = family.chain(name, BATCH, noise=law("skewed", BATCH))
    found = certificate(chain, name, 1)
    assert found.order == pytest.approx(0.5, abs=0.02) and found.worst.name == "params[0]^3"
    inverse = 1.0 if name == "SGD" else 1 / (np.sqrt(family.V[0]) + family.EPS)
    assert residual(found, "params[0]^3", 1.5) == pytest.approx(-((DEVIATION * inverse) ** 3), rel=0.01)
    where = r"d/dparams\[0\] d/dparams\[0\] d/dparams\[0\] of size h\^1.5"
    with pytest.raises(DriftaxError, match=where) as refusal:
        derive(chain, weak_order=1, **at(name))
    assert "above 0.5" in str(refusal.value) and "allow_obstructed=True" in str(refusal.value)
    with pytest.raises(DriftaxError, match="third-order moments"):
        derive(chain, weak_order=2, **at(name))


@pytest.mark.parametrize("name", ["SGD", "RMSprop"])
def test_kurtosis_leaves_order_1_in_the_batch_equivalent_regime(name):
    chain = family.chain(name, BATCH, noise=law("mixture", BATCH))
    assert certificate(chain, name, 1, allow_obstructed=False).order == pytest.approx(1, abs=0.1)
    two = certificate(chain, name, 2)
    assert two.order == pytest.approx(1, abs=0.1)
    inverse = 1.0 if name == "SGD" else 1 / (np.sqrt(family.V[0]) + family.EPS)
    excess = law("mixture", BATCH).shape_moments[2] - 3
    assert residual(two, "params[0]^4") == pytest.approx(excess * (DEVIATION * inverse) ** 4, rel=0.02)
    if name == "SGD":
        with pytest.raises(DriftaxError, match="fourth-order moments of one step") as refusal:
            derive(chain, weak_order=2, **at(name))
        value = float(re.search(r"has: (\S+) h\^2 d/dparams", str(refusal.value)).group(1))
        assert value == pytest.approx(excess * DEVIATION**4 / 24, rel=1e-3)


def test_student_noise_has_no_order_2_in_the_batch_equivalent_regime():
    chain = family.chain("RMSprop", BATCH, noise=law("student_t", BATCH))
    assert certificate(chain, "RMSprop", 1, allow_obstructed=False).order == pytest.approx(1, abs=0.1)
    with pytest.raises(DriftaxError, match="8 degrees of freedom where more degrees of freedom than any"):
        derive(chain, weak_order=2, **at("RMSprop"))


def test_batches_that_shrink_are_no_diffusion_in_the_limit():
    """Skewness grows like the root of 1/h, and the third cumulant of a step is of size h: the certificate sees it.

    The equation is not refused, since that ladder ends at a batch of one example.
    """
    objective = FiniteSum(
        lambda x, a: 0.5 * jnp.sum((x - a) ** 2), jnp.asarray([[0.0], [0.1], [0.3], [2.0]]), 1
    )
    for noise in (MinibatchNoise(64), EmpiricalNoise([[0.0], [0.1], [2.0]], 64)):
        chain = Chain(objective, noise, family.optimizer("SGD", BATCH), BATCH)
        at_state = jnp.asarray([[0.7]])
        equation = derive(chain, weak_order=1, at=at_state)
        assert local_order(equation, at_state).order < 0.1


def test_cauchy_noise_under_signs():
    """Any degrees of freedom: the steps are bounded. Both methods."""
    for method in (Method.FINITE_STEP, Method.TAYLOR):
        chain = family.chain("SignSGD", BALLISTIC, noise=StudentT(0.5, 1.0))
        equation = derive(chain, weak_order=2, method=method, **at("SignSGD"))
        assert local_order(equation, family.state("SignSGD", 1), step=family.STEP).order == pytest.approx(
            2, abs=0.1
        )
    with pytest.raises(DriftaxError, match="1 degrees of freedom where more than 2"):
        derive(family.chain("SGD", BALLISTIC, noise=StudentT(0.5, 1.0)), weak_order=1)


@eqx.filter_jit
def coefficients(equation, number, flat):
    return equation.step_drift(number, flat), equation.step_covariance(number, flat)


@pytest.mark.parametrize("noise", ["student_t", "skewed", "mixture"])
def test_both_methods_have_the_same_coefficients(noise):
    """To the order of the equation: the gap of drifts falls like h^3 where both are of order 2."""
    gaps = []
    for scale in (1 / 16, 1 / 32):
        chain = family.chain("RMSprop", BALLISTIC, noise=law(noise, BALLISTIC)).at(scale)
        flat, number = family.state("RMSprop", 1).reshape(-1), jnp.asarray(family.STEP / scale)
        one, two = (coefficients(derive(chain, method=method), number, flat) for method in Method)
        gaps.append([np.max(np.abs(a - b)) for a, b in zip(one, two, strict=True)])
    ratio = np.asarray(gaps[0]) / np.asarray(gaps[1])
    np.testing.assert_allclose(ratio, 8, rtol=0.15)


def test_two_parameters_under_student_noise():
    chain = family.chain("RMSprop", BALLISTIC, dim=2, noise=StudentT([0.6, 0.5], 8.0))
    assert certificate(chain, "RMSprop", 2, dim=2).order == pytest.approx(2, abs=0.1)


def test_laws_that_move_with_the_params():
    hessian = np.array([[1.0, 0.5], [0.5, 1.5]])
    x, label = jnp.asarray([0.5, -1.0, 2.0]), jnp.asarray([1.0, 0.0, -1.0])

    def curved(params, example):
        return 0.5 * (jnp.tanh(params[0] * example["x"]) * params[1] - example["label"]) ** 2

    cases = [
        (Quadratic(hessian), LinearRegressionNoise(0.3, 4)),
        (FiniteSum(curved, {"x": x, "label": label}, 2), LabelNoise(0.3)),
    ]
    for loss, noise in cases:
        chain = family.chain("RMSprop", BALLISTIC, dim=2, noise=noise, loss=loss)
        noise.check(loss, family.state("RMSprop", 2)[0])
        assert certificate(chain, "RMSprop", 2, dim=2).order == pytest.approx(2, abs=0.1), noise
