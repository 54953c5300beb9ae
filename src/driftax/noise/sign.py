"""Exact moments of the sign of a stochastic gradient, integrated before anything is differentiated."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import erf, erfc
from jaxtyping import Array, Float

from driftax._types import Vector
from driftax.noise._base import AbstractContinuousNoise
from driftax.objective import AbstractObjective


class SignMoments(NamedTuple):
    """Exact moments of sign(gradient): mean, E[sign * normal score], covariance ([dim] if independent)."""

    mean: Float[Array, " dim"]
    linear: Float[Array, " dim"]
    covariance: Float[Array, " dim"] | Float[Array, "dim dim"]


def sign_moments(
    law: AbstractContinuousNoise, objective: AbstractObjective, params: Vector, shift: Vector
) -> SignMoments:
    """Moments of sign(stochastic gradient + shift) under any continuous law.

    The sign is that of `normal score - score(-gradient - shift)`, so every law of densities is a Gaussian one
    here; the Student-t case is `1 - 2 F(-gradient / scale)`.

    Source: compagnoni2025, Corollaries 3.3 and 3.4 (Gaussian and Student-t laws); off-diagonal terms re-derived.
    """
    a = -law.score(objective, params, -objective.gradient(params) - shift)
    mean = erf(a / jnp.sqrt(2.0))
    linear = jnp.sqrt(2 / jnp.pi) * jnp.exp(-0.5 * a**2)
    variance = erfc(a / jnp.sqrt(2.0)) * (1 + mean)  # 1 - erf^2 without cancellation
    if law.independent:
        return SignMoments(mean, linear, variance)
    off_diagonal = 1 - jnp.eye(len(a), dtype=a.dtype)
    correlation = jnp.clip(law.correlation(objective, params), -1.0, 1.0) * off_diagonal
    covariance = sign_covariance(a[:, None], a[None, :], correlation) * off_diagonal
    return SignMoments(mean, linear, covariance + jnp.diag(variance))


def sign_covariance(
    a: Float[Array, "#i #j"], b: Float[Array, "#i #j"], correlation: Float[Array, "i j"]
) -> Float[Array, "i j"]:
    """Covariance of sign(a + y) and sign(b + z) for standard normals y, z of the given correlation:
    `(2/pi) int_0^{arcsin rho} exp(-(a^2 + b^2 - 2 a b sin t) / (2 cos^2 t)) dt`.

    To 1e-14 for correlations up to 0.999 in size, to 1e-5 up to 1.
    """
    points, weights = (a.astype(correlation.dtype) for a in np.polynomial.legendre.leggauss(48))
    # The square root of the distance to the limit, where the integrand turns sharp for correlations near 1.
    root = 0.5 * (points + 1)
    sign, limit = jnp.where(correlation < 0, -1.0, 1.0), jnp.arcsin(correlation)
    angle = jnp.asarray(1 - root**2)[:, None, None] * limit[None]
    apart, product = 0.5 * (a - sign * b) ** 2, sign * (a * b)
    exponent = apart[None] / jnp.cos(angle) ** 2 + product[None] / (1 + sign[None] * jnp.sin(angle))
    total = jnp.einsum("q,qij->ij", jnp.asarray(weights * root), jnp.exp(-exponent))
    return (2 / jnp.pi) * limit * total
