from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key
from driftax.networks.weights import linear


class MLP(eqx.Module):
    """A perceptron of `depth` linear layers with ReLU between them.

    With 10 layers of width 20 on 30 features and 2 classes it is the network of the source, 4,022 parameters.

    Source: callisti2025 (the network on breast cancer).

    Args:
        inputs: numbers in an input.
        outputs: numbers put out.
        width: units of every hidden layer.
        depth: linear layers.
        key: draws the initial params.
    """

    layers: list[eqx.nn.Linear]

    def __init__(self, inputs: int, outputs: int, width: int, depth: int, *, key: Key):
        sizes = [inputs, *[width] * (depth - 1), outputs]
        keys = jax.random.split(key, depth)
        self.layers = [
            linear(size, following, one)
            for size, following, one in zip(sizes[:-1], sizes[1:], keys, strict=True)
        ]

    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, " output"]:
        values = jnp.ravel(inputs)
        for layer in self.layers[:-1]:
            values = jax.nn.relu(layer(values))
        return self.layers[-1](values)
