"""Networks of linear layers: none hidden, one, or the paper's nine of width 20."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from driftax._types import Key


class Perceptron(eqx.Module):
    """Linear layers with ReLU between them."""

    layers: list[eqx.nn.Linear]

    def __init__(self, sizes: tuple[int, ...], key: Key):
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
        self.layers = [eqx.nn.Linear(inner, outer, key=own) for inner, outer, own in pairs]

    def __call__(self, inputs: Array) -> Array:
        x = jnp.ravel(inputs)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)
