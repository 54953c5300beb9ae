from __future__ import annotations

import abc

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.noise._base import AbstractContinuousNoise
from driftax.noise.rule import CoordinateRule, matching_rule, piecewise_normal
from driftax.objective import AbstractObjective
from driftax.regime import Regime

_TINY = 1e-100


class AbstractScaledNoise(AbstractContinuousNoise):
    """Independent coordinates `scale_i * standard(n_i)` of one shape, the image of standard normals n_i.

    Source: re-derived.
    """

    scale: eqx.AbstractVar[Float[Array, "..."]]

    @abc.abstractmethod
    def standard(self, score: Vector) -> Vector:
        """The noise of scale 1 at its normal score."""

    @abc.abstractmethod
    def standard_score(self, standard: Vector) -> Vector:
        """The normal score of the noise of scale 1."""

    @abc.abstractmethod
    def fine_rule(self, nodes: int) -> tuple[Array, Array]:
        """Nodes of the noise of scale 1 and weights, for smooth functions; `nodes` is a measure of effort."""

    @property
    @abc.abstractmethod
    def shape_moments(self) -> tuple[float, float, float]:
        """Variance, skewness and kurtosis of the noise of scale 1; infinite where they do not exist."""

    @property
    def independent(self) -> bool:
        return True

    @property
    def gaussian(self) -> bool:
        return False

    @property
    def constant(self) -> bool:
        return True

    @property
    def complete(self) -> bool:
        return False

    def at(self, scale: Scalar, regime: Regime) -> AbstractScaledNoise:
        if regime is Regime.BALLISTIC:
            return self
        return eqx.tree_at(lambda law: law.scale, self, self.scale / jnp.sqrt(scale))

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        if self.scale.ndim and self.scale.shape != params.shape:
            raise DriftaxError(
                f"a gradient law {type(self).__name__}",
                f"{self.scale.shape[0]} scales for {params.shape[0]} params",
                f"a number, or {params.shape[0]} of them",
            )

    def _scales(self, params: Vector) -> Vector:
        return jnp.broadcast_to(self.scale, params.shape).astype(params.dtype)

    def noise(self, objective: AbstractObjective, params: Vector, normals: Vector) -> Vector:
        return self._scales(params) * self.standard(normals)

    def image(self, objective: AbstractObjective, params: Vector, score: Vector) -> Vector:
        return self._scales(params) * self.standard(score)

    def score(self, objective: AbstractObjective, params: Vector, noise: Vector) -> Vector:
        return self.standard_score(noise / jnp.maximum(self._scales(params), _TINY))

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, " dim"]:
        variance, _, _ = self.shape_moments
        if not np.isfinite(variance):
            raise DriftaxError(
                f"the covariance of {type(self).__name__}",
                f"{self.dof:g} degrees of freedom, with which it is infinite",
                "dof above 2, or an optimizer whose steps are bounded, such as SignSGD",
            )
        return variance * self._scales(params) ** 2

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        """Three nodes match the moments to order 4; a finer rule has the normal score as its one channel."""
        variance, skewness, kurtosis = self.shape_moments
        if nodes <= 3 and np.isfinite(kurtosis):
            whole = jnp.ones_like(params)
            return matching_rule(np.sqrt(variance) * self._scales(params), skewness * whole, kurtosis * whole)
        standard, weights = self.fine_rule(nodes)
        score = self.standard_score(standard)
        score = score - weights @ score
        score = score / jnp.sqrt(weights @ score**2)  # of unit variance under the rule itself

        def everywhere(row):
            return jnp.broadcast_to(row[:, None], (len(row), len(params)))

        return CoordinateRule(
            standard[:, None] * self._scales(params)[None, :],
            everywhere(weights),
            everywhere(score)[None],
            complete=False,
        )

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> None:
        return None


def rule_in_scores(law: AbstractScaledNoise, nodes: int) -> tuple[Array, Array]:
    """The fine rule of a law whose image is smooth: Gauss-Legendre in the normal score."""
    fine = nodes > 5
    score, weights = piecewise_normal(
        jnp.zeros((0, 1)), law.reach[1 if fine else 0], 40 if fine else 20, law.longest
    )
    return law.standard(score[:, 0]), weights[:, 0]


def checked_scale(what: str, name: str, scale) -> Float[Array, "..."]:
    """A scale of 0 or more per coordinate, or one for all."""
    scale = np.asarray(scale, dtype=float)
    if scale.ndim > 1 or not np.all(np.isfinite(scale)) or np.any(scale < 0):
        raise DriftaxError(
            what,
            f"{name} = {scale.tolist()}",
            f"{name} = a number of 0 or more, or a list with one per coordinate",
        )
    return jnp.asarray(scale)
