from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


class CNN(eqx.Module):
    """Two convolutions of 3 x 3 with ReLU, each averaged over squares of 2 x 2, and a linear layer.

    Args:
        shape: of an image, (height, width, channel).
        outputs: numbers put out.
        width: channels of the first convolution; the second has twice as many.
        key: draws the initial params.
    """

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    pool: eqx.nn.AvgPool2d
    last: eqx.nn.Linear

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, *, key: Key):
        keys = jax.random.split(key, 3)
        self.first = eqx.nn.Conv2d(shape[2], width, 3, padding=1, key=keys[0])
        self.second = eqx.nn.Conv2d(width, 2 * width, 3, padding=1, key=keys[1])
        self.pool = eqx.nn.AvgPool2d(2, 2)
        self.last = eqx.nn.Linear((shape[0] // 4) * (shape[1] // 4) * 2 * width, outputs, key=keys[2])

    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " output"]:
        values = jnp.moveaxis(image, -1, 0)
        for layer in (self.first, self.second):
            values = self.pool(jax.nn.relu(layer(values)))
        return self.last(jnp.ravel(values))
