"""The loss of one example, from what a model puts out for it and its label."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def cross_entropy(outputs: Float[Array, "*place classes"], label: Int[Array, "*place"]) -> Float[Array, ""]:
    """Minus the log-probability of the label, a class; of several labels (tokens) the mean."""
    chosen = jnp.take_along_axis(jax.nn.log_softmax(outputs), label[..., None], axis=-1)
    return -jnp.mean(chosen)


def half_squared_error(outputs: Float[Array, "..."], label: Float[Array, "..."]) -> Float[Array, ""]:
    """`1/2 sum (outputs - label)^2`."""
    return 0.5 * jnp.sum((jnp.reshape(outputs, label.shape) - label) ** 2)
