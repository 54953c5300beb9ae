"""SVAG as a runnable optimizer: smaller steps with amplified noise, whose curves coincide where an equation is valid.

With l and two independent stochastic gradients, `g = r_1 g_1 + r_2 g_2`:

    SGD             r = (1 +- sqrt(2 l - 1)) / 2,    learning_rate / l,  l times the steps
    RMSprop, Adam   r = (1 +- sqrt(2 l^2 - 1)) / 2,  learning_rate / l,  (1 - beta) / l^2,  l eps,  l^2 times the steps

Mean and, times `r_1^2 + r_2^2`, covariance are those of the batch-equivalent ladder at `1/l` or `1/l^2`, so for a
Gaussian law SVAG is that ladder; a minibatch law is drawn twice, and keeps more of its shape.

Source: li2021 (SVAG); malladi2022 (RMSprop and Adam).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn

import equinox as eqx
import jax
from jaxtyping import Array

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.chain import Chain
from driftax.noise import AbstractDraws, AbstractSampledNoise, GaussianNoise
from driftax.objective import AbstractObjective
from driftax.optimizer import SGD, Adam, RMSprop
from driftax.regime import Regime


def svag(chain: Chain, ell: int) -> tuple[Chain, int]:
    """The chain of SVAG with `ell`, and by how much more steps it takes the same time.

    Args:
        chain: SGD, RMSprop or Adam at its own hyperparameters.
        ell: 1 is the optimizer itself.

    Raises:
        DriftaxError: for another optimizer, a law that is neither Gaussian nor drawn, or an `ell` below 1.

    Example:
        >>> from driftax import SGD, Chain, GaussianNoise, Quadratic
        >>> small, more = svag(Chain(Quadratic([[1.0]]), GaussianNoise(0.2), SGD(0.1)), 4)
        >>> float(small.optimizer.learning_rate), more
        (0.025, 4)
    """
    optimizer, law = chain.optimizer, chain.noise
    if ell < 1 or not isinstance(optimizer, SGD | RMSprop | Adam):
        found = f"ell = {ell} for {optimizer.name}"
        raise DriftaxError("`svag(chain, ell)`", found, "ell = 1 or more, for SGD, RMSprop or Adam")
    more = ell if isinstance(optimizer, SGD) else ell**2
    amplified = Chain(chain.objective, law, optimizer, Regime.BATCH_EQUIVALENT).at(1 / more)
    if isinstance(law, GaussianNoise):
        return amplified, more
    if not isinstance(law, AbstractSampledNoise):
        raise DriftaxError(
            "`svag(chain, ell)`", f"{type(law).__name__}", "a Gaussian law, or one that is drawn: minibatches"
        )
    spread = math.sqrt(2 * more - 1)
    twice = TwiceDrawn(
        law=law, batch_size=law.batch_size, first=0.5 * (1 + spread), second=0.5 * (1 - spread)
    )
    return eqx.tree_at(lambda c: c.noise, amplified, twice), more


class _Pairs(AbstractDraws):
    """Two independent draws of a law."""

    single: AbstractDraws

    def draw(self, key: Key, shape: tuple[int, ...], members: int, dtype: Any) -> Any:
        return tuple(self.single.draw(k, shape, members, dtype) for k in jax.random.split(key))


class TwiceDrawn(AbstractSampledNoise):
    """`r_1 g_1 + r_2 g_2` of two independent stochastic gradients; it is run, not compiled."""

    law: AbstractSampledNoise
    batch_size: Scalar
    first: Scalar
    second: Scalar

    @property
    def constant(self) -> bool:
        return self.law.constant

    def at(self, scale: Scalar, regime: Regime) -> TwiceDrawn:
        if regime is Regime.BALLISTIC:
            return self
        raise self._no("the rung of a ladder")

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        self.law.check(objective, params)

    def covariance(self, objective: AbstractObjective, params: Vector) -> Array:
        return (self.first**2 + self.second**2) * self.law.covariance(objective, params)

    def draws(self, objective: AbstractObjective) -> _Pairs:
        return _Pairs(self.law.draws(objective))

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Any) -> Vector:
        one, two = (self.law.gradient(objective, params, each) for each in draw)
        return self.first * one + self.second * two

    def gradients(self, objective: AbstractObjective, params: Vector) -> Callable[[Any], Vector]:
        single = self.law.gradients(objective, params)
        return lambda draw: self.first * single(draw[0]) + self.second * single(draw[1])

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> NoReturn:
        raise self._no("an equation")

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> NoReturn:
        raise self._no("an equation")

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> NoReturn:
        raise self._no("an equation")

    def _no(self, asked: str) -> DriftaxError:
        return DriftaxError(
            f"{asked} of SVAG",
            "a law that is run only",
            "the chain it was made of, whose equation is the same",
        )
