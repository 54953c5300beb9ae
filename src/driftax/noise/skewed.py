from __future__ import annotations

import math

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.noise.scaled import AbstractScaledNoise, checked_scale, rule_in_scores

_CERTAIN = 40.0  # the normal score of what the law never reaches
_LARGEST = 5.0


class SkewedNoise(AbstractScaledNoise):
    r"""Skewed noise of given variance: independent coordinates, each a shifted lognormal of mean 0.

    `z = scale (exp(tau n - tau^2/2) - 1) / sqrt(exp(tau^2) - 1)` for a standard normal n, reflected for a negative
    skewness. All moments are finite; with `w = exp(tau^2)` the skewness is `(w + 2) sqrt(w - 1)` and the kurtosis
    `w^4 + 2 w^3 + 3 w^2 - 3`.

    Source: textbook moments of the lognormal law (re-derived).

    Args:
        variance: of every coordinate, at rung 1: a number or a vector [dim].
        skewness: third moment over deviation^3, of every coordinate, from -5 to 5.

    Raises:
        DriftaxError: for a negative variance, or a skewness that is 0 or too large.

    Example:
        >>> round(SkewedNoise(0.25, skewness=1.0).shape_moments[2], 3)
        4.829
    """

    scale: Float[Array, "..."]
    _skewness: float = eqx.field(static=True)

    def __init__(self, variance, skewness: float | int):
        asked = "a skewed gradient law"
        self.scale = jnp.sqrt(checked_scale(asked, "variance", variance))
        if not (np.ndim(skewness) == 0 and 1e-3 <= abs(float(skewness)) <= _LARGEST):
            small = np.ndim(skewness) == 0 and abs(float(skewness)) < 1e-3
            instead = "GaussianNoise" if small else f"skewness = a number from -{_LARGEST:g} to {_LARGEST:g}"
            raise DriftaxError(asked, f"skewness = {skewness}", instead)
        self._skewness = float(skewness)

    @property
    def _excess(self) -> float:
        """`exp(tau^2) - 1`, the root of `(x + 3)^2 x = skewness^2`."""
        square = self._skewness**2
        root = square / 9
        for _ in range(60):  # Newton from above: the cubic is convex and increasing
            root -= ((root + 3) ** 2 * root - square) / ((root + 3) * (3 * root + 3))
        return root

    @property
    def _tau(self) -> float:
        return math.sqrt(math.log1p(self._excess))

    def fine_rule(self, nodes: int) -> tuple[Array, Array]:
        return rule_in_scores(self, nodes)

    @property
    def shape_moments(self) -> tuple[float, float, float]:
        w = 1 + self._excess
        return 1.0, self._skewness, w**4 + 2 * w**3 + 3 * w**2 - 3

    @property
    def reach(self) -> tuple[float, float]:
        return 6.0 + 4 * self._tau, 8.5 + 8 * self._tau

    @property
    def longest(self) -> float:
        return 8.0

    def standard(self, score: Vector) -> Vector:
        sign, tau = math.copysign(1.0, self._skewness), self._tau
        return sign * jnp.expm1(tau * sign * score - 0.5 * tau**2) / math.sqrt(self._excess)

    def standard_score(self, standard: Vector) -> Vector:
        sign, tau = math.copysign(1.0, self._skewness), self._tau
        inside = sign * standard * math.sqrt(self._excess)
        some = inside > math.exp(-_CERTAIN * tau - 0.5 * tau**2) - 1
        score = (jnp.log1p(jnp.where(some, inside, 0.0)) + 0.5 * tau**2) / tau
        return sign * jnp.where(some, score, -_CERTAIN)
