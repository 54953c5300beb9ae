"""Convolutional networks for images [height, width, channel]: a plain one and residual ones."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key


class Convolution(eqx.Module):
    """A convolution as one matrix product of shifted images: within a loop XLA's own is many times slower on a CPU.

    Source: he2015 (weights start uniform, of variance 2 / inputs).
    """

    weight: Float[Array, "outer inputs"]
    bias: Float[Array, " outer"]
    size: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __init__(self, inner: int, outer: int, size: int, *, key: Key, stride: int = 1, padding: int = 0):
        inputs = inner * size**2
        bound = (6 / inputs) ** 0.5
        self.weight = jax.random.uniform(key, (outer, inputs), jnp.float32, -bound, bound)
        self.bias = jnp.zeros(outer, jnp.float32)
        self.size, self.stride, self.padding = size, stride, padding

    def __call__(self, x: Float[Array, "inner height width"]) -> Float[Array, "outer tall wide"]:
        pad = self.padding
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        tall, wide = ((side - self.size) // self.stride + 1 for side in x.shape[1:])

        def shifted(i: int, j: int) -> Array:
            rows = slice(i, i + self.stride * (tall - 1) + 1, self.stride)
            return x[:, rows, j : j + self.stride * (wide - 1) + 1 : self.stride]

        every = range(self.size)
        patches = jnp.concatenate([shifted(i, j) for i in every for j in every])
        return jnp.einsum("oc,chw->ohw", self.weight, patches) + self.bias[:, None, None]


class CNN(eqx.Module):
    """Two strided convolutions with ReLU, averages over a 2 x 2 grid, and a linear layer."""

    first: Convolution
    second: Convolution
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 8):
        one, two, three = jax.random.split(key, 3)
        self.first = Convolution(channels, width, 3, stride=2, padding=1, key=one)
        self.second = Convolution(width, 2 * width, 3, stride=2, padding=1, key=two)
        self.last = eqx.nn.Linear(4 * 2 * width, classes, key=three)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        x = jax.nn.relu(self.first(jnp.moveaxis(image, -1, 0)))
        x = jax.nn.relu(self.second(x))
        return self.last(jnp.ravel(_averages(x, 2)))


class SmallResNet(eqx.Module):
    """The residual network of callisti2025: one block of 16 channels; 3,178 parameters on MNIST."""

    stem: Convolution
    block: Convolution
    hidden: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 16):
        one, two, three, four = jax.random.split(key, 4)
        self.stem = Convolution(channels, width, 5, stride=3, key=one)
        self.block = Convolution(width, width, 3, padding=1, key=two)
        self.hidden = eqx.nn.Linear(width, 16, key=three)
        self.last = eqx.nn.Linear(16, classes, key=four)

    def __call__(self, image: Float[Array, "height width channel"]) -> Array:
        x = jax.nn.relu(self.stem(jnp.moveaxis(image, -1, 0)))
        x = jax.nn.relu(self.block(x) + x)
        return self.last(jax.nn.relu(self.hidden(jnp.mean(x, axis=(1, 2)))))


class ResNet(eqx.Module):
    """Residual blocks with group normalisation; every second block halves the image and doubles the channels."""

    stem: Convolution
    blocks: list[_Block]
    last: eqx.nn.Linear

    def __init__(self, channels: int, classes: int, key: Key, width: int = 8, depth: int = 3):
        first, last, *keys = jax.random.split(key, 2 + depth)
        self.stem = Convolution(channels, width, 3, stride=2, padding=1, key=first)
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

    one: Convolution
    two: Convolution
    norms: list[eqx.nn.GroupNorm]
    short: Convolution

    def __init__(self, inner: int, outer: int, key: Key):
        first, second, third = jax.random.split(key, 3)
        stride = 2 if outer > inner else 1
        self.one = Convolution(inner, outer, 3, stride=stride, padding=1, key=first)
        self.two = Convolution(outer, outer, 3, padding=1, key=second)
        self.norms = [eqx.nn.GroupNorm(min(4, outer), outer) for _ in range(2)]
        self.short = Convolution(inner, outer, 1, stride=stride, key=third)

    def __call__(self, x: Array) -> Array:
        y = jax.nn.relu(self.norms[0](self.one(x)))
        return jax.nn.relu(self.norms[1](self.two(y)) + self.short(x))


def _averages(x: Float[Array, "channel height width"], grid: int) -> Array:
    """Means over the cells of a grid; what does not fill a cell is left out."""
    channels, height, width = x.shape
    tall, wide = height // grid, width // grid
    cells = x[:, : grid * tall, : grid * wide].reshape(channels, grid, tall, grid, wide)
    return jnp.mean(cells, axis=(2, 4))
