"""Networks as objectives: sizes, gradients, what they learn, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError
from driftax.data import Dataset, load_data
from driftax.data.catalogue import Task
from driftax.networks import network, network_by_name
from driftax.study.spec import read_study

DIGITS = load_data("digits", 60, 20)
LETTERS = np.random.default_rng(0).integers(0, 5, (8, 13)).astype(np.int32)
TEXT = Dataset(
    "text", "text", Task.TOKENS, LETTERS[:, :-1], LETTERS[:, 1:], LETTERS[:, :-1], LETTERS[:, 1:], 5
)
MNIST_SHAPE = DIGITS._replace(inputs=np.zeros((2, 28, 28, 1), np.float32), labels=DIGITS.labels[:2])


def small(name, **sizes):
    data = TEXT if name == "character_transformer" else DIGITS
    return network_by_name(name, data, 0, **sizes)


NETS = [
    ("logistic", {}),
    ("shallow", {}),
    ("mlp", {"depth": 2}),
    ("cnn", {"width": 4}),
    ("small_resnet", {"width": 4}),
    ("resnet", {"width": 4, "depth": 2}),
    ("vision_transformer", {"width": 8, "depth": 1, "heads": 2}),
    ("character_transformer", {"width": 8, "depth": 1, "heads": 2}),
]


def test_the_papers_networks_have_their_size():
    assert network_by_name("mlp", load_data("breast_cancer"), 0)[0].dim == 4022
    assert network_by_name("small_resnet", MNIST_SHAPE, 0)[0].dim == 3178


@pytest.mark.parametrize(("name", "sizes"), NETS)
def test_gradients_of_a_network(name, sizes):
    """Its own, those of a batch and of weighted examples, beside the examples' one by one; it learns in float32."""
    objective, start = small(name, **sizes)
    every = jax.jit(lambda p: objective.example_gradients(p))(start)
    assert every.shape == (objective.size, objective.dim)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(2, objective.size)))
    for ours, expected in (
        (objective.gradient(start), every.mean(axis=0)),
        (objective.batch_gradient(start, jnp.asarray([0, 3])), every[jnp.asarray([0, 3])].mean(axis=0)),
        (objective.weighted_gradients(start, weights), weights @ every),
    ):
        np.testing.assert_allclose(ours, expected, atol=1e-6)  # weights were drawn in single precision
    params = start.astype(jnp.float32)
    step = jax.jit(lambda p: p - 0.1 * objective.gradient(p))
    before = float(objective.loss(params))
    for _ in range(5):
        params = step(params)
    assert params.dtype == jnp.float32 and float(objective.loss(params)) < before
    for seen in objective.observables:
        assert np.isfinite(float(objective.observe(seen, params)))


def test_accuracy_counts_what_is_said_right():
    objective, start = small("logistic")
    said = jnp.argmax(jax.vmap(objective.output, (None, 0))(start, objective.examples["input"]), axis=-1)
    assert float(objective.observe("accuracy", start)) == pytest.approx(
        float(jnp.mean(said == DIGITS.labels))
    )


class Normalised(eqx.Module):
    norm: eqx.nn.BatchNorm
    last: eqx.nn.Linear

    def __init__(self):
        self.norm = eqx.nn.BatchNorm(1, "batch", mode="batch")
        self.last = eqx.nn.Linear(64, 10, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: network(Normalised(), DIGITS), "GroupNorm"),
        (lambda: network(eqx.nn.Linear(4, 7, key=jax.random.key(0)), load_data("iris")), r"\(3,\)"),
        (lambda: network(eqx.nn.Linear(5, 3, key=jax.random.key(0)), load_data("iris")), "does not take"),
        (lambda: small("transformer"), "character_transformer"),
        (lambda: network_by_name("character_transformer", DIGITS, 0), "cnn"),
        (lambda: network_by_name("cnn", load_data("iris"), 0), "mlp"),
        (lambda: small("cnn", heads=2), "width"),
        (lambda: small("vision_transformer", width=9, heads=2), "divide"),
    ],
)
def test_what_is_refused(ask, said):
    with pytest.raises(DriftaxError, match=said):
        ask()


STUDY = """seed = 0
[objective]
name = "network"
data = "iris"
model = "mlp"
depth = 1
[noise]
name = "gaussian"
covariance = 1e-4
[optimizer]
name = "adam"
learning_rate = 0.01
[start]
mu = 0.0
nu = 1.0
[regime]
name = "ballistic"
[compare]
steps = 4
observables = ["test_accuracy", "test_loss"]
"""


def test_a_study_of_a_network():
    study = read_study("study.toml", STUDY)
    objective, start = study.objective.build(study.seed)
    assert start.shape == (objective.dim,) == (4 * 20 + 20 + 20 * 3 + 3,)
    assert study.start.arrays()["nu"].shape == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"test_loss"', '"test_acuracy"', "test_accuracy"),
        ('data = "iris"', 'data = "iriss"', "iris"),
        ('model = "mlp"', 'model = "cnn"', "mlp"),
        ("nu = 1.0", "nu = [1.0]", "163 parameters|183 parameters"),
        ("nu = 1.0", "nu = -1.0", "0 or more"),
    ],
)
def test_a_study_of_a_network_refused(old, new, said):
    with pytest.raises(DriftaxError, match=said):
        read_study("study.toml", STUDY.replace(old, new))
