"""The equations of RMSprop and Adam on the quadratic, written out by hand: what a user without a compiler codes.

In the clock t = step * learning_rate, with gradient law N(A x, sigma^2 A^2) and the second moment updated before
it divides:

    dZ = (b0 + learning_rate b1) dt + sqrt(learning_rate) S dW        (order 1: without b1, noise in one slot)

States are tuples of arrays [..., dim], or [dim, ...] as columns; any array library with `@` and `**` will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..problem import ADAM_RATES, EPS, RMSPROP_RATE, SIGMA, Problem


class Equation(NamedTuple):
    """Drift per unit of t, and noise for standard normals w1 and w2 (w2 is used at order 2 only)."""

    drift: Callable[[tuple], tuple]
    noise: Callable[[tuple, Any, Any], tuple]
    channels: int  # standard normals per parameter


def equation(
    problem: Problem, order: int, asarray: Callable, sqrt: Callable, columns: bool = False
) -> Equation:
    """The equation of a problem in the arrays of one library."""
    hessian = problem.hessian
    covariance = problem.covariance
    values, vectors = np.linalg.eigh(2 * covariance**2)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T  # of the covariance of z^2
    variance = np.diag(covariance)[:, None] if columns else np.diag(covariance)

    def times(matrix):  # all of them are symmetric
        held = asarray(matrix)
        return (lambda u: held @ u) if columns else (lambda u: u @ held)

    make = {"RMSprop": _rmsprop, "Adam": _adam}[problem.optimizer]
    matrices = times(hessian), times(SIGMA * hessian), times(root)
    drift, noise = make(problem.learning_rate, order, sqrt, *matrices, asarray(variance))
    return Equation(drift, noise, order)


def _rmsprop(h, order, sqrt, hessian, root, root2, variance):
    c, scale = RMSPROP_RATE, h**0.5

    def drift(z):
        x, v = z
        f, size = hessian(x), sqrt(v)
        d = 1 / (size + EPS)
        u, q = -f * d, c * (f**2 + variance - v)
        if order == 1:
            return u, q
        slope, hu = -(d**2) / (2 * size), hessian(u)
        b1x = 0.5 * d * hu + 0.5 * f * slope * q - c * slope * f * (f**2 + 3 * variance - v)
        return u + h * b1x, q + h * (0.5 * c * q - c * f * hu)

    def noise(z, w1, w2):
        x, v = z
        kick = root(w1)
        moved = -scale * kick / (sqrt(v) + EPS)
        if order == 1:
            return moved, 0 * v
        return moved, scale * c * (2 * hessian(x) * kick + root2(w2))

    return drift, noise


def _adam(h, order, sqrt, hessian, root, root2, variance):
    (c1, c2), scale = ADAM_RATES, h**0.5

    def drift(z):
        x, m, v = z
        f, size = hessian(x), sqrt(v)
        d = 1 / (size + EPS)
        u, p, q = -m * d, c1 * (f - m), c2 * (f**2 + variance - v)
        if order == 1:
            return u, p, q
        slope, hu = -(d**2) / (2 * size), hessian(u)
        b1x = -0.5 * d * p - 0.5 * m * slope * q
        return u + h * b1x, p + h * 0.5 * c1 * (p - hu), q + h * (0.5 * c2 * q - c2 * f * hu)

    def noise(z, w1, w2):
        x, _, v = z
        kick = root(w1)
        if order == 1:
            return 0 * x, scale * c1 * kick, 0 * v
        return 0 * x, scale * c1 * kick, scale * c2 * (2 * hessian(x) * kick + root2(w2))

    return drift, noise
