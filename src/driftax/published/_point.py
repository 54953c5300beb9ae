"""What the published formulas speak of, at one state: gradient, curvature, noise and preconditioner."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.noise import AbstractContinuousNoise
from driftax.optimizer import Adam, DecayForm, Denominator


class Point:
    """A state of the optimizer in its own units, after `number` steps (which may be fractional).

    In the papers' letters: f = `force`, H v = `curved(v)`, Sigma_d = `variance`, Sigma^(1/2) xi = `kick(xi)`,
    (2 Sigma * Sigma)^(1/2) xi = `square_kick(xi)`, D = `damping`, D' = `damping_slope`, eta = `rate`,
    1 - beta_2 = `forget`, 1 - beta_1 = `forget_mu`, lambda = `decay`.
    """

    def __init__(self, chain: Chain, number: Scalar, z: Slots):
        self.chain, self.number, self.z = chain, jnp.asarray(number, z.dtype), z
        self.optimizer: Any = chain.optimizer
        self.x = z[0]
        slots: dict[str, Any] = dict(zip(chain.slots, z, strict=True))
        self.mu: Any = slots.get("mu")
        self.nu: Any = slots.get("nu")

    @property
    def rate(self) -> Scalar:
        return self.optimizer.learning_rate

    @property
    def decay(self) -> Scalar:
        """The decoupled weight decay."""
        return self.optimizer.weight_decay * (self.optimizer.weight_decay_form is DecayForm.DECOUPLED)

    @property
    def forget(self) -> Scalar:
        return 1 - (self.optimizer.b2 if isinstance(self.optimizer, Adam) else self.optimizer.decay)

    @property
    def forget_mu(self) -> Scalar:
        return 1 - (self.optimizer.b1 if isinstance(self.optimizer, Adam) else self.optimizer.decay)

    @property
    def updated(self) -> bool:
        """Whether v_{k+1} divides (PyTorch, optax), not v_k (the papers)."""
        return self.optimizer.denominator is Denominator.UPDATED

    def gradient(self, x: Vector) -> Vector:
        """The gradient, with a weight decay that is part of it."""
        inside = self.optimizer.weight_decay - self.decay
        return self.chain.objective.gradient(x) + inside * x

    @cached_property
    def force(self) -> Vector:
        return self.gradient(self.x)

    def curved(self, direction: Vector) -> Vector:
        """The Hessian times a direction."""
        return jax.jvp(self.gradient, (self.x,), (direction,))[1]

    @cached_property
    def variance(self) -> Vector:
        return self.variance_at(self.x)

    def variance_at(self, x: Vector) -> Vector:
        """The variances of a gradient's coordinates at other params."""
        covariance = self.chain.noise.covariance(self.chain.objective, x)
        return covariance if covariance.ndim == 1 else jnp.diagonal(covariance)

    def variance_along(self, direction: Vector) -> Vector:
        """The derivative of the variances along a direction."""
        if self.chain.noise.constant:
            return jnp.zeros_like(self.x)
        return jax.jvp(self.variance_at, (self.x,), (direction,))[1]

    def kick(self, normals: Vector) -> Vector:
        """A gradient noise of the law's covariance; for a sampled law it is the draw itself."""
        if self.chain.noise.sampled:
            return normals
        return jnp.sqrt(self.variance) * self._correlated(normals, 0)

    def square_kick(self, normals: Vector) -> Vector:
        """A noise with the covariance of the square of a Gaussian gradient noise."""
        return jnp.sqrt(2.0) * self.variance * self._correlated(normals, 1)

    def _correlated(self, normals: Vector, power: int) -> Vector:
        """Normals of the correlation of the law's coordinates, or of its elementwise square."""
        law = self.chain.noise
        assert isinstance(law, AbstractContinuousNoise)
        if law.roots is not None:
            return law.roots[power].astype(normals.dtype) @ normals
        if law.independent:
            return normals
        return symmetric_root(law.correlation(self.chain.objective, self.x) ** (power + 1)) @ normals

    @cached_property
    def corrections(self) -> tuple[Scalar, Scalar]:
        """`1 - beta_1^k` and `1 - beta_2^k` as the optimizer has them; 1 where it does not correct."""
        clock = self.optimizer.clock(self.number)
        return (clock.mu, clock.nu) if isinstance(self.optimizer, Adam) else (jnp.ones_like(self.rate), clock)

    @property
    def gain(self) -> Scalar:
        """`sqrt(gamma_2) / gamma_1`."""
        first, second = self.corrections
        return jnp.sqrt(second) / first

    @cached_property
    def damping(self) -> Vector:
        """`1 / (sqrt(v) + eps sqrt(gamma_2))`."""
        return 1 / (jnp.sqrt(self.nu) + self.optimizer.eps * jnp.sqrt(self.corrections[1]))

    @property
    def rmsprop_step(self) -> Vector:
        """The leading drift of the params of RMSprop(W), per step."""
        return -self.rate * (self.force * self.damping + self.decay * self.x)

    @property
    def damping_slope(self) -> Vector:
        """The derivative of the damping in v."""
        return -(self.damping**2) / (2 * jnp.sqrt(self.nu))


def symmetric_root(matrix: Float[Array, "dim dim"]) -> Float[Array, "dim dim"]:
    """The symmetric square root of a positive semidefinite matrix."""
    values, vectors = jnp.linalg.eigh(matrix)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None, :]) @ vectors.T
