from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.noise._base import AbstractContinuousNoise
from driftax.noise.gaussian import GaussianNoise
from driftax.noise.rule import CoordinateRule
from driftax.objective import AbstractObjective, FiniteSum
from driftax.regime import Regime

_LABEL = "label"
_AFFINE = 1e-9  # of a gradient's slope in the label: what its curvature may be


class LabelNoise(AbstractContinuousNoise):
    r"""Fresh Gaussian noise on every label of a finite sum at every step of the full batch.

    Where the gradient of an example is affine in its label, as for squared loss, the gradient noise is Gaussian
    with covariance `variance / n^2 sum_i J_i J_i^T`, J_i the derivative of the gradient of example i in its label.

    Source: re-derived.

    Args:
        variance: of the noise on one label, at rung 1.

    Raises:
        DriftaxError: for a negative variance; `check` refuses losses that are not quadratic in the label.
    """

    variance: Scalar

    def __init__(self, variance: float | int):
        if not (np.isfinite(variance) and variance >= 0):
            raise DriftaxError("label noise", f"variance = {variance}", "variance = a number of 0 or more")
        self.variance = variance

    @property
    def independent(self) -> bool:
        return False

    @property
    def gaussian(self) -> bool:
        return True

    @property
    def constant(self) -> bool:
        return False

    def at(self, scale: Scalar, regime: Regime) -> LabelNoise:
        if regime is Regime.BALLISTIC:
            return self
        return eqx.tree_at(lambda law: law.variance, self, self.variance / scale)

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        finite = _labelled(objective)
        elsewhere = params + jnp.linspace(
            0.5, 1.0, params.shape[0]
        )  # at 0 a logistic loss may look quadratic
        for at in (params, elsewhere):
            slope = jax.vmap(lambda example, at=at: _slope(finite, at, example))(finite.examples)
            curvature = jax.vmap(lambda example, at=at: _curvature(finite, at, example))(finite.examples)
            found, size = float(jnp.max(jnp.abs(curvature))), float(jnp.max(jnp.abs(slope)))
            if found > _AFFINE * size:
                raise DriftaxError(
                    "label noise",
                    f"a loss that is not quadratic in the label: the second derivative of a gradient in it is "
                    f"{found:.2g}, so noise on labels moves the mean gradient and is not Gaussian",
                    'a squared loss ([objective] data = "diabetes", model = "linear"), or another gradient law',
                )

    def _gaussian(self, objective: AbstractObjective) -> GaussianNoise:
        finite = _labelled(objective)

        def covariance(params: Vector) -> Float[Array, "dim dim"]:
            slopes = jax.vmap(lambda example: _slope(finite, params, example))(finite.examples)
            return self.variance / finite.size**2 * (slopes.T @ slopes)

        return GaussianNoise(covariance, independent=False)

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self._gaussian(objective).covariance(objective, params)

    def correlation(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self._gaussian(objective).correlation(objective, params)

    def root(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self._gaussian(objective).root(objective, params)

    def noise(self, objective: AbstractObjective, params: Vector, normals: Vector) -> Vector:
        return self._gaussian(objective).noise(objective, params, normals)

    def image(self, objective: AbstractObjective, params: Vector, score: Vector) -> Vector:
        return self._gaussian(objective).image(objective, params, score)

    def score(self, objective: AbstractObjective, params: Vector, noise: Vector) -> Vector:
        return self._gaussian(objective).score(objective, params, noise)

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        return self._gaussian(objective).rule(objective, params, nodes)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array | None:
        return self._gaussian(objective).gram(objective, params, nodes)


def _with_label(objective: FiniteSum, params: Vector, example, label: Scalar) -> Vector:
    return jax.grad(objective.example_loss)(params, {**example, _LABEL: label})


def _slope(objective: FiniteSum, params: Vector, example) -> Vector:
    """The derivative of an example's gradient in its label."""
    return jax.jacfwd(lambda label: _with_label(objective, params, example, label))(example[_LABEL])


def _curvature(objective: FiniteSum, params: Vector, example) -> Vector:
    slope = jax.jacfwd(lambda label: _with_label(objective, params, example, label))
    return jax.jacfwd(slope)(example[_LABEL])


def _labelled(objective: AbstractObjective) -> FiniteSum:
    examples = objective.examples if isinstance(objective, FiniteSum) else None
    if not isinstance(objective, FiniteSum) or not isinstance(examples, dict) or _LABEL not in examples:
        what = "no `label` in its examples" if isinstance(objective, FiniteSum) else "no sum over examples"
        raise DriftaxError(
            "label noise",
            f"the objective {type(objective).__name__} with {what}",
            'a FiniteSum whose examples are a dict with a real number "label" each',
        )
    return objective
