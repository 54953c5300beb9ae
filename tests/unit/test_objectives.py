"""Losses, their gradients, and what is refused."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Chain,
    DoubleWell,
    DriftaxError,
    FiniteSum,
    FunctionObjective,
    GaussianNoise,
    MinibatchNoise,
    Quadratic,
    Rosenbrock,
    Saddle,
    derive,
    local_order,
    polynomial,
)
from driftax.objective.models import breast_cancer, finite_sum_by_name, logistic, mlp

DATA = breast_cancer()
PROBLEMS = {
    "quadratic": (Quadratic([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.7]], [0.1, -0.2, 0.3]), 3),
    "rosenbrock": (Rosenbrock(4, 2.5), 4),
    "saddle": (Saddle([2.0, -1.5, -0.3], 0.7), 3),
    "double_well": (DoubleWell(3, 0.7, 1.3, -0.2), 3),
    "polynomial": (polynomial(alpha=0.5), 1),
    "function": (FunctionObjective(lambda x: jnp.sum(jnp.log1p(x**2)) + 0.3 * x[0] * x[1], 3), 3),
    "logistic": (logistic(DATA).objective, 31),
    "mlp": (mlp(DATA, jax.random.key(3), width=3).objective, 3 * 31 + 4),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_gradient_is_the_derivative_of_the_loss(name):
    objective, dim = PROBLEMS[name]
    assert objective.dim == dim
    x = 0.5 * jax.random.normal(jax.random.key(0), (dim,))
    gradient = np.asarray(objective.gradient(x))
    np.testing.assert_allclose(gradient, jax.grad(objective.loss)(x), rtol=1e-12, atol=1e-14)
    loss = jax.jit(lambda at: objective.loss(at))
    for i in range(min(dim, 8)):
        step = jnp.zeros(dim).at[i].set(1e-5)
        difference = float(loss(x + step) - loss(x - step)) / 2e-5
        assert abs(difference - gradient[i]) < 1e-7 * max(1.0, np.max(np.abs(gradient)))


def test_quadratic_in_closed_form():
    objective, _ = PROBLEMS["quadratic"]
    hessian, minimum = np.asarray(objective.hessian), np.asarray(objective.minimum)
    x = np.array([1.0, 2.0, -1.0])
    offset = x - minimum
    assert float(objective.loss(jnp.asarray(x))) == pytest.approx(0.5 * offset @ hessian @ offset, rel=1e-14)
    np.testing.assert_allclose(objective.gradient(jnp.asarray(x)), hessian @ offset, rtol=1e-14)
    assert float(objective.loss(objective.minimum)) == 0.0


def test_rosenbrock_in_closed_form():
    x = np.array([0.3, -0.7, 1.1])
    expected = sum((1 - a) ** 2 + 2.5 * (b - a**2) ** 2 for a, b in zip(x[:-1], x[1:], strict=True))
    assert float(Rosenbrock(3, 2.5).loss(jnp.asarray(x))) == pytest.approx(expected, rel=1e-14)
    assert float(Rosenbrock(3, 2.5).loss(jnp.ones(3))) == 0.0


@pytest.mark.parametrize("name", ["logistic", "mlp"])
def test_finite_sum_is_the_mean_of_its_examples(name):
    objective, dim = PROBLEMS[name]
    assert objective.size == 569
    x = 0.3 * jax.random.normal(jax.random.key(1), (dim,))
    examples = objective.example_gradients(x)
    assert examples.shape == (569, dim)
    np.testing.assert_allclose(examples.mean(axis=0), objective.gradient(x), rtol=1e-10, atol=1e-15)
    index = jnp.asarray([5, 17, 17, 400])
    np.testing.assert_allclose(
        objective.batch_gradient(x, index), examples[index].mean(axis=0), rtol=1e-10, atol=1e-15
    )


def test_logistic_against_a_naive_loop():
    objective, dim = PROBLEMS["logistic"]
    x = np.asarray(0.3 * jax.random.normal(jax.random.key(2), (dim,)))
    features, label = np.asarray(DATA["features"]), np.asarray(DATA["label"])
    assert set(label) == {-1.0, 1.0}
    np.testing.assert_allclose(features.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(features.std(axis=0), 1, atol=1e-12)
    loss, gradient = 0.0, np.zeros(dim)
    for row, sign in zip(features, label, strict=True):
        margin = sign * (row @ x[:-1] + x[-1])
        loss += np.log1p(np.exp(-margin)) / len(label)
        gradient += -sign / (1 + np.exp(margin)) * np.append(row, 1.0) / len(label)
    assert float(objective.loss(jnp.asarray(x))) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(objective.gradient(jnp.asarray(x)), gradient, rtol=1e-11)


def test_mlp_has_one_tanh_layer():
    problem = mlp(DATA, jax.random.key(3), width=3)
    x, _ = problem.start, problem.objective.gradient(problem.start)
    hidden, bias, out, last = jnp.split(x, [90, 93, 96])
    activation = jnp.tanh(DATA["features"] @ hidden.reshape(3, 30).T + bias[None])
    score = activation @ out + last[0]
    expected = jnp.mean(jnp.log1p(jnp.exp(-DATA["label"] * score)))
    assert float(problem.objective.loss(x)) == pytest.approx(float(expected), rel=1e-12)


def test_finite_sum_by_name():
    named = finite_sum_by_name("breast_cancer", "logistic", seed=0)
    assert named.objective.dim == 31 and not np.any(named.start)
    assert finite_sum_by_name("breast_cancer", "mlp", seed=0, width=3).objective.dim == 97
    with pytest.raises(DriftaxError, match="data = 'iris'"):
        finite_sum_by_name("iris", "mlp", seed=0)
    with pytest.raises(DriftaxError, match="model = 'resnet'"):
        finite_sum_by_name("breast_cancer", "resnet", seed=0)


@pytest.mark.parametrize(
    ("hessian", "minimum", "words"),
    [
        ([[1.0, 0.5], [0.2, 1.0]], None, "not symmetric: it differs from its transpose by 0.3"),
        ([[1.0, 0.5]], None, r"shape \[1, 2\]"),
        ([1.0, 0.5], None, r"shape \[2\]"),
        ([[np.nan]], None, "not finite"),
        ([[np.inf, 0.0], [0.0, 1.0]], None, "not finite"),
        ([[1.0]], [0.0, 1.0], r"minimum of shape \[2\]"),
    ],
)
def test_quadratic_refuses(hessian, minimum, words):
    with pytest.raises(DriftaxError, match=words):
        Quadratic(hessian, minimum)


def test_rosenbrock_refuses_one_dimension():
    with pytest.raises(DriftaxError, match="dim = 1"):
        Rosenbrock(1)


def test_finite_sum_of_a_pytree_of_examples():
    examples = {"a": jnp.asarray([1.0, 2.0, 4.0]), "b": jnp.asarray([[0.0, 1.0], [1.0, 1.0], [2.0, -1.0]])}

    def loss(x, example):
        return 0.5 * example["a"] * jnp.sum((x - example["b"]) ** 2)

    objective = FiniteSum(loss, examples, 2)
    x = jnp.asarray([0.3, -0.4])
    a, b = np.asarray(examples["a"])[:, None], np.asarray(examples["b"])
    np.testing.assert_allclose(objective.gradient(x), (a * (np.asarray(x) - b)).mean(axis=0), rtol=1e-13)


def test_saddle_in_closed_form():
    x = np.array([0.4, -0.7])
    expected = 0.5 * (x[0] ** 2 - x[1] ** 2) + 0.25 * x[1] ** 4  # the papers' form
    assert float(Saddle().loss(jnp.asarray(x))) == pytest.approx(expected, rel=1e-14)
    objective, _ = PROBLEMS["saddle"]
    origin = jnp.zeros(3)
    assert not np.any(objective.gradient(origin))
    np.testing.assert_allclose(jax.hessian(objective.loss)(origin), np.diag([2.0, -1.5, -0.3]), atol=1e-14)
    bottom = jnp.asarray([0.0, -np.sqrt(1.5 / 0.7), np.sqrt(0.3 / 0.7)])
    np.testing.assert_allclose(objective.gradient(bottom), 0, atol=1e-14)
    assert float(objective.loss(bottom)) == pytest.approx(-(1.5**2 + 0.3**2) / (4 * 0.7), rel=1e-14)


def test_double_well_in_closed_form():
    x = np.array([0.4, -1.7])
    assert float(DoubleWell(2).loss(jnp.asarray(x))) == pytest.approx(
        float(np.sum((x**2 - 1) ** 2 / 4)), rel=1e-14
    )
    level = DoubleWell(1, depth=0.7, width=1.3)
    for point, height, curvature in ((1.3, 0.0, 8), (-1.3, 0.0, 8), (0.0, 0.7, -4)):
        at = jnp.asarray([point])
        assert float(level.loss(at)) == pytest.approx(height, abs=1e-14)
        assert float(level.gradient(at)[0]) == pytest.approx(0, abs=1e-14)
        second = float(jax.hessian(level.loss)(at)[0, 0])
        assert second == pytest.approx(curvature * 0.7 / 1.3**2, rel=1e-12)
    right, left = (float(DoubleWell(tilt=0.1).loss(jnp.asarray([x]))) for x in (1.0, -1.0))
    assert right - left == pytest.approx(0.2, rel=1e-14)


def test_a_tilt_up_to_its_limit_leaves_two_wells():
    limit = 8 * 0.7 / (3 * np.sqrt(3) * 1.3)
    objective = DoubleWell(1, 0.7, 1.3, 0.999 * limit)
    line = jnp.linspace(-2.0, 2.0, 4001)
    slope = np.asarray(jax.vmap(objective.gradient)(line[:, None])[:, 0])
    assert np.sum(slope[1:] * slope[:-1] < 0) == 3  # well, barrier, well
    with pytest.raises(DriftaxError, match="one well only"):
        DoubleWell(1, 0.7, 1.3, -1.001 * limit)


def pair(x):
    """f1, f2 and their derivatives, by hand."""
    a, b = x + 1.1, x - 1.9
    first = 0.2 * a**2 * b**4, 0.2 * (2 * a * b**4 + 4 * a**2 * b**3)
    return first, (2 * (x - 0.1) ** 2, 4 * (x - 0.1))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 4.0])
def test_polynomial_pair_at_a_noise_level(alpha):
    objective = polynomial(alpha)
    for x in (-1.2, -0.15, 0.7, 1.5):
        (f1, slope1), (f2, slope2) = pair(x)
        at = jnp.asarray([x])
        assert float(objective.loss(at)) == pytest.approx(0.5 * (f1 + f2), rel=1e-12)
        slopes = [slope1 + alpha * (slope1 - slope2), slope2 - alpha * (slope1 - slope2)]
        np.testing.assert_allclose(objective.example_gradients(at)[:, 0], slopes, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_minibatch_law_of_the_polynomial_pair(batch):
    objective, alpha = polynomial(alpha=0.5), 0.5
    law = MinibatchNoise(batch)
    for x in (-1.2, 0.7, 1.5):
        (_, slope1), (_, slope2) = pair(x)
        at = jnp.asarray([x])
        mean, variance = 0.5 * (slope1 + slope2), ((1 + 2 * alpha) * (slope1 - slope2)) ** 2 / (4 * batch)
        assert float(law.covariance(objective, at)[0, 0]) == pytest.approx(variance, rel=1e-11)
        assert float(objective.gradient_variance(at)[0]) / batch == pytest.approx(variance, rel=1e-11)
        # Every batch there is, by its number of first picks: the law itself.
        picks = np.asarray([[(index >> i) & 1 for i in range(batch)] for index in range(2**batch)])
        means = np.asarray(jax.vmap(objective.batch_gradient, in_axes=(None, 0))(at, picks))[:, 0]
        assert np.mean(means) == pytest.approx(mean, rel=1e-11)
        central = [np.mean((means - mean) ** order) for order in (2, 3, 4)]
        assert central[0] == pytest.approx(variance, rel=1e-11)
        np.testing.assert_allclose(
            law.moments(objective, at)[:, 0], central, rtol=1e-9, atol=1e-9 * variance**1.5
        )


@pytest.mark.parametrize("law", ["minibatch", "gaussian"])
def test_polynomial_pair_in_an_equation_of_order_2(law):
    objective = polynomial(alpha=0.5)
    noise = (
        MinibatchNoise(8)
        if law == "minibatch"
        else GaussianNoise(lambda x: objective.gradient_variance(x) / 8)
    )
    state = jnp.asarray([[-1.2]])
    chain = Chain(objective, noise, SGD(0.02))
    equation = derive(chain, weak_order=2)
    assert local_order(equation, state).order == pytest.approx(2, abs=0.05)


def test_gradient_variance_is_that_of_one_example():
    objective, dim = PROBLEMS["logistic"]
    x = 0.3 * jax.random.normal(jax.random.key(5), (dim,))
    full = MinibatchNoise(16).covariance(objective, x)
    np.testing.assert_allclose(objective.gradient_variance(x) / 16, jnp.diagonal(full), rtol=1e-10)


class Bowl(eqx.Module):
    weights: jax.Array
    power: int

    def __call__(self, params):
        return jnp.sum(self.weights * params**self.power)


def test_a_loss_of_ones_own_in_a_chain():
    """A jitted function and a module that holds data: the built-in objective's equation each time."""
    state, noise, rule = jnp.asarray([[1.5, -1.0]]), GaussianNoise(0.1), SGD(0.25)
    expected = derive(Chain(Quadratic([[2.0, 0.0], [0.0, 6.0]]), noise, rule), weak_order=2, at=state)
    bowl = Bowl(jnp.asarray([1.0, 3.0]), 2)
    for loss in (jax.jit(lambda x: x[0] ** 2 + 3 * x[1] ** 2), bowl):
        objective = FunctionObjective(loss, 2, at=[1.5, -1.0])
        equation = derive(Chain(objective, noise, rule), weak_order=2, at=state)
        assert equation.chain.objective.dim == 2
        found, wanted = (e.drift(0.0, state.reshape(-1)) for e in (equation, expected))
        np.testing.assert_allclose(found, wanted, rtol=1e-12)


