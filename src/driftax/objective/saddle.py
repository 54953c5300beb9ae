from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.objective._base import AbstractObjective
from driftax.objective._numbers import positive


class Saddle(AbstractObjective):
    r"""The embedded saddle `1/2 sum_i c_i x_i^2 + q/4 sum_{i: c_i < 0} x_i^4`, in any dimension from 2 on.

    The origin is a saddle with Hessian diag(c). The quartic confines the descending directions only: every
    one of them has its minima at `x_i = +-sqrt(-c_i / q)`, each `c_i^2 / (4 q)` below the saddle. The default
    is the saddle of the papers, `1/2 (x^2 - y^2) + 1/4 y^4`.

    Source: compagnoni2025, experiments (form unconfirmed).

    Args:
        curvatures: the eigenvalues c_i of the Hessian at the saddle, shape [dim]; of both signs, none of them 0.
        quartic: the factor q above 0.

    Raises:
        DriftaxError: if the curvatures are not finite, or no saddle, or `quartic` is not above 0.

    Example:
        >>> import jax.numpy as jnp
        >>> float(Saddle().loss(jnp.array([0.0, -1.0])))
        -0.25
    """

    curvatures: Float[Array, " dim"]
    quartic: Scalar

    def __init__(self, curvatures=(1.0, -1.0), quartic: float = 1.0):
        asked = "`Saddle(curvatures)`"
        curvatures = np.asarray(curvatures, dtype=float)
        if curvatures.ndim != 1:
            raise DriftaxError(
                asked,
                f"curvatures of shape {list(curvatures.shape)}",
                "a list of numbers, one per parameter: curvatures = [1.0, -1.0]",
            )
        if not np.all(np.isfinite(curvatures)):
            raise DriftaxError(asked, f"curvatures = {curvatures.tolist()}", "finite numbers in every entry")
        if np.any(curvatures == 0) or len(set(np.sign(curvatures))) < 2:
            raise DriftaxError(
                asked,
                f"curvatures = {curvatures.tolist()}, which is no saddle",
                "at least one number above 0 and one below, none of them 0: curvatures = [1.0, -1.0]",
            )
        self.curvatures = jnp.asarray(curvatures)
        self.quartic = positive("`Saddle(quartic)`", "quartic", quartic)

    @property
    def dim(self) -> int:
        return self.curvatures.shape[0]

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.sum(0.5 * self.curvatures * params**2 + 0.25 * self._confining * params**4)

    def gradient(self, params: Vector) -> Vector:
        return self.curvatures * params + self._confining * params**3

    @property
    def _confining(self) -> Vector:
        return jnp.where(self.curvatures < 0, self.quartic, 0.0)
