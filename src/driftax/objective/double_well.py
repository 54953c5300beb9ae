from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.objective._base import AbstractObjective
from driftax.objective._numbers import finite, positive


class DoubleWell(AbstractObjective):
    r"""Independent double wells `sum_i d ((x_i / w)^2 - 1)^2 + t x_i`, in any dimension.

    Without a tilt every coordinate has its minima at `+-w`, a barrier of height d between them at 0, and the
    curvatures `8 d / w^2` in a well and `-4 d / w^2` on the barrier. The default is `1/4 (x^2 - 1)^2`.

    Args:
        dim: number of parameters.
        depth: the height d of the barrier above the wells, before the tilt.
        width: the distance w of a well from the barrier, before the tilt.
        tilt: the slope t, which lowers the left well where it is above 0.

    Raises:
        DriftaxError: if `dim` is below 1, `depth` or `width` is not above 0, or the tilt leaves one well only:
            two of them need `|t| < 8 d / (3 sqrt(3) w)`.

    Example:
        >>> import jax.numpy as jnp
        >>> float(DoubleWell(dim=2).loss(jnp.array([0.0, 1.0])))
        0.25
    """

    _dim: int = eqx.field(static=True)
    depth: Scalar
    width: Scalar
    tilt: Scalar

    def __init__(self, dim: int = 1, depth: float = 0.25, width: float = 1.0, tilt: float = 0.0):
        if dim < 1:
            raise DriftaxError("`DoubleWell(dim)`", f"dim = {dim}", "dim = 1 or more")
        self._dim = dim
        self.depth = positive("`DoubleWell(depth)`", "depth", depth)
        self.width = positive("`DoubleWell(width)`", "width", width)
        self.tilt = finite("`DoubleWell(tilt)`", "tilt", tilt)
        limit = 8 * depth / (3 * math.sqrt(3.0) * width)
        if not abs(tilt) < limit:
            raise DriftaxError(
                "`DoubleWell(tilt)`",
                f"tilt = {tilt:g}, which leaves one well only",
                f"a tilt below {limit:.4g} in size: 8 depth / (3 sqrt(3) width)",
            )

    @property
    def dim(self) -> int:
        return self._dim

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.sum(self.depth * ((params / self.width) ** 2 - 1) ** 2 + self.tilt * params)

    def gradient(self, params: Vector) -> Vector:
        scaled = params / self.width
        return 4 * self.depth / self.width * scaled * (scaled**2 - 1) + self.tilt
