"""Transformers with layer normalisation before every part: one that sees images, one that reads characters."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from driftax._types import Key


class _Layer(eqx.Module):
    """Attention and a perceptron, each beside a short cut."""

    attention: eqx.nn.MultiheadAttention
    inner: eqx.nn.Linear
    outer: eqx.nn.Linear
    norms: list[eqx.nn.LayerNorm]

    def __init__(self, width: int, heads: int, key: Key):
        one, two, three = jax.random.split(key, 3)
        self.attention = eqx.nn.MultiheadAttention(heads, width, key=one)
        self.inner = eqx.nn.Linear(width, 4 * width, key=two)
        self.outer = eqx.nn.Linear(4 * width, width, key=three)
        self.norms = [eqx.nn.LayerNorm(width) for _ in range(2)]

    def __call__(self, x: Float[Array, "place width"], mask: Array | None) -> Array:
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y, mask=mask)
        y = jax.vmap(self.norms[1])(x)
        return x + jax.vmap(lambda row: self.outer(jax.nn.gelu(self.inner(row))))(y)


class VisionTransformer(eqx.Module):
    """Square patches of an image as the places of a transformer, whose mean is classified."""

    patch: int = eqx.field(static=True)
    embedding: eqx.nn.Linear
    positions: Float[Array, "place width"]
    layers: list[_Layer]
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: int,
        key: Key,
        width: int = 32,
        depth: int = 2,
        heads: int = 4,
        patch: int = 7,
    ):
        one, two, three, *keys = jax.random.split(key, 3 + depth)
        height, wide, channels = shape
        places = (height // patch) * (wide // patch)
        self.patch = patch
        self.embedding = eqx.nn.Linear(patch * patch * channels, width, key=one)
        self.positions = 0.02 * jax.random.normal(two, (places, width))
        self.layers = [_Layer(width, heads, own) for own in keys]
        self.norm = eqx.nn.LayerNorm(width)
        self.last = eqx.nn.Linear(width, classes, key=three)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        height, wide, channels = image.shape
        p, rows, columns = self.patch, height // self.patch, wide // self.patch
        cells = image[: rows * p, : columns * p].reshape(rows, p, columns, p, channels)
        patches = jnp.moveaxis(cells, 2, 1).reshape(rows * columns, -1)
        x = jax.vmap(self.embedding)(patches) + self.positions
        for layer in self.layers:
            x = layer(x, None)
        return self.last(self.norm(jnp.mean(x, axis=0)))


class CharacterTransformer(eqx.Module):
    """A decoder that says, at every place, what the next character may be."""

    embedding: eqx.nn.Embedding
    positions: Float[Array, "place width"]
    layers: list[_Layer]
    norm: eqx.nn.LayerNorm
    last: eqx.nn.Linear

    def __init__(self, length: int, classes: int, key: Key, width: int = 64, depth: int = 2, heads: int = 4):
        one, two, three, *keys = jax.random.split(key, 3 + depth)
        self.embedding = eqx.nn.Embedding(weight=0.02 * jax.random.normal(one, (classes, width)))
        self.positions = 0.02 * jax.random.normal(two, (length, width))
        self.layers = [_Layer(width, heads, own) for own in keys]
        self.norm = eqx.nn.LayerNorm(width)
        self.last = eqx.nn.Linear(width, classes, key=three)

    def __call__(self, characters: Int[Array, " place"]) -> Array:
        x = self.embedding.weight[characters] + self.positions
        mask = jnp.tril(jnp.ones((len(characters), len(characters)), bool))
        for layer in self.layers:
            x = layer(x, mask)
        return jax.vmap(lambda row: self.last(self.norm(row)))(x)
