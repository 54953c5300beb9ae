"""Networks as objectives: sizes, gradients, precision, learning, and what is refused."""

from __future__ import annotations

import os
from functools import cache, partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError
from driftax.data import SETS, Dataset, load_data
from driftax.networks import NETWORKS, named_network, network
from driftax.networks.char_transformer import CharTransformer
from driftax.networks.deep_resnet import DeepResNet
from driftax.networks.logistic import Logistic
from driftax.networks.mlp import MLP
from driftax.networks.resnet import ResNet
from driftax.networks.transformer_block import causal
from driftax.objective import Quadratic
from driftax.statistics.observables import Observables
from driftax.study.sections.objective import NetworkSection

TINY = {
    "logistic": {},
    "shallow": {"width": 5},
    "mlp": {"width": 6, "depth": 3},
    "cnn": {"width": 2},
    "resnet": {"width": 4},
    "vision_transformer": {"width": 8, "depth": 1, "heads": 2},
    "char_transformer": {"width": 8, "depth": 1, "heads": 2},
}

# Compiled fast and run slowly: what is computed here is small.
quick = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def text(windows: int = 12, length: int = 6) -> Dataset:
    """The alphabet over and over."""
    tokens = np.arange(windows * length + 1, dtype=np.int32) % 5
    inputs, labels = tokens[:-1].reshape(-1, length), tokens[1:].reshape(-1, length)
    return Dataset("alphabet", "alphabet", inputs, labels, inputs[:3], labels[:3], 5)


@cache
def tiny(model: str):
    data = text() if model == "char_transformer" else load_data("digits", examples=16, test=5)
    return named_network(model, data, **TINY[model])


def count_of(build, *arguments) -> int:
    """The number of params, without drawing them."""
    made = eqx.filter_eval_shape(lambda key: build(*arguments, key=key), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(made) if isinstance(leaf, jax.ShapeDtypeStruct))


def test_numbers_of_params():
    assert count_of(MLP, 30, 2, 20, 10) == 4022
    assert count_of(ResNet, (28, 28, 1), 10, 16) == 3178
    assert count_of(Logistic, 64, 10) == tiny("logistic")[0].dim == 650
    assert count_of(DeepResNet, (32, 32, 3), 10, 32, 9) > 10**6
    assert count_of(CharTransformer, 64, 65, 128, 6, 4) > 10**6


@pytest.mark.parametrize("model", NETWORKS)
def test_a_few_steps_reduce_the_loss(model):
    objective, x = tiny(model)
    assert x.shape == (objective.dim,)
    slope = quick(lambda objective, x: jax.value_and_grad(objective.loss)(x))
    losses = []
    for _ in range(10):
        loss, gradient = slope(objective, x)
        losses.append(float(loss))
        x = x - 0.1 * gradient
    assert losses[-1] < losses[0] < 4


