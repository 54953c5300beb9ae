from __future__ import annotations

import abc
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from driftax._types import Key, Scalar, Vector
from driftax.noise.rule import CoordinateRule
from driftax.objective import AbstractObjective
from driftax.regime import Regime


class SignMoments(NamedTuple):
    """Exact moments of sign(gradient): mean, E[sign * z/sd], covariance ([dim] if independent)."""

    mean: Float[Array, " dim"]
    linear: Float[Array, " dim"]
    covariance: Float[Array, " dim"] | Float[Array, "dim dim"]


class AbstractGradientNoise(eqx.Module):
    """The law of `stochastic gradient - gradient`, a function of the params."""

    @property
    @abc.abstractmethod
    def independent(self) -> bool:
        """Whether the coordinates of the noise are independent of each other."""

    @property
    @abc.abstractmethod
    def gaussian(self) -> bool:
        """Whether all cumulants beyond the second vanish."""

    @property
    @abc.abstractmethod
    def constant(self) -> bool:
        """Whether the law is the same at all params."""

    @abc.abstractmethod
    def at(self, scale: Scalar, regime: Regime) -> AbstractGradientNoise:
        """The law on a rung: covariance / scale in the batch-equivalent regime, else unchanged."""

    @abc.abstractmethod
    def check(self, objective: AbstractObjective, params: Vector) -> None:
        """Refuses what is not a law of gradients of `objective` at `params`."""

    @abc.abstractmethod
    def sample(self, key: Key, objective: AbstractObjective, params: Vector) -> Vector:
        """One stochastic gradient."""

    @abc.abstractmethod
    def covariance(
        self, objective: AbstractObjective, params: Vector
    ) -> Float[Array, " dim"] | Float[Array, "dim dim"]:
        """Covariance of one stochastic gradient: [dim] if independent, else [dim, dim]."""

    @abc.abstractmethod
    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        """One-coordinate quadrature; `nodes` per coordinate where the law leaves a choice."""

    @abc.abstractmethod
    def gram(
        self, objective: AbstractObjective, params: Vector, nodes: int
    ) -> Float[Array, "channel channel dim dim"] | None:
        """Gram matrices of the rule's polynomials; None where coordinates are independent."""

    @abc.abstractmethod
    def joint(
        self, objective: AbstractObjective, params: Vector, nodes: int
    ) -> tuple[Float[Array, "node dim"], Float[Array, " node"]] | None:
        """Joint quadrature of all coordinates; None where it would be too large."""

    @abc.abstractmethod
    def sign_moments(self, objective: AbstractObjective, params: Vector, shift: Vector) -> SignMoments:
        """Exact moments of sign(stochastic gradient + shift)."""
