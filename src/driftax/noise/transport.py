"""Smooth functions of one number without a closed form: tables, and derivatives that need no table.

A quantile function T of a law with density p has no formula in general, but a simple derivative,
`T'(n) = phi(n) / p(T(n))` in the normal score n. So its values are looked up and its derivatives, of any order,
come from that formula.

Source: re-derived; the interpolation at Chebyshev points is classical.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._types import Vector

_POINTS = 14  # Chebyshev points of a piece
_LEAST, _MOST = 64, 4096  # pieces
_ACCURATE = 1e-12  # largest error against the size of the values; most are far smaller


class Table(eqx.Module):
    """A smooth function between two ends as polynomials on equal pieces; constant beyond the ends."""

    coefficients: Float[Array, "piece power"]
    low: float = eqx.field(static=True)
    high: float = eqx.field(static=True)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        pieces = self.coefficients.shape[0]
        place = jnp.clip((x - self.low) * (pieces / (self.high - self.low)), 0.0, pieces)
        piece = jnp.minimum(jnp.floor(place), pieces - 1)
        local = 2 * (place - piece) - 1
        rows = self.coefficients[piece.astype(int)]
        value = rows[..., -1]
        for power in range(_POINTS - 2, -1, -1):
            value = value * local + rows[..., power]
        return value


def table(function: Callable[[np.ndarray], np.ndarray], low: float, high: float) -> Table | None:
    """The table of a function to 12 digits and more; None where thousands of pieces do not resolve it."""
    chebyshev = np.cos(np.pi * (np.arange(_POINTS) + 0.5) / _POINTS)
    inverse = np.linalg.inv(np.polynomial.chebyshev.chebvander(chebyshev, _POINTS - 1))
    powers = np.zeros((_POINTS, _POINTS))
    for n in range(_POINTS):
        row = np.polynomial.chebyshev.cheb2poly(np.eye(_POINTS)[n])
        powers[n, : len(row)] = row
    pieces = _LEAST
    while pieces <= _MOST:
        ends = np.linspace(low, high, pieces + 1)
        middle, half = 0.5 * (ends[1:] + ends[:-1]), 0.5 * (ends[1:] - ends[:-1])
        values = function((middle[:, None] + half[:, None] * chebyshev[None]).reshape(-1)).reshape(
            pieces, _POINTS
        )
        chebyshev_coefficients = values @ inverse.T
        size = np.max(np.abs(values), axis=1)
        if np.all(np.max(np.abs(chebyshev_coefficients[:, -2:]), axis=1) <= _ACCURATE * size):
            return Table(jnp.asarray(chebyshev_coefficients @ powers), float(low), float(high))
        pieces *= 2
    return None


def inverse(
    function: Callable[[np.ndarray], np.ndarray], values: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Where an increasing function has these values, by bisection between two ends."""
    left, right = np.full_like(values, low), np.full_like(values, high)
    for _ in range(64):
        middle = 0.5 * (left + right)
        below = function(middle) < values
        left, right = np.where(below, middle, left), np.where(below, right, middle)
    return 0.5 * (left + right)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def with_slope(value: Callable, slope: Callable, data: Any, x: Vector) -> Vector:
    """`y = value(data, x)` whose derivative is `slope(data, x, y)`, to any order; `data` is held fixed.

    Args:
        value: a function of (data, x), itself not differentiated.
        slope: a differentiable function of (data, x, y).
        data: arrays.
        x: the variable.
    """
    return value(data, x)


@with_slope.defjvp
def _(value, slope, primals, tangents):
    data, x = primals
    y = with_slope(value, slope, data, x)
    return y, slope(data, x, y) * tangents[1]
