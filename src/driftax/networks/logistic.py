from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


class Logistic(eqx.Module):
    """A linear model with a bias: with cross entropy logistic regression, with squared error linear regression.

    Args:
        inputs: numbers in an input.
        outputs: numbers put out.
        key: draws the initial params.
    """

    linear: eqx.nn.Linear

    def __init__(self, inputs: int, outputs: int, *, key: Key):
        self.linear = eqx.nn.Linear(inputs, outputs, key=key)

    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, " output"]:
        return self.linear(jnp.ravel(inputs))
