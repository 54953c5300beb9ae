from __future__ import annotations

import math
from functools import lru_cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import betainc, erfinv, ndtri

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.noise.scaled import AbstractScaledNoise, checked_scale, rule_in_scores
from driftax.noise.transport import Table, inverse, table, with_slope

_FURTHEST = 1e100  # a noise of scale 1 beyond which nothing is looked at
_REACH = (10.0, 20.0)


class StudentT(AbstractScaledNoise):
    r"""Heavy tails: independent coordinates `scale_i * t`, t of Student's law with `dof` degrees of freedom.

    Moments below the order `dof` exist: no covariance for dof up to 2 (Cauchy's law is dof = 1), where only
    optimizers whose steps are bounded have an equation.

    The map of normal scores is looked up in `u = sign(t) sqrt(dof log(1 + t^2 / dof))`, of which it is nearly
    the identity for every dof.

    Source: compagnoni2025, Corollary 3.4 (the gradient model); wallace1959 (the variable u).

    Args:
        scale: of every coordinate, at rung 1: a number or a vector [dim]. It is not the standard deviation,
            which is `scale * sqrt(dof / (dof - 2))`.
        dof: degrees of freedom, from 0.1 to 10000.

    Raises:
        DriftaxError: for a negative scale, or degrees of freedom out of range.

    Example:
        >>> StudentT(0.5, dof=4.0).dof
        4.0
    """

    scale: Float[Array, "..."]
    _dof: float = eqx.field(static=True)
    _tables: tuple[Table, Table]

    def __init__(self, scale, dof: float | int):
        if not (np.ndim(dof) == 0 and 0.1 <= float(dof) <= 1e4):
            large = np.ndim(dof) == 0 and float(dof) > 1e4
            instead = (
                "GaussianNoise, of which it is the limit" if large else "dof = a number from 0.1 to 10000"
            )
            raise DriftaxError("a Student-t gradient law", f"dof = {dof}", instead)
        self.scale = checked_scale("a Student-t gradient law", "scale", scale)
        self._dof = float(dof)
        self._tables = _tables(self._dof)

    @property
    def dof(self) -> float:
        return self._dof

    def fine_rule(self, nodes: int) -> tuple[Array, Array]:
        return rule_in_scores(self, nodes)

    @property
    def shape_moments(self) -> tuple[float, float, float]:
        dof = self._dof
        variance = dof / (dof - 2) if dof > 2 else math.inf
        kurtosis = 3 + 6 / (dof - 4) if dof > 4 else math.inf
        return variance, 0.0, kurtosis

    @property
    def reach(self) -> tuple[float, float]:
        coarse, fine = _REACH
        end = self._tables[0].high
        return min(coarse, end), min(fine, end)

    @property
    def longest(self) -> float:
        return 5.0

    def standard(self, score: Vector) -> Vector:
        return with_slope(_quantile, _quantile_slope, (self._tables[0], self._dof), score)

    def standard_score(self, standard: Vector) -> Vector:
        return with_slope(_score, _score_slope, (self._tables[1], self._dof), standard)


def _quantile(data, score: Vector) -> Vector:
    lookup, dof = data
    u = lookup(jnp.abs(score))
    return jnp.sign(score) * jnp.sqrt(dof * jnp.expm1(u**2 / dof))


def _quantile_slope(data, score: Vector, standard: Vector) -> Vector:
    return jnp.exp(-0.5 * score**2 - _log_density(data[1], standard) - 0.5 * math.log(2 * math.pi))


def _score(data, standard: Vector) -> Vector:
    lookup, dof = data
    standard = jnp.clip(standard, -_FURTHEST, _FURTHEST)
    return jnp.sign(standard) * lookup(jnp.sqrt(dof * jnp.log1p(standard**2 / dof)))


def _score_slope(data, standard: Vector, score: Vector) -> Vector:
    return jnp.exp(0.5 * score**2 + _log_density(data[1], standard) + 0.5 * math.log(2 * math.pi))


def _log_density(dof: float, standard: Vector) -> Vector:
    gamma = jax.scipy.special.gammaln
    constant = gamma((dof + 1) / 2) - gamma(dof / 2) - 0.5 * jnp.log(dof * math.pi)
    return constant - 0.5 * (dof + 1) * jnp.log1p(standard**2 / dof)


@lru_cache(maxsize=64)
def _tables(dof: float) -> tuple[Table, Table]:
    """The map from normal scores to u and back, both for values of 0 or more."""
    furthest = math.sqrt(dof * 2 * math.log(_FURTHEST / math.sqrt(dof)))
    end = min(furthest, 24.0)
    highest = float(_score_of_u(np.asarray([end]), dof)[0])
    forward = table(lambda n: inverse(lambda u: _score_of_u(u, dof), n, 0.0, end), 0.0, highest)
    backward = table(lambda u: _score_of_u(u, dof), 0.0, end)
    assert forward is not None and backward is not None  # nearly the identity
    return forward, backward


def _score_of_u(u: np.ndarray, dof: float) -> np.ndarray:
    """The normal score of the same tail: by the tail itself where it is small, by the body elsewhere."""
    near = -np.expm1(-(u**2) / dof)
    body = betainc(0.5, dof / 2, near)
    tail = 0.5 * betainc(dof / 2, 0.5, np.exp(-(u**2) / dof))
    return np.where(body < 0.5, math.sqrt(2) * erfinv(np.minimum(body, 0.9)), -ndtri(tail))
