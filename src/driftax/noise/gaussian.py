from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.noise._base import AbstractContinuousNoise
from driftax.noise.rule import CoordinateRule, gauss_hermite
from driftax.objective import AbstractObjective
from driftax.regime import Regime

_TINY = 1e-60
_ASKED = "a Gaussian gradient law"


class GaussianNoise(AbstractContinuousNoise):
    r"""Gaussian gradient noise `N(0, covariance)`.

    Args:
        covariance: of one stochastic gradient, at rung 1: a number (isotropic), a vector [dim] (independent
            coordinates), a matrix [dim, dim], or a function of the params that returns a vector or a matrix.
        independent: for a function only: whether it returns variances [dim] (the default) or a matrix.
        per_loss: what a loss of 1 adds to a constant covariance, of the same form: noise that falls with the loss.

    Raises:
        DriftaxError: if the covariance is not finite, symmetric and positive semidefinite.

    Example:
        >>> GaussianNoise(0.25).independent
        True
    """

    _covariance: Float[Array, "..."] | Callable
    _per_loss: Float[Array, "..."] | None
    _roots: Float[Array, "channel dim dim"] | None
    scale: Scalar
    _matrix: bool = eqx.field(static=True)

    def __init__(self, covariance, independent: bool = True, per_loss=None):
        self.scale = 1.0
        self._roots = self._per_loss = None
        if callable(covariance):
            if per_loss is not None:
                raise DriftaxError(_ASKED, "both a function of the params and per_loss", "one of them")
            self._covariance = covariance
            self._matrix = not independent
            return
        covariance = np.asarray(covariance, dtype=float)
        _check_covariance(covariance)
        self._covariance = jnp.asarray(covariance)
        self._matrix = covariance.ndim == 2
        if per_loss is not None:
            self._per_loss = jnp.asarray(_checked_per_loss(per_loss, covariance))
        elif self._matrix:
            deviation = np.sqrt(np.maximum(np.diag(covariance), 0.0))
            safe = np.where(deviation > 0, deviation, 1.0)
            correlation = covariance / np.outer(safe, safe) + np.diag(deviation == 0).astype(float)
            self._roots = jnp.asarray(np.stack([_root(correlation), _root(correlation**2)]))

    @property
    def independent(self) -> bool:
        return not self._matrix

    @property
    def gaussian(self) -> bool:
        return True

    @property
    def constant(self) -> bool:
        return not callable(self._covariance) and self._per_loss is None

    @property
    def roots(self) -> Float[Array, "channel dim dim"] | None:
        """Square roots of the correlation and of its elementwise square, where they are constant."""
        return self._roots

    def at(self, scale: Scalar, regime: Regime) -> GaussianNoise:
        if regime is Regime.BALLISTIC:
            return self
        return eqx.tree_at(lambda law: law.scale, self, self.scale / scale)

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        value = np.asarray(self._at(objective, params))
        _check_covariance(value)
        if value.shape != params.shape * value.ndim or (value.ndim == 2) != self._matrix:
            raise DriftaxError(
                _ASKED,
                f"a covariance of shape {list(value.shape)} for {params.shape[0]} params",
                f"a number, {params.shape[0]} variances, or a {params.shape[0]} x {params.shape[0]} matrix",
            )

    def _at(self, objective: AbstractObjective, params: Vector) -> Array:
        value = self._covariance(params) if callable(self._covariance) else self._covariance
        if self._per_loss is not None:
            value = value + objective.loss(params) * self._per_loss
        value = value * self.scale
        return jnp.broadcast_to(value, params.shape) if value.ndim == 0 else value

    def _variance(self, objective: AbstractObjective, params: Vector) -> Vector:
        value = self._at(objective, params)
        return jnp.diagonal(value) if self._matrix else value

    def _deviation(self, objective: AbstractObjective, params: Vector) -> Vector:
        variance = self._variance(objective, params)
        # A variance that is 0 at all params has a derivative of 0, not 0/0.
        return jnp.sqrt(variance if self.constant else variance + _TINY)

    def covariance(self, objective: AbstractObjective, params: Vector) -> Array:
        return self._at(objective, params)

    def correlation(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        if not self._matrix:
            return jnp.eye(params.shape[0])
        deviation = self._deviation(objective, params)
        safe = jnp.where(deviation > 0, deviation, 1.0)
        return self._at(objective, params) / (safe[:, None] * safe[None, :])

    def root(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        if self._roots is not None:
            return self._roots[0].astype(params.dtype)
        if not self._matrix:
            return jnp.eye(params.shape[0], dtype=params.dtype)
        values, vectors = jnp.linalg.eigh(self._at(objective, params))  # the matrix may be singular
        deviation = jnp.maximum(self._deviation(objective, params), 1e-30)
        return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :] / deviation[:, None]

    def noise(self, objective: AbstractObjective, params: Vector, normals: Vector) -> Vector:
        score = self.root(objective, params) @ normals if self._matrix else normals
        return self._deviation(objective, params) * score

    def image(self, objective: AbstractObjective, params: Vector, score: Vector) -> Vector:
        return self._deviation(objective, params) * score

    def score(self, objective: AbstractObjective, params: Vector, noise: Vector) -> Vector:
        return noise / jnp.maximum(self._deviation(objective, params), 1e-30)  # no noise: the sign is certain

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        standard, weights, polynomials = (jnp.asarray(a, params.dtype) for a in gauss_hermite(nodes))
        dim = params.shape[0]
        return CoordinateRule(
            standard[:, None] * self._deviation(objective, params)[None, :],
            jnp.broadcast_to(weights[:, None], (nodes, dim)),
            jnp.broadcast_to(polynomials[:, :, None], (nodes - 1, nodes, dim)),
        )

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array | None:
        if not self._matrix:
            return None
        correlation = self.correlation(objective, params)
        powers = jnp.stack([correlation**n for n in range(1, nodes)])
        return jnp.eye(nodes - 1)[:, :, None, None] * powers[:, None, :, :]


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _checked_per_loss(per_loss, covariance: np.ndarray) -> np.ndarray:
    per_loss = np.asarray(per_loss, dtype=float)
    _check_covariance(per_loss)
    if per_loss.shape != covariance.shape:
        raise DriftaxError(
            _ASKED,
            f"a covariance per loss of shape {list(per_loss.shape)} beside a covariance of shape "
            f"{list(covariance.shape)}",
            "both of one form: numbers, lists of one length or matrices of one size",
        )
    return per_loss


def _check_covariance(covariance: np.ndarray) -> None:
    asked = _ASKED
    if not np.all(np.isfinite(covariance)):
        raise DriftaxError(asked, "a covariance that is not finite", "finite numbers in every entry")
    if covariance.ndim > 2 or (covariance.ndim == 2 and covariance.shape[0] != covariance.shape[1]):
        raise DriftaxError(
            asked,
            f"a covariance of shape {list(covariance.shape)}",
            "a number, a vector of variances or a square matrix",
        )
    if covariance.ndim < 2:
        if np.any(covariance < 0):
            raise DriftaxError(asked, f"a variance of {covariance.min():g}", "variances of 0 or more")
        return
    asymmetry = float(np.max(np.abs(covariance - covariance.T)))
    size = max(float(np.max(np.abs(covariance))), 1e-300)
    if asymmetry > 1e-9 * size:
        raise DriftaxError(
            asked,
            f"a covariance that is not symmetric: it differs from its transpose by {asymmetry:g}",
            f"the symmetric part: covariance = {(0.5 * (covariance + covariance.T)).tolist()}",
        )
    smallest = float(np.linalg.eigvalsh(covariance).min())
    if smallest < -1e-10 * size:
        raise DriftaxError(
            asked,
            f"a covariance that is not positive semidefinite: its smallest eigenvalue is {smallest:g}",
            "a covariance A A^T of some matrix A: every variance at least 0, every correlation within [-1, 1]",
        )
