"""A network and its data as an objective of one flat vector of parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.data import Dataset
from driftax.data.catalogue import Task
from driftax.objective import FiniteSum


class Network(FiniteSum):
    """The mean loss of a network over its training examples; it knows its accuracy and its test set.

    Cross entropy for classes and characters, half the squared error for numbers.

    Args:
        example_loss: the loss of one example, a function of (params [dim], example).
        output: what the network says of one input, a function of (params [dim], input).
        data: whose training examples are summed over.
        dim: number of parameters.
    """

    output: Any = eqx.field(static=True)
    task: Task = eqx.field(static=True)
    title: str = eqx.field(static=True)
    test: dict[str, Array]

    def __init__(self, example_loss, output, data: Dataset, dim: int):
        super().__init__(example_loss, _examples(data.inputs, data.labels), dim)
        self.output, self.task, self.title = output, data.task, data.title
        self.test = _examples(data.test_inputs, data.test_labels)

    @property
    def observables(self) -> tuple[str, ...]:
        return ("test_loss",) if self.task is Task.REAL else ("accuracy", "test_loss", "test_accuracy")

    def observe(self, name: str, params: Vector) -> Float[Array, ""]:
        data = self.test if name.startswith("test_") else self.examples
        if name.endswith("loss"):
            losses = jax.vmap(self.example_loss, in_axes=(None, 0))(params, data)
            return jnp.mean(losses)
        said = jnp.argmax(jax.vmap(self.output, in_axes=(None, 0))(params, data["input"]), axis=-1)
        return jnp.mean(said == data["label"])


def network(model: eqx.Module, data: Dataset) -> tuple[Network, Float[Array, " dim"]]:
    """The objective of an equinox model, and the parameters it has now.

    Args:
        model: a function of one input: [..] to logits [classes] (of every character [length, classes]), or to one
            number.
        data: examples, as `driftax.data.load_data` returns them.

    Raises:
        DriftaxError: if the model has batch normalisation, or says something of another shape than the data ask for.

    Example:
        >>> import equinox, jax
        >>> from driftax.data import load_data
        >>> model = equinox.nn.Linear(4, 3, key=jax.random.key(0))
        >>> objective, start = network(model, load_data("iris"))
        >>> objective.dim, objective.size
        (15, 120)
    """
    _refuse_batch_norm(model)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    start, unravel = ravel_pytree(arrays)
    start = start.astype(float)

    def output(params: Vector, inputs: Array) -> Array:
        own = jax.tree.map(lambda leaf: leaf.astype(params.dtype), unravel(params.astype(start.dtype)))
        if jnp.issubdtype(inputs.dtype, jnp.floating):
            inputs = inputs.astype(params.dtype)
        return eqx.combine(own, static)(inputs)

    def example_loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
        said, label = output(params, example["input"]), example["label"]
        if data.task is Task.REAL:
            return 0.5 * (jnp.squeeze(said) - label.astype(params.dtype)) ** 2
        chances = jax.nn.log_softmax(said, axis=-1)
        return -jnp.mean(jnp.take_along_axis(chances, label[..., None], axis=-1))

    _check_output(output, start, data)
    return Network(example_loss, output, data, start.size), start


def _examples(inputs: Any, labels: Any) -> dict[str, Array]:
    return {"input": jnp.asarray(inputs), "label": jnp.asarray(labels)}


def _check_output(output: Any, start: Vector, data: Dataset) -> None:
    asked = f"a network on {data.name}"
    shape = {
        Task.REAL: (),
        Task.CLASSES: (data.classes,),
        Task.TOKENS: (*data.labels.shape[1:], data.classes),
    }[data.task]
    try:
        found = jax.eval_shape(output, start, jnp.asarray(data.inputs[0])).shape
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise DriftaxError(
            asked,
            f"a model that does not take an input of shape {data.inputs.shape[1:]}: {reason}",
            "one that does",
        ) from error
    if found != shape and not (data.task is Task.REAL and found == (1,)):
        raise DriftaxError(asked, f"a model that says something of shape {found}", f"one of shape {shape}")


def _refuse_batch_norm(model: eqx.Module) -> None:
    """Refuses what makes the loss of an example depend on the others."""
    stateful = (eqx.nn.StateIndex, eqx.nn.BatchNorm)
    for leaf in jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, stateful)):
        if isinstance(leaf, stateful):
            raise DriftaxError(
                "the network of a model",
                f"{type(leaf).__name__}: with batch statistics no example has a gradient of its own",
                "GroupNorm or LayerNorm in its place",
            )