def test_dimensions_stay_whole_in_a_chain():
    for objective, dim in PROBLEMS.values():
        found = Chain(objective, GaussianNoise(0.1), SGD(0.25)).objective.dim
        assert found == dim and isinstance(found, int)


RANDOM = np.random.default_rng(0)
COUNT = iter(range(100))
FUNCTIONS = {
    "dim": (jnp.sum, 0, "dim = 0", "1 or more"),
    "vector": (lambda x: x, 2, "shape [2]", "jnp.sum"),
    "one entry": (lambda x: x[:1], 2, "shape [1]", "jnp.sum"),
    "pair": (lambda x: (x[0], x[1]), 2, "returns a tuple", "one real number"),
    "nothing": (lambda x: None, 2, "returns a NoneType", "one real number"),
    "words": (lambda x: "one", 2, "TypeError", "jax.numpy"),
    "whole number": (lambda x: jnp.sum(x).astype(int), 2, "type int64", "one real number"),
    "complex": (lambda x: jnp.sum(x) * 1j, 2, "type complex128", "one real number"),
    "too few params": (lambda x: jnp.dot(x, jnp.ones(3)), 2, "TypeError", "2 params"),
    "failing": (lambda x: {}["rate"], 2, "KeyError: 'rate'", "jax.numpy"),
    "numpy": (lambda x: np.sum(np.asarray(x)), 2, "cannot trace", "jax.numpy"),
    "float": (lambda x: float(x[0]), 2, "cannot trace", "jax.numpy"),
    "if": (lambda x: x[0] if x[0] > 0 else -x[0], 2, "cannot trace", "Python's if"),
    "no gradient": (
        lambda x: jax.lax.while_loop(lambda v: v < 1, lambda v: 2 * v, x[0]),
        2,
        "fails",
        "jax.numpy",
    ),
    "random": (lambda x: jnp.sum(x) + RANDOM.normal(), 2, "more than one value", "the gradient law"),
    "jitted random": (jax.jit(lambda x: jnp.sum(x) + RANDOM.normal()), 2, "more than one value", "law"),
    "state": (lambda x: jnp.sum(x) * next(COUNT), 2, "more than one value", "without random numbers"),
}


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_loss_of_ones_own_is_refused(case):
    loss, dim, found, instead = FUNCTIONS[case]
    with pytest.raises(DriftaxError) as caught:
        FunctionObjective(loss, dim)
    assert "FunctionObjective(" in caught.value.asked
    assert found in caught.value.found
    assert instead in caught.value.instead


