from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise._base import (
    FROZEN,
    AbstractDraws,
    AbstractSampledNoise,
    batch_weights,
    checked_batch,
    whole_batch,
)
from driftax.noise.moments import TINY, PairMoments, Shape, moment_gram, moment_rule, shape_of_moments
from driftax.noise.rule import CoordinateRule, JointRule
from driftax.objective import AbstractObjective, Quadratic

_LONGEST = 64  # examples of a frozen batch


class LinearRegressionNoise(AbstractSampledNoise):
    r"""One pass over fresh data: least squares with inputs `x ~ N(0, H)` and labels `x . minimum + e`.

    The objective is `Quadratic(H, minimum)`, half the mean squared error but for a constant, and the stochastic
    gradient the mean of `x (x . d - e)`, d = params - minimum, over `batch_size` fresh examples. Its covariance
    `((H d)(H d)^T + (d . H d + label_variance) H) / batch_size` moves with the params.

    A product of correlated normals has the cumulant function `-1/2 log((1 - t.c)^2 - b t.H t)` with `c = H d` and
    `b = d . H d + label_variance`, which gives all cumulants in closed form.

    Source: re-derived.

    Args:
        label_variance: of e, 0 or more.
        batch_size: fresh examples per step, at rung 1.

    Raises:
        DriftaxError: for a negative variance or a batch of less than 1.
    """

    label_variance: Scalar
    batch_size: Scalar

    def __init__(self, label_variance: float | int, batch_size: int = 1):
        asked = "the gradient law of linear regression"
        checked_batch(asked, batch_size)
        if not (np.isfinite(label_variance) and label_variance >= 0):
            raise DriftaxError(
                asked, f"label_variance = {label_variance}", "label_variance = a number of 0 or more"
            )
        self.label_variance, self.batch_size = label_variance, batch_size

    @property
    def constant(self) -> bool:
        return False

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        lowest = float(np.linalg.eigvalsh(np.asarray(_quadratic(objective).hessian)).min())
        if lowest < 0:
            raise DriftaxError(
                "the gradient law of linear regression",
                f"a hessian with the eigenvalue {lowest:g}, which is no covariance of inputs",
                "a positive semidefinite hessian",
            )

    def _parts(self, objective: AbstractObjective, params: Vector):
        """H, c = H d and b = E (x . d - e)^2."""
        quadratic = _quadratic(objective)
        apart = params - quadratic.minimum
        response = quadratic.hessian @ apart
        return quadratic.hessian, response, apart @ response + self.label_variance

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        hessian, c, b = self._parts(objective, params)
        return (jnp.outer(c, c) + b * hessian) / self.batch_size

    def _standard(self, objective: AbstractObjective, params: Vector):
        """Variances, and H and c in units of the standard deviations."""
        hessian, c, b = self._parts(objective, params)
        second = (c**2 + b * jnp.diagonal(hessian)) / self.batch_size
        deviation = jnp.sqrt(second + TINY)
        return second, hessian / (deviation[:, None] * deviation[None, :]), c / deviation, b

    def _shape(self, objective: AbstractObjective, params: Vector) -> Shape:
        second, hessian, c, b = self._standard(objective, params)
        product = jnp.diagonal(hessian) * b
        third = (2 * c**3 + 6 * c * product) / self.batch_size**2
        fourth = 6 * (c**4 + 6 * c**2 * product + product**2) / self.batch_size**3
        return shape_of_moments(second, third, 3 + fourth)

    def _pairs(self, objective: AbstractObjective, params: Vector) -> PairMoments:
        _, hessian, c, b = self._standard(objective, params)
        own, batch = jnp.diagonal(hessian), self.batch_size
        both, square = jnp.outer(c, c), jnp.outer(own, c**2)
        m11 = (both + b * hessian) / batch
        k12 = 2 * jnp.outer(c, c**2) + 2 * b * (jnp.outer(c, own) + 2 * hessian * c[None, :])
        k22 = 6 * both**2 + 6 * b * (square + square.T + 4 * both * hessian)
        k22 = k22 + 2 * b**2 * (jnp.outer(own, own) + 2 * hessian**2)
        variance = jnp.diagonal(m11)
        m22 = k22 / batch**3 + jnp.outer(variance, variance) + 2 * m11**2
        return PairMoments(m11, k12 / batch**2, m22)

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        return moment_rule(self._shape(objective, params), nodes)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array:
        return moment_gram(self._shape(objective, params), self._pairs(objective, params), nodes)

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        """Frozen examples, the same ones at all params."""
        hessian, response, _ = self._parts(objective, params)
        weights = batch_weights(self.batch_size, _LONGEST)
        inputs, labels = jax.random.split(jax.random.key(0))
        x = jax.random.normal(inputs, (FROZEN, _LONGEST, len(hessian)), params.dtype) @ _root(hessian).T
        e = jnp.sqrt(self.label_variance) * jax.random.normal(labels, (FROZEN, _LONGEST), params.dtype)
        error = x @ (params - _quadratic(objective).minimum) - e
        noise = jnp.einsum("b,qb,qbi->qi", weights.astype(params.dtype), error, x) - response[None]
        longer = jnp.maximum(self.batch_size / _LONGEST, 1.0)  # a longer batch: its own covariance
        return JointRule(noise / jnp.sqrt(longer), jnp.full(FROZEN, 1 / FROZEN, params.dtype), None, 0)

    def draws(self, objective: AbstractObjective) -> DesignDraws:
        root = _root(_quadratic(objective).hessian)
        return DesignDraws(
            root, jnp.sqrt(jnp.asarray(self.label_variance, float)), whole_batch(self.batch_size)
        )

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Design) -> Vector:
        return draw.second @ (params - _quadratic(objective).minimum) - draw.response

    def gradients(self, objective: AbstractObjective, params: Vector) -> Callable[[Design], Vector]:
        return lambda draw: self.gradient(objective, params, draw)


class Design(NamedTuple):
    """What a step needs of its examples: the means of `x x^T` and of `x e`."""

    second: Float[Array, "*shape dim dim member"] | Float[Array, "dim dim"]
    response: Float[Array, "*shape dim member"] | Float[Array, " dim"]


class DesignDraws(AbstractDraws):
    """Fresh inputs and label noises."""

    root: Float[Array, "dim dim"]
    label_deviation: Float[Array, ""]
    batch_size: int = eqx.field(static=True)

    def draw(self, key: Key, shape: tuple[int, ...], members: int, dtype: Any) -> Design:
        inputs, labels = jax.random.split(key)
        dim, batch = len(self.root), self.batch_size
        normals = jax.random.normal(inputs, (*shape, batch, dim, members), dtype)
        x = jnp.einsum("ij,...bjm->...bim", self.root.astype(dtype), normals)
        e = self.label_deviation.astype(dtype) * jax.random.normal(labels, (*shape, batch, members), dtype)
        second = jnp.einsum("...bim,...bjm->...ijm", x, x) / batch
        return Design(second, jnp.einsum("...bim,...bm->...im", x, e) / batch)


def _root(hessian: Float[Array, "dim dim"]) -> Float[Array, "dim dim"]:
    values, vectors = jnp.linalg.eigh(hessian)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]


def _quadratic(objective: AbstractObjective) -> Quadratic:
    if not isinstance(objective, Quadratic):
        raise DriftaxError(
            "the gradient law of linear regression",
            f"the objective {type(objective).__name__}, which is not a mean squared error",
            "Quadratic(hessian, minimum), whose hessian is the covariance of the inputs",
        )
    return objective
