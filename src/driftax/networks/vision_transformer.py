from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key
from driftax.networks.transformer_block import TransformerBlock, positions


class VisionTransformer(eqx.Module):
    """An image as a sequence of square patches, transformer blocks, and a linear layer on their mean.

    Args:
        shape: of an image, (height, width, channel).
        outputs: numbers put out.
        patch: height and width of a patch; it divides those of the image.
        width: numbers per patch.
        depth: blocks.
        heads: of the attention; they divide the width.
        key: draws the initial params.
    """

    patch: int = eqx.field(static=True)
    embedding: eqx.nn.Linear
    positions: Float[Array, "place width"]
    blocks: list[TransformerBlock]
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        *,
        key: Key,
    ):
        keys = jax.random.split(key, depth + 3)
        places = (shape[0] // patch) * (shape[1] // patch)
        self.patch = patch
        self.embedding = eqx.nn.Linear(patch * patch * shape[2], width, key=keys[0])
        self.positions = positions(places, width, keys[1])
        self.last = eqx.nn.Linear(width, outputs, key=keys[2])
        self.blocks = [TransformerBlock(width, heads, key=one) for one in keys[3:]]
        self.norm = eqx.nn.LayerNorm(width)

    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " output"]:
        values = jax.vmap(self.embedding)(self._patches(image)) + self.positions
        for block in self.blocks:
            values = block(values)
        return self.last(jnp.mean(jax.vmap(self.norm)(values), axis=0))

    def _patches(self, image: Array) -> Float[Array, "place pixel"]:
        height, width, channels = image.shape
        size = self.patch
        cut = image.reshape(height // size, size, width // size, size, channels)
        return cut.transpose(0, 2, 1, 3, 4).reshape(-1, size * size * channels)
