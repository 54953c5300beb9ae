"""The gradient law of SVAG: two independent draws, so combined that the noise grows and the mean does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise._base import AbstractDraws, AbstractGradientNoise, AbstractSampledNoise
from driftax.noise.moments import PairMoments, Shape, moment_gram, moment_rule
from driftax.noise.picks import AbstractPickedNoise
from driftax.noise.rule import CoordinateRule, JointRule
from driftax.objective import AbstractObjective
from driftax.regime import Regime


class TwiceDrawn(AbstractSampledNoise):
    """`r_1 g_1 + r_2 g_2` of two independent draws, `r = (1 +- sqrt(2 a - 1)) / 2`: the covariance times a.

    In the batch-equivalent regime it is a that grows as the time step falls, where other laws shrink their batch. So
    the ladder of SGD, RMSprop or Adam with this law is SVAG, which any batch allows; it keeps more of the law's shape.

    Source: li2021 (SVAG); malladi2022 (RMSprop and Adam); the cumulants are re-derived.

    Args:
        law: minibatches, or recorded gradients.
        growth: a, 1 at rung 1.

    Raises:
        DriftaxError: for another law.
    """

    law: AbstractPickedNoise
    batch_size: Scalar
    growth: Scalar

    def __init__(self, law: AbstractGradientNoise, growth: Scalar = 1.0):
        if not isinstance(law, AbstractPickedNoise):
            raise DriftaxError(
                "the two draws of SVAG", f"{type(law).__name__}", "minibatches or recorded gradients"
            )
        self.law, self.batch_size, self.growth = law, law.batch_size, growth

    @property
    def constant(self) -> bool:
        return self.law.constant

    @property
    def shares(self) -> tuple[Scalar, Scalar]:
        """r_1 and r_2."""
        spread = jnp.sqrt(2 * self.growth - 1)
        return 0.5 * (1 + spread), 0.5 * (1 - spread)

    def _sum(self, power: int) -> Scalar:
        """`r_1^n + r_2^n`, the factor on the n-th cumulant."""
        first, second = self.shares
        return first**power + second**power

    def at(self, scale: Scalar, regime: Regime) -> TwiceDrawn:
        return self if regime is Regime.BALLISTIC else TwiceDrawn(self.law, self.growth / scale)

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        self.law.check(objective, params)

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self._sum(2) * self.law.covariance(objective, params)

    def _shape(self, shape: Shape) -> Shape:
        second = self._sum(2)
        skewness = self._sum(3) / second**1.5 * shape.skewness
        return Shape(
            jnp.sqrt(second) * shape.deviation,
            skewness,
            3 + self._sum(4) / second**2 * (shape.kurtosis - 3),
        )

    def _pairs(self, pairs: PairMoments) -> PairMoments:
        """Third moments grow like third cumulants; of fourth moments the part that is no product of variances."""
        second, variance = self._sum(2), jnp.diagonal(pairs.m11)
        gaussian = variance[:, None] * variance[None, :] + 2 * pairs.m11**2
        m22 = gaussian + self._sum(4) / second**2 * (pairs.m22 - gaussian)
        return PairMoments(pairs.m11, self._sum(3) / second**1.5 * pairs.m12, m22)

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        return moment_rule(self._shape(self.law.picks(objective, params).shape), nodes)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array:
        picks = self.law.picks(objective, params)
        return moment_gram(self._shape(picks.shape), self._pairs(picks.pairs), nodes)

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        """Frozen pairs of draws, the same ones at all params."""
        rule = self.law.joint(objective, params, nodes)
        first, second = self.shares
        return rule._replace(nodes=first * rule.nodes + second * jnp.roll(rule.nodes, 1, axis=0))

    def draws(self, objective: AbstractObjective) -> PairDraws:
        return PairDraws(self.law.draws(objective))

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Any) -> Vector:
        one, two = (self.law.gradient(objective, params, each) for each in draw)
        return self.shares[0] * one + self.shares[1] * two

    def gradients(self, objective: AbstractObjective, params: Vector) -> Callable[[Any], Vector]:
        single, (first, second) = self.law.gradients(objective, params), self.shares
        return lambda draw: first * single(draw[0]) + second * single(draw[1])


class PairDraws(AbstractDraws):
    """Two independent draws of a law."""

    single: AbstractDraws

    def draw(self, key: Key, shape: tuple[int, ...], members: int, dtype: Any) -> Any:
        return tuple(self.single.draw(k, shape, members, dtype) for k in jax.random.split(key))
