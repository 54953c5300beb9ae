"""A loss of your own for own_loss.toml: a function of the params, in operations of JAX."""

import jax.numpy as jnp


def loss(params):
    x, y = params
    return jnp.log1p(x**2 + 2 * y**2) + 0.1 * (x - y) ** 2
