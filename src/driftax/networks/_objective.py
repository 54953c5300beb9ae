from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.data import Dataset
from driftax.networks.fit import check_labels, check_outputs
from driftax.networks.losses import cross_entropy, half_squared_error
from driftax.networks.stateless import check_stateless
from driftax.objective import FiniteSum


class Network(FiniteSum):
    r"""The mean loss of a network over a data set, `F(x) = 1/n sum_i l(model_x(input_i), label_i)`.

    Everything is computed in the precision of the params. `network` makes one from a model.

    Args:
        outputs: what the network puts out for one input, a function of (params [dim], input).
        example_loss: of (outputs, label), for one example.
        data: its training examples are summed over.
        dim: number of parameters.
    """

    outputs: Callable = eqx.field(static=True)
    classes: int | None = eqx.field(static=True)
    tests: PyTree[Array] | None

    def __init__(self, outputs: Callable, example_loss: Callable, data: Dataset, dim: int):
        def loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
            found, label = outputs(params, example["inputs"]), example["labels"]
            return example_loss(found, _in_precision(label, params))

        super().__init__(loss, _examples(data.inputs, data.labels), dim)
        self.outputs, self.classes = outputs, data.classes
        self.tests = None if data.test_inputs is None else _examples(data.test_inputs, data.test_labels)

    def accuracy(self, params: Vector) -> Float[Array, ""]:
        """The share of training examples (or tokens) whose label gets the largest output.

        Raises:
            DriftaxError: for a regression, which has no classes.
        """
        return self._accuracy(params, self.examples)

    def test_loss(self, params: Vector) -> Float[Array, ""]:
        """The mean loss over the test examples.

        Raises:
            DriftaxError: if the data set has none.
        """
        return jnp.mean(jax.vmap(self.example_loss, in_axes=(None, 0))(params, self._test_examples()))

    def test_accuracy(self, params: Vector) -> Float[Array, ""]:
        """The share of test examples (or tokens) whose label gets the largest output.

        Raises:
            DriftaxError: for a regression, or if the data set has no test examples.
        """
        return self._accuracy(params, self._test_examples())

    def observables(self) -> dict[str, Callable[[Vector], Float[Array, ""]]]:
        known: dict[str, Callable[[Vector], Float[Array, ""]]] = {}
        if self.classes is not None:
            known["accuracy"] = self.accuracy
        if self.tests is not None:
            known["test_loss"] = self.test_loss
        if self.classes is not None and self.tests is not None:
            known["test_accuracy"] = self.test_accuracy
        return known

    def _accuracy(self, params: Vector, examples: dict[str, Array]) -> Float[Array, ""]:
        if self.classes is None:
            raise DriftaxError("the accuracy", "a regression, which has no classes", "the loss")
        outputs = jax.vmap(self.outputs, in_axes=(None, 0))(params, examples["inputs"])
        right = jnp.argmax(outputs, axis=-1) == examples["labels"]
        return jnp.mean(right, dtype=params.dtype)

    def _test_examples(self) -> dict[str, Array]:
        if self.tests is None:
            raise DriftaxError("the test loss", "a data set without test examples", "data with test_inputs")
        return self.tests


def network(
    model: Callable, data: Dataset, loss: Callable | None = None
) -> tuple[Network, Float[Array, " dim"]]:
    """An equinox model of your own as an objective, with the params it starts from.

    Args:
        model: an equinox module, called with one input; its real arrays are the params.
        data: as `load_data` returns it, or your own.
        loss: of (outputs, label), for one example; left out, cross entropy for classes and tokens, half the
            squared error for a regression.

    Returns:
        The objective and the params [dim].

    Raises:
        DriftaxError: if the model keeps state between examples (BatchNorm), has no or complex params, fails on
            an input, or puts out the wrong shape; if the labels are not as many as the inputs, or are not classes.

    Example:
        >>> import equinox as eqx, jax
        >>> from driftax.data import load_data
        >>> model = eqx.nn.MLP(4, 3, 8, 1, key=jax.random.key(0))
        >>> objective, start = network(model, load_data("iris"))
        >>> (objective.size, objective.dim)
        (120, 67)
    """
    asked = f"`network({type(model).__name__}, {data.name})`"
    check_stateless(model, asked)
    check_labels(data, asked)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    leaves = jax.tree.leaves(arrays)
    if not leaves or any(jnp.iscomplexobj(leaf) for leaf in leaves):
        found = "complex params" if leaves else "no params"
        raise DriftaxError(asked, f"a model with {found}", "a model with real arrays of floats")
    # One precision throughout: the params' own, which whoever runs the objective chooses.
    start, unravel = ravel_pytree(jax.tree.map(lambda leaf: leaf.astype(jnp.zeros(0).dtype), arrays))

    def outputs(params: Vector, inputs: Array) -> Array:
        return eqx.combine(unravel(params), static)(_in_precision(inputs, params))

    if loss is None:
        loss = half_squared_error if data.classes is None else cross_entropy
    objective = Network(outputs, loss, data, start.size)
    check_outputs(objective.outputs, start, data, asked)
    return objective, start


def _examples(inputs: Any, labels: Any) -> dict[str, Array]:
    return {"inputs": jnp.asarray(inputs), "labels": jnp.asarray(labels)}


def _in_precision(values: Array, params: Vector) -> Array:
    return values.astype(params.dtype) if jnp.issubdtype(values.dtype, jnp.floating) else values
