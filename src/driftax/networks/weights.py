"""Layers before a ReLU in the deep networks: weights start uniform, of variance 2 / inputs, and biases at 0.

Source: he2015 (the variance that keeps signals alive through many layers with ReLU).
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


def linear(inputs: int, outputs: int, key: Key) -> eqx.nn.Linear:
    """A linear layer."""
    layer = eqx.nn.Linear(inputs, outputs, key=key)
    parts = _weights(inputs, outputs, key), jnp.zeros(outputs, jnp.float32)
    return eqx.tree_at(lambda own: (own.weight, own.bias), layer, parts)


class Convolution(eqx.Module):
    """A convolution as one matrix product of shifted images: inside a loop XLA's own is many times slower on a CPU.

    Args:
        before: channels of an image [channel, height, width].
        after: channels of what comes out.
        size: of the square kernel.
        key: draws the initial weights.
        stride: steps between the places looked at.
        padding: zeros around the image.
    """

    weight: Float[Array, "after inputs"]
    bias: Float[Array, " after"]
    size: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __init__(self, before: int, after: int, size: int, *, key: Key, stride: int = 1, padding: int = 0):
        self.weight = _weights(before * size**2, after, key)
        self.bias = jnp.zeros(after, jnp.float32)
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, image: Float[Array, "before height width"]) -> Float[Array, "after low narrow"]:
        image = jnp.pad(image, ((0, 0), (self.padding, self.padding), (self.padding, self.padding)))
        low, narrow = ((side - self.size) // self.stride + 1 for side in image.shape[1:])

        def shifted(row: int, column: int) -> Array:
            rows = slice(row, row + self.stride * (low - 1) + 1, self.stride)
            columns = slice(column, column + self.stride * (narrow - 1) + 1, self.stride)
            return image[:, rows, columns]

        places = range(self.size)
        patches = jnp.concatenate([shifted(row, column) for row in places for column in places])
        return jnp.einsum("oc,chw->ohw", self.weight, patches) + self.bias[:, None, None]


def _weights(inputs: int, outputs: int, key: Key) -> Array:
    bound = (6 / inputs) ** 0.5
    return jax.random.uniform(key, (outputs, inputs), jnp.float32, -bound, bound)
