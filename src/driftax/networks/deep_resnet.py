from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Key
from driftax.networks.weights import Convolution

_STAGES = 3


class DeepResNet(eqx.Module):
    """Residual blocks of two 3 x 3 convolutions with GroupNorm, in three stages of 1, 2 and 4 times the channels.

    GroupNorm in place of BatchNorm: the loss stays a sum over examples.

    Args:
        shape: of an image, (height, width, channel).
        outputs: numbers put out.
        width: channels of the first stage.
        blocks: residual blocks in all.
        key: draws the initial params.
    """

    stem: Convolution
    norm: eqx.nn.GroupNorm
    blocks: list[_Block]
    last: eqx.nn.Linear

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int, blocks: int, *, key: Key):
        keys = jax.random.split(key, blocks + 2)
        self.stem = Convolution(shape[2], width, 3, padding=1, key=keys[0])
        self.norm = _norm(width)
        channels = [width] + [width * 2 ** (_STAGES * block // blocks) for block in range(blocks)]
        self.blocks = [
            _Block(before, after, key=one)
            for before, after, one in zip(channels[:-1], channels[1:], keys[1:-1], strict=True)
        ]
        self.last = eqx.nn.Linear(channels[-1], outputs, key=keys[-1])

    def __call__(self, image: Float[Array, "height width channel"]) -> Float[Array, " output"]:
        values = jax.nn.relu(self.norm(self.stem(jnp.moveaxis(image, -1, 0))))
        for block in self.blocks:
            values = block(values)
        return self.last(jnp.mean(values, axis=(1, 2)))


class _Block(eqx.Module):
    """`ReLU(norm(conv(ReLU(norm(conv(x))))) + x)`; where channels grow, at half the height and width."""

    first: Convolution
    second: Convolution
    first_norm: eqx.nn.GroupNorm
    second_norm: eqx.nn.GroupNorm
    shortcut: Convolution | None

    def __init__(self, before: int, after: int, *, key: Key):
        keys = jax.random.split(key, 3)
        stride = 1 if before == after else 2
        self.first = Convolution(before, after, 3, stride=stride, padding=1, key=keys[0])
        self.second = Convolution(after, after, 3, padding=1, key=keys[1])
        self.first_norm, self.second_norm = _norm(after), _norm(after)
        self.shortcut = None if stride == 1 else Convolution(before, after, 1, stride=stride, key=keys[2])

    def __call__(self, values: Float[Array, "before height width"]) -> Float[Array, "after low narrow"]:
        inner = jax.nn.relu(self.first_norm(self.first(values)))
        beside = values if self.shortcut is None else self.shortcut(values)
        return jax.nn.relu(self.second_norm(self.second(inner)) + beside)


def _norm(channels: int) -> eqx.nn.GroupNorm:
    """Groups of 4 channels where they fit."""
    return eqx.nn.GroupNorm(channels // 4 if channels % 4 == 0 else 1, channels)
