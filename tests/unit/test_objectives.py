"""Losses, their gradients, and what is refused."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError, FiniteSum, Quadratic, Rosenbrock
from driftax.objective.models import breast_cancer, finite_sum_by_name, logistic, mlp

DATA = breast_cancer()
PROBLEMS = {
    "quadratic": (Quadratic([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 0.7]], [0.1, -0.2, 0.3]), 3),
    "rosenbrock": (Rosenbrock(4, 2.5), 4),
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
