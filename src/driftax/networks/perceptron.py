"""Networks of linear layers: none hidden, one, or the paper's nine of width 20."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from driftax._types import Key


class Perceptron(eqx.Module):
    """Linear layers with ReLU between them; weights start uniform, of variance 2 / inputs, and biases at 0.

    Source: he2015 (the variance that keeps signals alive through many layers).
    """

    layers: list[eqx.nn.Linear]

    def __init__(self, sizes: tuple[int, ...], key: Key):
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(sizes[:-1], sizes[1:], keys, strict=True)
        self.layers = [_linear(inner, outer, own) for inner, outer, own in pairs]

    def __call__(self, inputs: Array) -> Array:
        x = jnp.ravel(inputs)
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


def _linear(inner: int, outer: int, key: Key) -> eqx.nn.Linear:
    layer = eqx.nn.Linear(inner, outer, key=key)
    bound = (6 / inner) ** 0.5
    weights = jax.random.uniform(key, (outer, inner), layer.weight.dtype, -bound, bound)
    return eqx.tree_at(lambda own: (own.weight, own.bias), layer, (weights, jnp.zeros(outer, weights.dtype)))
