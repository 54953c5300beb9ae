from __future__ import annotations

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int

from driftax._types import Key
from driftax.networks.transformer_block import TransformerBlock, causal, positions


class CharTransformer(eqx.Module):
    """A decoder: for every place of a text, the log-odds of the character that comes next.

    Args:
        length: characters of a window.
        alphabet: how many different ones there are.
        width: numbers per character.
        depth: blocks.
        heads: of the attention; they divide the width.
        key: draws the initial params.
    """

    embedding: eqx.nn.Embedding
    positions: Float[Array, "place width"]
    blocks: list[TransformerBlock]
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear

    def __init__(self, length: int, alphabet: int, width: int, depth: int, heads: int, *, key: Key):
        keys = jax.random.split(key, depth + 3)
        self.embedding = eqx.nn.Embedding(alphabet, width, key=keys[0])
        self.positions = positions(length, width, keys[1])
        self.last = eqx.nn.Linear(width, alphabet, key=keys[2])
        self.blocks = [TransformerBlock(width, heads, key=one) for one in keys[3:]]
        self.norm = eqx.nn.LayerNorm(width)

    def __call__(self, tokens: Int[Array, " place"]) -> Float[Array, "place alphabet"]:
        values = jax.vmap(self.embedding)(tokens) + self.positions
        mask = causal(len(tokens))
        for block in self.blocks:
            values = block(values, mask)
        return jax.vmap(self.last)(jax.vmap(self.norm)(values))
