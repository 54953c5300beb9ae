"""`driftax.measure` on models whose gradients and Hessians are closed forms."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import measure
from driftax._errors import DriftaxError
from driftax.measurement import estimate, units_of


def data(count=80, features=4):
    random = np.random.default_rng(0)
    inputs = random.normal(size=(count, features))
    return inputs, (inputs.sum(axis=1) + random.normal(size=count) > 0).astype(float)


def squared(params, example):
    return 0.5 * (example[0] @ params["w"] - example[1]) ** 2


def logistic(params, example):
    z = example[0] @ params["w"]
    return jnp.logaddexp(0.0, z) - example[1] * z


def softmax(params, example):
    logits = jnp.stack([example[0] @ params["w"], 0.0])
    return jax.nn.logsumexp(logits) - logits[1 - example[1].astype(int)]


def closed_form(name, inputs, labels, w):
    """Gradients [n, dim] and Hessian weights [n] by hand; the softmax of two classes is the logistic one."""
    z = inputs @ w
    p = 1 / (1 + np.exp(-z))
    first, second = (z - labels, np.ones_like(z)) if name == "squared" else (p - labels, p * (1 - p))
    return first[:, None] * inputs, second


@pytest.mark.parametrize("loss", [squared, logistic, softmax], ids=lambda f: f.__name__)
def test_closed_forms(loss):
    inputs, labels = data()
    w = np.array([0.3, -0.2, 0.5, 0.1])
    gradients, weights = closed_form(loss.__name__, inputs, labels, w)
    found = measure(loss, {"w": jnp.asarray(w)}, (inputs, labels), batch=8, curvature=True, pass_size=33)
    own = estimate(units_of({"w": gradients}), batch=8)
    for quantity in ("gradient_norm_squared", "covariance_trace", "noise_scale", "inverse_dof"):
        assert found.estimate(quantity) == pytest.approx(own.estimate(quantity), rel=1e-6)
    hessian = np.einsum("n,ni,nj->ij", weights, inputs, inputs) / len(inputs)
    top = float(found.data["eigenvalue_of_sample"][0])
    assert top == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-4)
    assert found.estimate("eigenvalue", rank=0).value < top
    trace = found.estimate("hessian_trace")
    assert abs(trace.value - np.trace(hessian)) < 6 * trace.standard_error
    product = found.estimate("hessian_covariance_trace")
    assert abs(product.value - np.trace(hessian @ np.cov(gradients.T))) < 6 * product.standard_error


def test_the_edge_and_the_preconditioner():
    inputs, labels = data()
    params = {"w": jnp.zeros(4)}
    scale = np.array([0.5, 1.0, 2.0, 4.0])
    found = measure(
        squared, params, (inputs, labels), curvature=True, eigenvalues=2, preconditioner={"w": scale},
        learning_rate=0.01, momentum=0.9,
    )  # fmt: skip
    dense = inputs.T @ inputs / 80 / np.sqrt(np.outer(scale, scale))
    values = found.data["preconditioned_eigenvalue_of_sample"].values
    np.testing.assert_allclose(values, np.linalg.eigvalsh(dense)[::-1][:2], rtol=1e-3)
    assert float(found.data["stability_edge"]) == pytest.approx(2 * 1.9 / (0.1 * 0.01))
    top = found.estimate("preconditioned_eigenvalue", rank=0).value
    assert found.estimate("edge_share").value == pytest.approx(top / 3800, rel=1e-9)


def test_groups_are_top_level_keys_or_those_of_a_function():
    params = {"a": {"x": jnp.ones(3), "y": jnp.ones(2)}, "b": jnp.ones(4), "steps": 3}
    rows = np.random.default_rng(1).normal(size=(32, 9))

    def loss(params, row):
        flat = jnp.concatenate([params["a"]["x"], params["a"]["y"], params["b"]])
        return 0.5 * jnp.sum((flat - row) ** 2)

    found = measure(loss, params, rows, tails=False)
    assert found.groups == ["a", "b", "total"]
    assert found.data["parameters"].values.tolist() == [5, 4, 9]
    other = measure(loss, params, rows, tails=False, group=lambda path: "x" if "x" in path else "rest")
    assert other.groups == ["x", "rest", "total"]
    assert other.estimate("covariance_trace").value == pytest.approx(found.estimate("covariance_trace").value)
    own = estimate(units_of({"x": 1 - rows[:, :3]}), tails=False)
    assert other.estimate("noise_scale", "x") == pytest.approx(own.estimate("noise_scale"), rel=1e-9)


def test_units_batches_and_modules():
    model = eqx.nn.MLP(4, "scalar", 5, 1, key=jax.random.key(0))
    inputs, labels = data(96)

    def loss(model, example):
        return 0.5 * (model(example[0]) - example[1]) ** 2

    one = measure(loss, model, (inputs, labels), unit_size=4, tails=False)
    parts = [(inputs[i : i + 32], labels[i : i + 32]) for i in range(0, 96, 32)]
    two = measure(loss, model, parts, unit_size=4, tails=False)
    assert one.data.attrs["units"] == 24 and one.data.attrs["unit_size"] == 4
    assert two.as_dict() == pytest.approx(one.as_dict(), nan_ok=True)
    three = measure(loss, model, (part for part in parts), unit_size=4, tails=False)
    assert three.as_dict() == pytest.approx(one.as_dict(), nan_ok=True)


def test_a_loss_is_compiled_once():
    count = []

    def loss(params, row):
        count.append(1)
        return jnp.sum(params * row)

    rows = np.random.default_rng(2).normal(size=(16, 2))
    for _ in range(3):
        measure(loss, jnp.ones(2), rows, tails=False)
    assert len(count) <= 5  # traced for the shape each time, and once for the gradient


ROWS = np.random.default_rng(3).normal(size=(16, 3))
WRONG = {
    "fails": (lambda p, e: p["w"] @ e, jnp.ones(3), ROWS, {}, "in loss_fn", "def loss_fn(params, example)"),
    "vector": (
        lambda p, e: p * e,
        jnp.ones(3),
        ROWS,
        {},
        "a loss of shape [3]",
        "scalar loss of one example",
    ),
    "no number": (lambda p, e: {"loss": 1.0}, jnp.ones(3), ROWS, {}, "a dict", "scalar loss"),
    "no params": (lambda p, e: 1.0, {"n": 3}, ROWS, {}, "no floating-point array", "differentiate"),
    "axes": (
        lambda p, e: jnp.sum(p),
        jnp.ones(3),
        (ROWS, ROWS[:5]),
        {},
        "first axes ['16', '5']",
        "counts the examples",
    ),
    "few": (lambda p, e: p @ e, jnp.ones(3), ROWS[:5], {}, "5 units", "8 units"),
    "unit": (lambda p, e: p @ e, jnp.ones(3), ROWS, {"unit_size": 0}, "unit_size = 0", "1 or more"),
    "memory": (lambda p, e: p @ e, jnp.ones(3), ROWS, {"max_memory": 250}, "above max_memory", "10 units"),
    "none": (lambda p, e: p @ e, jnp.ones(3), [], {}, "no batches", "a list"),
    "structure": (
        lambda p, e: p @ e,
        jnp.ones(3),
        [ROWS, {"x": ROWS}],
        {},
        "do not fit together",
        "one structure",
    ),
    "preconditioner": (
        lambda p, e: 0.5 * (p @ e) ** 2,
        jnp.ones(3),
        ROWS,
        {"curvature": True, "preconditioner": np.ones(2)},
        "shapes [(2,)]",
        "like params",
    ),
    "not finite": (lambda p, e: jnp.sum(p * e) / 0.0, jnp.ones(3), ROWS, {}, "not finite", "finite"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_refused_in_three_parts(name):
    loss, params, examples, options, found, instead = WRONG[name]
    with pytest.raises(DriftaxError) as refused:
        measure(loss, params, examples, **options)
    assert found in refused.value.found and instead in refused.value.instead
