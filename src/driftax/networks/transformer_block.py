from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from driftax._types import Key

_WIDER = 4  # the hidden layer, in units of the width


class TransformerBlock(eqx.Module):
    """Attention, then a perceptron of one hidden layer, each on normalised values and added to them.

    Args:
        width: numbers per place.
        heads: of the attention; they divide the width.
        key: draws the initial params.
    """

    attention: eqx.nn.MultiheadAttention
    attention_norm: eqx.nn.LayerNorm
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear
    norm: eqx.nn.LayerNorm

    def __init__(self, width: int, heads: int, *, key: Key):
        keys = jax.random.split(key, 3)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=keys[0])
        self.hidden = eqx.nn.Linear(width, _WIDER * width, key=keys[1])
        self.last = eqx.nn.Linear(_WIDER * width, width, key=keys[2])
        self.attention_norm, self.norm = eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width)

    def __call__(
        self, values: Float[Array, "place width"], mask: Bool[Array, "place place"] | None = None
    ) -> Float[Array, "place width"]:
        seen = jax.vmap(self.attention_norm)(values)
        values = values + self.attention(seen, seen, seen, mask=mask)
        inner = jax.nn.gelu(jax.vmap(self.hidden)(jax.vmap(self.norm)(values)))
        return values + jax.vmap(self.last)(inner)


def positions(places: int, width: int, key: Key) -> Float[Array, "place width"]:
    """Learned positions, small at the start."""
    return 0.3 * jax.random.normal(key, (places, width))


def causal(places: int) -> Bool[Array, "place place"]:
    """Every place sees itself and the places before it."""
    return jnp.tril(jnp.ones((places, places), bool))
