"""Numerical schemes for an equation: one substep of length `dt` (in optimizer steps).

Every scheme takes the equal parts of a substep's Brownian increment as drivers of unit variance, so that a coarse
and a fine integration, and the optimizer itself, share one Brownian path.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from driftax._rows import Rows
from driftax._types import Scalar

Drift = Callable[[Scalar, Rows], Rows]
Noise = Callable[[Scalar, Rows, Any], Rows]


class AbstractScheme(eqx.Module):
    """A one-step integrator of `dZ = drift dt + noise dW`."""

    weak_order: eqx.AbstractClassVar[int]
    parts: ClassVar[int] = 2  # of a substep's increment
    mixes: ClassVar[bool] = False  # whether it looks along single normals of one member

    @abc.abstractmethod
    def step(
        self, drift: Drift, noise: Noise, number: Scalar, dt: Scalar, z: Rows, drivers: Sequence[Any]
    ) -> Rows:
        """The state after `dt`; `drivers` of the parts of the increment."""


class EulerMaruyama(AbstractScheme):
    """`z + drift dt + noise sqrt(dt) xi`: weak order 1.

    Source: kloeden1992, section 14.1.
    """

    weak_order: ClassVar[int] = 1
    parts: ClassVar[int] = 1

    def step(self, drift, noise, number, dt, z, drivers):
        return z + dt * drift(number, z) + jnp.sqrt(dt) * noise(number, z, drivers[0])


class Splitting(AbstractScheme):
    """Half the noise, the drift by the classical Runge-Kutta method, half the noise.

    Weak order 2 for additive noise; for noise of size sqrt(h), as in the ballistic regime, its error is
    O(dt^4 + h dt^2 + h^2 dt), below that of an order-2 equation already at one substep per step. Takes any
    driver of mean 0 and unit covariance.

    Source: milstein2004, chapter 3 (schemes for small noise); re-derived.
    """

    weak_order: ClassVar[int] = 2

    def step(self, drift, noise, number, dt, z, drivers):
        first, second = drivers
        half = jnp.sqrt(dt / 2)
        z = z + half * noise(number, z, first)
        z = runge_kutta(drift, number, dt, z)
        return z + half * noise(number + dt, z, second)


def runge_kutta(drift: Drift, number: Scalar, dt: Scalar, z: Rows) -> Rows:
    """One step of the classical fourth-order method; stages run in a loop, so that the drift compiles once."""

    def stage(carry, coefficients):
        slope, total = carry
        node, weight = coefficients
        slope = drift(number + node * dt, z + node * dt * slope)
        return (slope, total + weight * slope), None

    tableau = jnp.asarray([[0.0, 1 / 6], [0.5, 1 / 3], [0.5, 1 / 3], [1.0, 1 / 6]], dtype=z.dtype)
    zero = jax.tree.map(jnp.zeros_like, z)
    (_, total), _ = jax.lax.scan(stage, (zero, zero), (tableau[:, 0], tableau[:, 1]))
    return z + dt * total


class NearlyAdditive(AbstractScheme):
    """Weak order 2 for noise that moves little along itself: an error of O(dt^2 + e^2 dt) where `S'[S] = O(e)`.

    The drift by the trapezoidal rule; the noise of the first half at the start, that of the second half from the
    start and the middle, `sqrt(dt/2) [S(z) f + (2 S(z_half) - S(z)) s]`. Its moments to the third are those of
    order 2; what it leaves out is the variance of the double integrals, of the size of `S'[S]` squared. The drift
    is looked at only at the start and at the end, the noise three times.

    Source: kloeden1992, section 15.1 (the moment conditions); re-derived.
    """

    weak_order: ClassVar[int] = 2

    def step(self, drift, noise, number, dt, z, drivers):
        first, second = drivers
        root = jnp.sqrt(dt / 2)
        b = drift(number, z)
        one, two = noise(number, z, first), noise(number, z, second)
        middle = z + 0.5 * dt * b + root * one
        moved = root * (one + 2 * noise(number + 0.5 * dt, middle, second) - two)
        ahead = drift(number + dt, z + dt * b + root * (one + two))
        return z + 0.5 * dt * (b + ahead) + moved


class WeakOrderTwo(AbstractScheme):
    """Weak order 2 for any Ito equation, with the Levy areas replaced by one extra normal vector.

    With W the increment and V an independent copy, the double integrals `int int dW_i dW_j` are replaced by
    `1/2 (W_i W_j - dt delta_ij) + 1/sqrt(8) (W_i V_j - V_i W_j)`, which has the same moments to the order
    needed. Derivatives of the coefficients are differences over the noise itself.

    Source: kloeden1992, section 15.1 (the moment conditions); the area term is re-derived.
    """

    weak_order: ClassVar[int] = 2
    mixes: ClassVar[bool] = True

    def step(self, drift, noise, number, dt, z, drivers):
        first, second = drivers
        root = jnp.sqrt(dt)
        w, v = root * (first + second) / math.sqrt(2.0), root * (first - second) / math.sqrt(2.0)
        b = drift(number, z)
        sw, sv = noise(number, z, w), noise(number, z, v)
        trapezoid = 0.5 * (b + drift(number + dt, z + dt * b + sw))
        ahead, behind = z + dt * b + sv, z + dt * b - sv
        plus, minus = noise(number + dt, ahead, w), noise(number + dt, behind, w)
        diffusion = 0.5 * sw + 0.25 * (plus + minus)

        def along_w(driver):
            return 0.5 * (noise(number, z + sw, driver) - noise(number, z - sw, driver))

        symmetric = 0.5 * (along_w(w) - dt * _ito_trace(noise, number, z, w))
        area = 1 / math.sqrt(8.0) * (along_w(v) - 0.5 * (plus - minus))
        return z + dt * trapezoid + diffusion + symmetric + area


def _ito_trace(noise: Noise, number: Scalar, z: Rows, like) -> Rows:
    """`sum_j (S'[S e_j]) e_j` over the independent normals e_j."""
    basis = jnp.eye(like.size, dtype=like.dtype).reshape(-1, *like.shape)

    def one(driver):
        along = noise(number, z, driver)
        size = jnp.sqrt(jnp.sum(along.stacked**2) + 1e-30)
        tiny = 1e-4 / size  # a difference quotient: no derivative of a matrix root is needed
        moved = noise(number, z + tiny * along, driver) - noise(number, z - tiny * along, driver)
        return 1 / (2 * tiny) * moved

    return jax.tree.map(lambda terms: jnp.sum(terms, axis=0), jax.vmap(one)(basis))


SCHEMES: dict[str, type[AbstractScheme]] = {
    "euler-maruyama": EulerMaruyama,
    "splitting": Splitting,
    "weak-2": WeakOrderTwo,
}


class Integration(NamedTuple):
    """How the equations are integrated beside the optimizer.

    Args:
        scheme: one of `SCHEMES`; None chooses by the size of the noise.
        substeps: of the coarser integration per optimizer step; None chooses.
        extrapolate: whether every member is integrated at two levels, whose bias is measured and removed (Talay and
            Tubaro); if not, it is integrated at the coarser one, and a small ensemble of its own bounds the bias.
        controls: whether mean-zero controls remove noise from second moments, where they exist.
    """

    scheme: str | None = None
    substeps: int | None = None
    extrapolate: bool = True
    controls: bool = True
