from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key
from driftax.networks.weights import Convolution

_HIDDEN = 16


class ResNet(eqx.Module):
    """A small residual network: `conv5x5, stride 3; ReLU; ReLU(conv3x3(x) + x); average; linear; ReLU; linear`.

    With 16 channels on MNIST it is the network of the source, 3,178 parameters.

    Source: callisti2025 (the residual network on MNIST).

    Args:
        shape: of an image, (height, width, channel), at least 5 high and wide.
        outputs: numbers put out.
        width: channels.
        key: draws the initial params.
    """

    stem: Convolution
    residual: Convolution
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, *, key: Key):
        keys = jax.random.split(key, 4)
        self.stem = Convolution(shape[2], width, 5, stride=3, key=keys[0])
        self.residual = Convolution(width, width, 3, padding=1, key=keys[1])
        self.hidden = eqx.nn.Linear(width, _HIDDEN, key=keys[2])
        self.last = eqx.nn.Linear(_HIDDEN, outputs, key=keys[3])

    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " output"]:
        values = jax.nn.relu(self.stem(jnp.moveaxis(image, -1, 0)))
        values = jax.nn.relu(self.residual(values) + values)
        return self.last(jax.nn.relu(self.hidden(jnp.mean(values, axis=(1, 2)))))