@pytest.mark.parametrize("model", ["shallow", "cnn"])
def test_gradients_agree(model):
    objective, start = tiny(model)
    weights = jax.random.normal(jax.random.key(1), (3, objective.size))
    index = jnp.array([2, 2, 5])

    @quick
    def measured(objective, x):
        parts = objective.losses(x), objective.example_gradients(x), objective.gradient(x), objective.loss(x)
        return *parts, objective.weighted_gradients(x, weights), objective.batch_gradient(x, index)

    losses, each, gradient, loss, weighted, batch = measured(objective, start)
    assert losses.shape == (objective.size,)
    np.testing.assert_allclose(loss, losses.mean(), rtol=1e-12)
    np.testing.assert_allclose(gradient, each.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(weighted, weights @ each, atol=1e-11)
    np.testing.assert_allclose(batch, each[index].mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("model", ["resnet", "vision_transformer", "char_transformer"])
def test_the_precision_is_that_of_the_params(model):
    objective, start = tiny(model)
    single = start.astype(jnp.float32)
    found = jax.eval_shape(
        lambda x: (objective.losses(x), objective.gradient(x), objective.accuracy(x)), single
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}


def test_the_data_are_leaves():
    objective, start = tiny("logistic")
    arrays = {leaf.shape for leaf in jax.tree.leaves(objective)}
    assert (16, 8, 8, 1) in arrays and (5, 8, 8, 1) in arrays
    jaxpr = jax.make_jaxpr(lambda objective, x: objective.loss(x))(objective, start)
    assert jaxpr.consts == []


def test_accuracy_and_the_test_set():
    data = Dataset(
        "two",
        "two",
        np.array([[1.0], [-1.0], [2.0]], np.float32),
        np.array([1, 0, 0], np.int32),
        np.array([[3.0]], np.float32),
        np.array([1], np.int32),
        2,
    )
    objective, _ = named_network("logistic", data)
    x = jnp.array([0.0, 1.0, 0.0, 0.0])  # outputs 0 and the input
    assert float(objective.accuracy(x)) == pytest.approx(2 / 3)
    assert float(objective.test_accuracy(x)) == 1
    assert float(objective.test_loss(x)) == pytest.approx(np.log1p(np.exp(-3)))
    wanted = np.mean(np.logaddexp(0, [-1, -1, 2]))
    assert float(objective.loss(x)) == pytest.approx(wanted)
    observed = Observables(objective, ("params",), ("accuracy", "test_loss", "test_accuracy", "loss"))(
        x[None]
    )
    np.testing.assert_allclose(observed, [2 / 3, np.log1p(np.exp(-3)), 1, wanted], rtol=1e-6)


def test_a_regression():
    data = load_data("diabetes", examples=20)._replace(test_inputs=None, test_labels=None)
    objective, start = named_network("logistic", data)
    errors = data.inputs @ start[:-1] + start[-1] - data.labels
    np.testing.assert_allclose(objective.losses(start), errors**2 / 2, rtol=1e-5)
    assert objective.observables() == {}
    for ask in (objective.accuracy, objective.test_loss):
        with pytest.raises(DriftaxError):
            ask(start)


def test_a_decoder_sees_no_later_character():
    objective, start = tiny("char_transformer")
    texts = jnp.array([[0, 1, 2, 3, 4, 0], [0, 1, 2, 0, 0, 0]])
    first, later = quick(jax.vmap(objective.outputs, in_axes=(None, 0)))(start, texts)
    np.testing.assert_allclose(first[:3], later[:3])
    assert not np.allclose(first[3], later[3])
    assert causal(3).tolist() == [[True, False, False], [True, True, False], [True, True, True]]


class Doubtful(eqx.Module):
    """A model with a part that may be refused."""

    part: object
    scale: jax.Array

    def __call__(self, inputs):
        return self.scale * inputs


def linear(outputs: int = 3):
    return eqx.nn.Linear(4, outputs, key=jax.random.key(0))


REFUSED = {
    "batch norm": (lambda: Doubtful([eqx.nn.BatchNorm(4, "batch", mode="batch")], jnp.ones(1)), "GroupNorm"),
    "inside": (lambda: eqx.nn.Sequential([linear(), eqx.nn.BatchNorm(3, "b", mode="batch")]), "BatchNorm at"),
    "state": (lambda: Doubtful(eqx.nn.StateIndex(jnp.ones(1)), jnp.ones(1)), "StateIndex at model.part"),
    "no params": (lambda: eqx.nn.Identity(), "no params"),
    "complex": (lambda: Doubtful(None, jnp.ones(1, complex)), "complex params"),
    "shape": (lambda: linear(2), r"outputs of shape \[2\]"),
    "fails": (lambda: eqx.nn.Linear(7, 3, key=jax.random.key(0)), "fails on one input"),
    "dropout": (lambda: eqx.nn.Sequential([linear(), eqx.nn.Dropout()]), "without key or state"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_models_that_are_refused(name):
    build, part = REFUSED[name]
    with pytest.raises(DriftaxError, match=part):
        network(build(), load_data("iris", examples=10))


def test_a_model_of_your_own():
    data = load_data("iris", examples=10)
    model = eqx.nn.Sequential([linear(), eqx.nn.LayerNorm(3), eqx.nn.Lambda(jnp.tanh)])
    objective, start = network(model, data)
    assert start.size == 15 + 6
    assert np.isfinite(objective.loss(start))
    other, _ = network(linear(), data, loss=lambda outputs, label: outputs[0] * label)
    assert other.losses(jnp.zeros(15)).tolist() == [0] * 10


def test_a_deep_residual_network():
    build = lambda key, image: DeepResNet((8, 8, 1), 3, 4, 4, key=key)(image)
    assert jax.eval_shape(build, jax.random.key(0), jnp.zeros((8, 8, 1))).shape == (3,)
    made = eqx.filter_eval_shape(lambda key: DeepResNet((8, 8, 1), 3, 4, 4, key=key), jax.random.key(0))
    assert [block.second.bias.size for block in made.blocks] == [4, 4, 8, 16]


LABELS = {
    "too large": ({"classes": 2}, "from 0 to 2"),
    "numbers": ({"labels": np.zeros(10)}, "type float64"),
    "too few": ({"labels": np.zeros(9, int)}, "10 inputs with 9 labels"),
    "no tests": ({"test_labels": None}, "30 inputs with 0 labels"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_are_refused(name):
    change, part = LABELS[name]
    with pytest.raises(DriftaxError, match=part):
        network(linear(), load_data("iris", examples=10)._replace(**change))


WRONG = {
    "name": ("resnett", {}, "resnet; known"),
    "size": ("mlp", {"heads": 2}, "one of width, depth"),
    "no size": ("logistic", {"width": 2}, "no width"),
    "zero": ("shallow", {"width": 0}, "1 or more"),
    "heads": ("vision_transformer", {"width": 6}, "heads divide"),
    "patch": ("vision_transformer", {"patch": 3}, "a patch that divides"),
    "text": ("char_transformer", {}, "char_transformer takes text"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_networks(name):
    model, sizes, part = WRONG[name]
    with pytest.raises(DriftaxError, match=part):
        named_network(model, load_data("digits", examples=10), **sizes)


def test_networks_of_images_refuse_features_and_text():
    for data in (load_data("iris"), text()):
        with pytest.raises(DriftaxError, match="takes images"):
            named_network("cnn", data)


def test_other_objectives_have_no_accuracy():
    assert Quadratic([[1.0]]).observables() == {}
    with pytest.raises(DriftaxError, match="accuracy"):
        Observables(Quadratic([[1.0]]), ("params",), ("accuracy",))


def test_the_names_of_a_study_are_those_of_the_library():
    for key, known in (("data", SETS), ("model", NETWORKS)):
        assert NetworkSection.model_fields[key].annotation.__args__ == tuple(known)


@pytest.mark.skipif(not os.environ.get("DRIFTAX_DATA"), reason="needs DRIFTAX_DATA, a folder with mnist")
def test_the_network_of_the_source_on_mnist():
    objective, start = named_network("resnet", load_data("mnist", examples=100, test=50))
    assert start.size == 3178
    assert float(eqx.filter_jit(objective.loss)(start)) == pytest.approx(np.log(10), abs=0.2)
