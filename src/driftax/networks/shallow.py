from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


class Shallow(eqx.Module):
    """One hidden layer of ReLU units.

    Args:
        inputs: numbers in an input.
        outputs: numbers put out.
        width: hidden units.
        key: draws the initial params.
    """

    hidden: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, inputs: int, outputs: int, width: int, *, key: Key):
        first, second = jax.random.split(key)
        self.hidden = eqx.nn.Linear(inputs, width, key=first)
        self.last = eqx.nn.Linear(width, outputs, key=second)

    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, " output"]:
        return self.last(jax.nn.relu(self.hidden(jnp.ravel(inputs))))
