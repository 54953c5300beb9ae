from __future__ import annotations

import math
from functools import lru_cache

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, ndtr, ndtri
from jaxtyping import Array, Float
from scipy import special

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.noise.rule import gauss_hermite
from driftax.noise.scaled import AbstractScaledNoise, checked_scale
from driftax.noise.transport import Table, inverse, table, with_slope

_REACH = (7.0, 10.0)
_SHORTEST = 1 / 16  # pieces in normal scores
_CLOSE = 1e-8  # error of the moments by quadrature


class GaussianMixture(AbstractScaledNoise):
    r"""A mixture of Gaussians, centred: independent coordinates `scale_i * (y - E y)` of one law of y.

    The contaminated normal law is `weights = (0.95, 0.05), deviations = (1, 5)`: mostly small noise, at times
    large.

    Source: textbook moments of a mixture (re-derived).

    Args:
        weights: of the components, above 0; scaled to sum to 1.
        means: of the components; None for 0.
        deviations: of the components, above 0.
        scale: a number or a vector [dim], at rung 1.

    Raises:
        DriftaxError: for numbers out of range, or components so far apart that the law falls into clusters.

    Example:
        >>> contaminated = GaussianMixture((0.95, 0.05), None, (1.0, 5.0))
        >>> round(contaminated.shape_moments[0], 6)
        2.2
    """

    scale: Float[Array, "..."]
    _components: tuple[tuple[float, ...], ...] = eqx.field(static=True)  # weights, means, deviations
    _table: Table
    _longest: float = eqx.field(static=True)

    def __init__(self, weights, means, deviations, scale=1.0):
        self._components = _components(weights, means, deviations)
        self.scale = checked_scale(_ASKED, "scale", scale)
        self._table, self._longest = _table(self._components)

    def fine_rule(self, nodes: int) -> tuple[Array, Array]:
        """Gauss-Hermite nodes of every component."""
        normals, weights, _ = gauss_hermite(nodes)
        parts = [(m + d * normals, w * weights) for w, m, d in zip(*self._components, strict=True)]
        standard, mass = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        return jnp.asarray(standard), jnp.asarray(mass)

    @property
    def shape_moments(self) -> tuple[float, float, float]:
        return _moments(self._components)

    @property
    def reach(self) -> tuple[float, float]:
        return _REACH

    @property
    def longest(self) -> float:
        return self._longest

    def standard(self, score: Vector) -> Vector:
        return with_slope(_quantile, _quantile_slope, (self._table, self._components), score)

    def standard_score(self, standard: Vector) -> Vector:
        return with_slope(_score, _score_slope, self._components, standard)


_ASKED = "a mixture of Gaussians as gradient law"


def _components(weights, means, deviations) -> tuple[tuple[float, ...], ...]:
    weights, deviations = np.asarray(weights, dtype=float), np.asarray(deviations, dtype=float)
    means = np.zeros_like(weights) if means is None else np.asarray(means, dtype=float)
    if weights.ndim != 1 or not weights.shape == means.shape == deviations.shape:
        raise DriftaxError(
            _ASKED,
            f"{weights.size} weights, {means.size} means and {deviations.size} deviations",
            "lists of one length: weights = [0.95, 0.05], means = [0.0, 0.0], deviations = [1.0, 5.0]",
        )
    for name, values, positive in (
        ("weights", weights, True),
        ("means", means, False),
        ("deviations", deviations, True),
    ):
        if not np.all(np.isfinite(values)) or (positive and np.any(values <= 0)):
            raise DriftaxError(
                _ASKED,
                f"{name} = {values.tolist()}",
                f"{name} = finite numbers" + (" above 0" if positive else ""),
            )
    weights = weights / weights.sum()
    means = means - weights @ means
    return tuple(tuple(float(x) for x in row) for row in (weights, means, deviations))


def _moments(components: tuple[tuple[float, ...], ...]) -> tuple[float, float, float]:
    weights, means, deviations = np.asarray(components)
    variances = deviations**2
    second = weights @ (means**2 + variances)
    third = weights @ (means**3 + 3 * means * variances)
    fourth = weights @ (means**4 + 6 * means**2 * variances + 3 * variances**2)
    return float(second), float(third / second**1.5), float(fourth / second**2)


def _log_density(components, standard: Vector) -> Vector:
    """Without 1/sqrt(2 pi)."""
    terms = [jnp.log(w / d) - 0.5 * ((standard - m) / d) ** 2 for w, m, d in zip(*components, strict=True)]
    return logsumexp(jnp.stack(terms), axis=0)


def _quantile(data, score: Vector) -> Vector:
    return data[0](score)


def _quantile_slope(data, score: Vector, standard: Vector) -> Vector:
    return jnp.exp(-0.5 * score**2 - _log_density(data[1], standard))


def _score(components, standard: Vector) -> Vector:
    apart = [(w, (standard - m) / d) for w, m, d in zip(*components, strict=True)]
    lower = jnp.maximum(sum(w * ndtr(x) for w, x in apart), 1e-300)
    upper = jnp.maximum(sum(w * ndtr(-x) for w, x in apart), 1e-300)
    return jnp.where(lower < upper, ndtri(jnp.minimum(lower, 0.6)), -ndtri(jnp.minimum(upper, 0.6)))


def _score_slope(components, standard: Vector, score: Vector) -> Vector:
    return jnp.exp(0.5 * score**2 + _log_density(components, standard))


@lru_cache(maxsize=64)
def _table(components: tuple[tuple[float, ...], ...]) -> tuple[Table, float]:
    """The quantiles in the normal score, and the pieces on which they are resolved by one quadrature."""
    weights, means, deviations = (np.asarray(row) for row in components)

    def score(standard):
        apart = (standard[:, None] - means) / deviations
        lower, upper = special.ndtr(apart) @ weights, special.ndtr(-apart) @ weights
        return np.where(lower < upper, special.ndtri(lower), -special.ndtri(upper))

    reach = _REACH[1]
    low, high = np.min(means - 1.2 * reach * deviations), np.max(means + 1.2 * reach * deviations)
    found = table(lambda n: inverse(score, n, low, high), -reach, reach)
    longest = 4.0
    while found is not None and longest >= _SHORTEST:
        if _error(found, components, longest) < _CLOSE:
            return found, longest
        longest /= 2
    raise DriftaxError(
        _ASKED,
        f"components so far apart that hardly anything lies between them: means {means.tolist()} of deviations "
        f"{deviations.tolist()}",
        "components that overlap, or the same values as recorded gradients: EmpiricalNoise",
    )


def _error(found: Table, components, longest: float) -> float:
    """The error of moments 2 and 4 by the quadrature that simulations use."""
    points, weights = np.polynomial.legendre.leggauss(20)
    reach = _REACH[1]
    count = math.ceil(2 * reach / longest)
    ends = np.linspace(-reach, reach, count + 1)
    score = (0.5 * (ends[1:] + ends[:-1])[:, None] + 0.5 * np.diff(ends)[:, None] * points).reshape(-1)
    mass = (0.5 * np.diff(ends)[:, None] * weights).reshape(-1) * np.exp(-0.5 * score**2)
    standard = np.asarray(found(jnp.asarray(score)))
    second, fourth = (float(np.sum(mass * standard**p) / np.sum(mass)) for p in (2, 4))
    variance, _, kurtosis = _moments(components)
    return max(abs(second / variance - 1), abs(fourth / (kurtosis * variance**2) - 1))
