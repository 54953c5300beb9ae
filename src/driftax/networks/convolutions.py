"""Convolutional networks for images [height, width, channel]: a plain one and residual ones."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


class CNN(eqx.Module):
    """Two strided convolutions with ReLU, averages over a 2 x 2 grid, and a linear layer."""

    first: eqx.nn.Conv2d
    second: eqx.nn.Conv2d
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 8):
        one, two, three = jax.random.split(key, 3)
        self.first = eqx.nn.Conv2d(channels, width, 3, stride=2, padding=1, key=one)
        self.second = eqx.nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, key=two)
        self.last = eqx.nn.Linear(4 * 2 * width, classes, key=three)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        x = jax.nn.relu(self.first(jnp.moveaxis(image, -1, 0)))
        x = jax.nn.relu(self.second(x))
        return self.last(jnp.ravel(_averages(x, 2)))


class SmallResNet(eqx.Module):
    """The residual network of callisti2025: one block of 16 channels; 3,178 parameters on MNIST."""

    stem: eqx.nn.Conv2d
    block: eqx.nn.Conv2d
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 16):
        one, two, three, four = jax.random.split(key, 4)
        self.stem = eqx.nn.Conv2d(channels, width, 5, stride=3, key=one)
        self.block = eqx.nn.Conv2d(width, width, 3, padding=1, key=two)
        self.hidden = eqx.nn.Linear(width, 16, key=three)
        self.last = eqx.nn.Linear(16, classes, key=four)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        x = jax.nn.relu(self.stem(jnp.moveaxis(image, -1, 0)))
        x = jax.nn.relu(self.block(x) + x)
        return self.last(jax.nn.relu(self.hidden(jnp.mean(x, axis=(1, 2)))))


class ResNet(eqx.Module):
    """Residual blocks with group normalisation; every second block halves the image and doubles the channels."""

    stem: eqx.nn.Conv2d
    blocks: list[_Block]
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 8, depth: int = 3):
        first, last, *keys = jax.random.split(key, 2 + depth)
        self.stem = eqx.nn.Conv2d(channels, width, 3, stride=2, padding=1, key=first)
        self.blocks = []
        for place, own in enumerate(keys):
            wider = width * (2 if place % 2 else 1)
            self.blocks.append(_Block(width, wider, own))
            width = wider
        self.last = eqx.nn.Linear(width, classes, key=last)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        x = jax.nn.relu(self.stem(jnp.moveaxis(image, -1, 0)))
        for block in self.blocks:
            x = block(x)
        return self.last(jnp.mean(x, axis=(1, 2)))


class _Block(eqx.Module):
    """Two convolutions beside a short cut."""

    one: eqx.nn.Conv2d
    two: eqx.nn.Conv2d
    norms: list[eqx.nn.GroupNorm]
    short: eqx.nn.Conv2d

    def __init__(self, inner: int, outer: int, key: Key):
        first, second, third = jax.random.split(key, 3)
        stride = 2 if outer > inner else 1
        self.one = eqx.nn.Conv2d(inner, outer, 3, stride=stride, padding=1, key=first)
        self.two = eqx.nn.Conv2d(outer, outer, 3, padding=1, key=second)
        self.norms = [eqx.nn.GroupNorm(min(4, outer), outer) for _ in range(2)]
        self.short = eqx.nn.Conv2d(inner, outer, 1, stride=stride, key=third)

    def __call__(self, x: Array) -> Array:
        y = jax.nn.relu(self.norms[0](self.one(x)))
        return jax.nn.relu(self.norms[1](self.two(y)) + self.short(x))


def _averages(x: Float[Array, "channel height width"], grid: int) -> Array:
    """Means over the cells of a grid; what does not fill a cell is left out."""
    channels, height, width = x.shape
    tall, wide = height // grid, width // grid
    cells = x[:, : grid * tall, : grid * wide].reshape(channels, grid, tall, grid, wide)
    return jnp.mean(cells, axis=(2, 4))