@pytest.mark.parametrize(
    ("loss", "at", "words"),
    [
        (lambda x: jnp.log(x[0]), [-1.0, 0.0], "the loss nan"),
        (lambda x: jnp.sqrt(jnp.sum(x**2)), [0.0, 0.0], "the gradient"),
        (lambda x: jnp.sum(x), [0.0], r"shape \[1\]"),
    ],
)
def test_a_loss_of_ones_own_is_finite_where_asked(loss, at, words):
    FunctionObjective(loss, 2)
    with pytest.raises(DriftaxError, match=words):
        FunctionObjective(loss, 2, at=at)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Saddle([1.0, 2.0]), "no saddle"),
        (lambda: Saddle([-1.0]), "no saddle"),
        (lambda: Saddle([1.0, -1.0, 0.0]), "no saddle"),
        (lambda: Saddle([[1.0, -1.0]]), r"shape \[1, 2\]"),
        (lambda: Saddle([1.0, -np.inf]), "inf"),
        (lambda: Saddle(quartic=0.0), "quartic = 0"),
        (lambda: DoubleWell(0), "dim = 0"),
        (lambda: DoubleWell(depth=-1.0), "depth = -1"),
        (lambda: DoubleWell(width=np.nan), "width = nan"),
        (lambda: DoubleWell(tilt=np.inf), "tilt = inf"),
        (lambda: polynomial(-1.0), "alpha = -1"),
        (lambda: polynomial(np.inf), "alpha = inf"),
        (lambda: polynomial(c=0.0), "c = 0"),
        (lambda: polynomial(d=-2.0), "d = -2"),
        (lambda: polynomial(x2=np.nan), "x2 = nan"),
    ],
)
def test_landscapes_refuse(build, words):
    with pytest.raises(DriftaxError, match=words):
        build()
