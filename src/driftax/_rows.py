"""A state as separate rows, with the arithmetic of a vector.

On a CPU, XLA writes a stack of rows to memory before it computes with it, but never makes one that is only taken
apart again. So the rows of a state are stacked to be handed on, and everything is computed row by row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Scalar, Vector


class Rows(eqx.Module):
    """The rows [dim] of an array [slot, dim]; sums with other rows, products with numbers or a vector [dim]."""

    rows: tuple[Float[Array, " dim"], ...]

    __array_ufunc__ = None  # a NumPy number times rows is rows, not an array of them

    @staticmethod
    def of(stack: Float[Array, "slot dim"]) -> Rows:
        """The rows of a stack."""
        return Rows(tuple(stack))

    @property
    def stacked(self) -> Float[Array, "slot dim"]:
        """All rows in one array."""
        return jnp.stack(self.rows)

    @property
    def dtype(self):
        return self.rows[0].dtype

    def by(self, function: Callable, *others: Rows | Float[Array, "slot ..."]) -> Rows:
        """A function of each row, and of the same row of others."""
        also = [other.rows if isinstance(other, Rows) else tuple(other) for other in others]
        return Rows(tuple(function(*rows) for rows in zip(self.rows, *also, strict=True)))

    def __add__(self, other: Rows) -> Rows:
        return self.by(operator.add, other)

    def __sub__(self, other: Rows) -> Rows:
        return self.by(operator.sub, other)

    def __rmul__(self, factor: Scalar | Vector) -> Rows:
        return self.by(lambda row: factor * row)
