from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.objective._base import AbstractObjective


class Quadratic(AbstractObjective):
    r"""The quadratic loss `1/2 (x - x*)^T H (x - x*)`, in any dimension.

    Args:
        hessian: the symmetric matrix H, shape [dim, dim].
        minimum: the point x*, shape [dim]; the origin if left out.

    Raises:
        DriftaxError: if `hessian` is not a finite symmetric matrix, or `minimum` has another length.

    Example:
        >>> import jax.numpy as jnp
        >>> objective = Quadratic(jnp.array([[1.0, 0.5], [0.5, 1.0]]))
        >>> float(objective.loss(jnp.array([1.0, -1.0])))
        0.5
    """

    hessian: Float[Array, "dim dim"]
    minimum: Float[Array, " dim"]

    def __init__(self, hessian, minimum=None):
        hessian = np.asarray(hessian, dtype=float)
        if hessian.ndim != 2 or hessian.shape[0] != hessian.shape[1]:
            raise DriftaxError(
                "`Quadratic(hessian)`",
                f"a hessian of shape {list(hessian.shape)}",
                "a square matrix, one row per parameter: hessian = [[1.0, 0.5], [0.5, 1.0]]",
            )
        if not np.all(np.isfinite(hessian)):
            raise DriftaxError(
                "`Quadratic(hessian)`", "a hessian that is not finite", "finite numbers in every entry"
            )
        asymmetry = float(np.max(np.abs(hessian - hessian.T)))
        if asymmetry > 1e-12 * max(1.0, float(np.max(np.abs(hessian)))):
            raise DriftaxError(
                "`Quadratic(hessian)`",
                f"a hessian that is not symmetric: it differs from its transpose by {asymmetry:g}",
                f"the symmetric part: hessian = {(0.5 * (hessian + hessian.T)).tolist()}",
            )
        minimum = np.zeros(len(hessian)) if minimum is None else np.asarray(minimum, dtype=float)
        if minimum.shape != (len(hessian),):
            raise DriftaxError(
                "`Quadratic(hessian, minimum)`",
                f"a minimum of shape {list(minimum.shape)} for a hessian of shape {list(hessian.shape)}",
                f"a minimum with {len(hessian)} entries",
            )
        self.hessian = jnp.asarray(hessian)
        self.minimum = jnp.asarray(minimum)

    @property
    def dim(self) -> int:
        return self.hessian.shape[0]

    def loss(self, params: Vector) -> Float[Array, ""]:
        offset = params - self.minimum
        return 0.5 * offset @ (self.hessian @ offset)

    def gradient(self, params: Vector) -> Vector:
        return self.hessian @ (params - self.minimum)
