from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key
from driftax.networks.weights import Convolution, linear


class CNN(eqx.Module):
    """Two convolutions of 3 x 3 with ReLU, each of which halves the image, and a linear layer.

    Args:
        shape: of an image, (height, width, channel).
        outputs: numbers put out.
        width: channels of the first convolution; the second has twice as many.
        key: draws the initial params.
    """

    first: Convolution
    second: Convolution
    last: eqx.nn.Linear

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, *, key: Key):
        keys = jax.random.split(key, 3)
        self.first = Convolution(shape[2], width, 3, stride=2, padding=1, key=keys[0])
        self.second = Convolution(width, 2 * width, 3, stride=2, padding=1, key=keys[1])
        low, narrow = (-(-side // 4) for side in shape[:2])
        self.last = linear(low * narrow * 2 * width, outputs, keys[2])

    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " output"]:
        values = jnp.moveaxis(image, -1, 0)
        for layer in (self.first, self.second):
            values = jax.nn.relu(layer(values))
        return self.last(jnp.ravel(values))
