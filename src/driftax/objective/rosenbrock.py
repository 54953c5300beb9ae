from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.objective._base import AbstractObjective


class Rosenbrock(AbstractObjective):
    r"""The chained Rosenbrock loss `sum_i (1 - x_i)^2 + b (x_{i+1} - x_i^2)^2`.

    Args:
        dim: number of parameters, at least 2.
        steepness: the factor b of the curved valley.

    Raises:
        DriftaxError: if `dim` is below 2.
    """

    _dim: int = eqx.field(static=True)
    steepness: Scalar

    def __init__(self, dim: int = 2, steepness: float = 100.0):
        if dim < 2:
            raise DriftaxError("`Rosenbrock(dim)`", f"dim = {dim}", "dim = 2 or more")
        self._dim, self.steepness = dim, steepness

    @property
    def dim(self) -> int:
        return self._dim

    def loss(self, params: Vector) -> Float[Array, ""]:
        left, right = params[:-1], params[1:]
        return jnp.sum((1 - left) ** 2 + self.steepness * (right - left**2) ** 2)

    def gradient(self, params: Vector) -> Vector:
        return jax.grad(self.loss)(params)
