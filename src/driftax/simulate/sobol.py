"""Normals from scrambled Sobol' points: the members of a leaf fill the space of their random numbers evenly.

A member is one point, with a coordinate for every normal of every step. A leaf is one randomisation of the whole
set: its members depend on each other, its mean is unbiased, and leaves are independent.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt32
from scipy.linalg import hadamard
from scipy.stats import qmc

from driftax._types import Key
from driftax.simulate.normals import AbstractNormals

MOST_COORDINATES = qmc.Sobol.MAXDIM
_BITS = 32


class SobolNormals(AbstractNormals):
    """Sobol' points, linearly scrambled and shifted afresh in every leaf, through the inverse normal distribution.

    The points are best in their first coordinates. They go to the sums over a step, which move optimizer and
    equation, and the others to the differences of its parts, which only tell two integrations apart; within each
    the last steps come first, where observables are looked at.

    Args:
        directions: direction numbers, the same for every ensemble.
        last: number of the last step of the members, so that steps may be counted from the end.

    Source: sobol1967; joe2008 (direction numbers); matousek1998 (the scrambling).
    """

    independent: ClassVar[bool] = False

    directions: UInt32[Array, "coordinate bit"]
    last: Int[Array, ""]

    @classmethod
    def of(cls, steps: int, members: int) -> "SobolNormals":
        """For leaves of `members` members (a power of two) that take `steps` steps."""
        bits = members.bit_length() - 1
        return cls(jnp.asarray(_directions(bits)), jnp.asarray(steps - 1))

    def start(self, key, shape, members):
        return key

    def draw(self, state, index, shape, members, dtype):
        parts, *rest = shape
        size = math.prod(rest)
        block = (self.last + 1) * size
        begin = jnp.arange(parts) * block + (self.last - index) * size
        own = jax.vmap(lambda first: jax.lax.dynamic_slice_in_dim(self.directions, first, size))(begin)
        columns, shift = _scrambled(own.reshape(parts * size, -1), jax.random.fold_in(state, index))
        words = shift[:, None]
        for bit in range(columns.shape[1]):  # the second half of the points is the first, moved by one column
            words = jnp.concatenate([words, words ^ columns[:, bit, None]], axis=1)
        modes = _normals(words, dtype).reshape(parts, -1)
        turn = jnp.asarray(hadamard(parts) / math.sqrt(parts), dtype)
        return (turn @ modes).reshape(*shape, members), state


def _scrambled(
    directions: UInt32[Array, "coordinate bit"], key: Key
) -> tuple[UInt32[Array, "coordinate bit"], UInt32[Array, " coordinate"]]:
    """Direction numbers times a random lower triangular matrix of bits per coordinate, and a random shift."""
    bits = jax.random.bits(key, (len(directions), _BITS + 1), jnp.uint32)
    place = jnp.arange(_BITS, dtype=jnp.uint32)[::-1]  # the highest bit first
    one = (jnp.uint32(1) << place)[None]
    above = ~(2 * one - 1)
    rows = (bits[:, :_BITS] & above) | one
    parity = jax.lax.population_count(rows[:, :, None] & directions[:, None, :]) & jnp.uint32(1)
    return jnp.sum(parity << place[None, :, None], axis=1, dtype=jnp.uint32), bits[:, _BITS]


def _normals(words: UInt32[Array, "coordinate member"], dtype) -> Array:
    """The normals whose distribution function is `(word + 1/2) / 2^32`, of which float32 holds 24 bits."""
    kept = _BITS if jnp.finfo(dtype).bits == 64 else 24
    centred = (words >> (_BITS - kept)).astype(dtype) - (2.0 ** (kept - 1) - 0.5)
    return math.sqrt(2.0) * jax.lax.erf_inv(centred * 2.0 ** (1 - kept))


@lru_cache
def _directions(bits: int) -> np.ndarray:
    """The direction numbers of all coordinates: point 2^(b+1) - 1 of the sequence is number b itself."""
    sequence = qmc.Sobol(MOST_COORDINATES, scramble=False, bits=_BITS)
    numbers = []
    for bit in range(bits):
        sequence.fast_forward(2 ** (bit + 1) - 1 - sequence.num_generated)
        numbers.append(sequence.random(1)[0])
    return (np.stack(numbers, axis=1) * 2.0**_BITS).astype(np.uint32)
