"""A multilayer perceptron on scikit-learn's digits: one loss per example, in float32."""

from __future__ import annotations

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

EXAMPLES = 1437  # four fifths of the data set
_PIXELS, _DIGITS = 64, 10


class Net(NamedTuple):
    """One or more hidden layers with ReLU between 64 pixels and 10 digits."""

    hidden: tuple[int, ...]

    @property
    def layers(self) -> tuple[int, ...]:
        return (_PIXELS, *self.hidden, _DIGITS)

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(
            (inputs + 1) * outputs for inputs, outputs in zip(self.layers, self.layers[1:], strict=False)
        )

    def __str__(self) -> str:
        return "-".join(map(str, self.layers))

    def start(self):
        """He's initial parameters: a (weights, biases) per layer."""
        random = np.random.default_rng(0)
        found = []
        for inputs, outputs in zip(self.layers, self.layers[1:], strict=False):
            weights = random.standard_normal((inputs, outputs)) * np.sqrt(2 / inputs)
            found.append((jnp.asarray(weights, jnp.float32), jnp.zeros(outputs, jnp.float32)))
        return found


@functools.cache
def examples() -> tuple[np.ndarray, np.ndarray]:
    """Pixels in [0, 1] and digits."""
    pixels, digits = load_digits(return_X_y=True)
    return (pixels[:EXAMPLES] / 16).astype(np.float32), digits[:EXAMPLES].astype(np.int32)


def losses(params, pixels, digits):
    """The cross entropy of every example; pixels [example, 64], digits [example]."""
    *hidden, (weights, biases) = params
    for inner, shift in hidden:
        pixels = jax.nn.relu(pixels @ inner + shift)
    chances = jax.nn.log_softmax(pixels @ weights + biases)
    return -jnp.take_along_axis(chances, digits[:, None], axis=1)[:, 0]
