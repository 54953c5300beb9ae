"""Streams of standard normals: one draw [*shape, member] per optimizer step, made inside the loop over steps.

A stream has a state per leaf, made from the leaf's key alone, so that a leaf is the same whatever runs beside it.
"""

from __future__ import annotations

import abc
import enum
import math
from functools import lru_cache
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

from driftax._types import Key


class Randomness(enum.Enum):
    """Where the normals of an ensemble come from."""

    COUNTER = "counter"  # threefry: every step's draw is a function of (key, step)
    FAST = "fast"  # lanes of xoroshiro64* carried in the loop, in single precision: several times cheaper
    SOBOL = "sobol"  # scrambled Sobol' points, one randomisation per leaf: randomised quasi-Monte Carlo


class AbstractNormals(eqx.Module):
    """A stream of standard normals of shape [*shape, member].

    Attributes:
        independent: whether the members of a leaf are independent; its mean counts as one value where they are not.
    """

    independent: ClassVar[bool] = True

    @abc.abstractmethod
    def start(self, key: Key, shape: tuple[int, ...], members: int) -> Any:
        """The state of a leaf's stream before the first step."""

    @abc.abstractmethod
    def draw(
        self, state: Any, index: Array, shape: tuple[int, ...], members: int, dtype: Any
    ) -> tuple[Float[Array, "..."], Any]:
        """The normals of step `index`, and the state after it."""


class CounterNormals(AbstractNormals):
    """Threefry counters: the state is the key."""

    def start(self, key, shape, members):
        return key

    def draw(self, state, index, shape, members, dtype):
        return jax.random.normal(jax.random.fold_in(state, index), (*shape, members), dtype), state


class FastNormals(AbstractNormals):
    """xoroshiro64* lanes, seeded by threefry, turned into normals by Box and Muller's method in single precision.

    Every number of a part of a step has a lane of two words of its own, of which it uses the 24 high bits of one
    product: normals end at 5.9 in size. Two lanes make two normals. Channels (the second axis) marked in
    `three_point` take the values 0 and +-sqrt(3), with the moments of a normal up to the fifth: enough for a weak
    scheme of order 2, not for an optimizer.

    Source: blackman2021 (xoroshiro64*); boxmuller1958; kloeden1992, section 14.2 (three-point increments).
    """

    three_point: tuple[bool, ...] = eqx.field(static=True)

    def start(self, key, shape, members):
        lanes = sum(_lanes(shape, point) for point in self.three_point)
        return tuple(jax.random.bits(k, (lanes, members), jnp.uint32) for k in jax.random.split(key))

    def draw(self, state, index, shape, members, dtype):
        def part(state, _):
            words, state = _xoroshiro(state)
            drawn, begin = [], 0
            for point in self.three_point:
                used = words[begin : begin + _lanes(shape, point)]
                values = (_three_point(used) if point else _box_muller(used))[: math.prod(shape[2:])]
                drawn.append(values.reshape(*shape[2:], members).astype(dtype))
                begin += len(used)
            # The noise of a step has several readers: it is made once, not once per reader.
            return state, jnp.stack(jax.lax.optimization_barrier(drawn))

        # Part by part: lanes for all parts at once would not fit a cache.
        state, drawn = jax.lax.scan(part, state, None, length=shape[0])
        return drawn, state


def _lanes(shape: tuple[int, ...], three_point: bool) -> int:
    """Lanes of one channel of one part: whole pairs for Box and Muller."""
    size = math.prod(shape[2:])
    return size if three_point else 2 * -(-size // 2)


def _xoroshiro(state: tuple[Array, Array]) -> tuple[UInt32[Array, "lane member"], tuple[Array, Array]]:
    """One word per lane, and the state after it."""
    a, b = state
    word = a * jnp.uint32(0x9E3779BB)
    b = b ^ a
    return word, (_rotated(a, 26) ^ b ^ (b << 9), _rotated(b, 13))


def _rotated(word: UInt32[Array, "lane member"], by: int) -> UInt32[Array, "lane member"]:
    return (word << by) | (word >> (32 - by))


def _box_muller(words: UInt32[Array, "lane member"]) -> Float[Array, "lane member"]:
    """Two normals from two words; the angle is 2 pi times a number in [-1/2, 1/2)."""
    half = len(words) // 2
    uniform = ((words[:half] >> 8).astype(jnp.int32).astype(jnp.float32) + 0.5) * jnp.float32(2.0**-24)
    radius = jnp.sqrt(-2 * jnp.log(uniform))
    quarters = (words[half:].astype(jnp.int32) >> 8).astype(jnp.float32) * jnp.float32(2.0**-22)  # [-2, 2)
    size = jnp.abs(quarters)
    cosine = _sine(1 - size)
    sine = jnp.where(quarters > 0, 1.0, -1.0).astype(jnp.float32) * _sine(1 - jnp.abs(size - 1))
    return jnp.concatenate([radius * cosine, radius * sine])


def _sine(quarters: Float[Array, "lane member"]) -> Float[Array, "lane member"]:
    """`sin(pi/2 x)` on [-1, 1] to 4e-9: XLA's own sine is not vectorised on a CPU."""
    square = quarters * quarters
    total = jnp.zeros_like(quarters)
    for coefficient in _sine_coefficients():
        total = total * square + jnp.float32(coefficient)
    return quarters * total


@lru_cache
def _sine_coefficients() -> tuple[float, ...]:
    """Of the odd polynomial of degree 9, highest first, fitted at Chebyshev's points."""
    points = np.cos(np.pi * (np.arange(64) + 0.5) / 64)
    powers = np.stack([points ** (2 * k + 1) for k in reversed(range(5))], axis=1)
    return tuple(float(c) for c in np.linalg.lstsq(powers, np.sin(np.pi / 2 * points), rcond=None)[0])


def _three_point(words: UInt32[Array, "lane member"]) -> Float[Array, "lane member"]:
    """0 with probability 2/3, +-sqrt(3) with 1/6 each (to 2^-32)."""
    sixth = 2**32 // 6
    root = jnp.float32(math.sqrt(3.0))
    return jnp.where(words < sixth, root, jnp.where(words >= 2**32 - sixth, -root, 0.0)).astype(jnp.float32)
