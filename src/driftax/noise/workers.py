"""The mean of what several workers send: gradients, sparsified gradients, or their signs."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key, Scalar, Vector
from driftax.noise._base import (
    FROZEN,
    AbstractContinuousNoise,
    AbstractDraws,
    AbstractSampledNoise,
    batch_weights,
    whole_batch,
)
from driftax.noise.gaussian import GaussianNoise
from driftax.noise.moments import TINY, PairMoments, Shape, moment_gram, moment_rule, shape_of_moments
from driftax.noise.rule import CoordinateRule, JointRule
from driftax.noise.sign import sign_moments
from driftax.objective import AbstractObjective

_LONGEST = 64  # workers of a frozen draw


class Message(enum.Enum):
    """What a worker sends."""

    GRADIENT = "gradient"
    SPARSE = "sparse"  # every coordinate with probability `keep`, divided by it; 0 otherwise
    SIGN = "sign"


class WorkersNoise(AbstractSampledNoise):
    """N workers draw independent gradients, compress them, and the optimizer sees the mean of their messages.

    With SGD this is DSGD, DCSGD (random sparsification, which is unbiased) and DSignSGD (the mean of signs, which is
    biased: what is drawn is centred at `mean`, not at the gradient). Moments to order 4 are exact. In the
    batch-equivalent regime it is the number of workers that shrinks with the time step.

    Source: compagnonidistributed2025 (DSGD, DCSGD, DSignSGD); the moments are re-derived.

    Args:
        law: of one worker's gradient: Gaussian, or for signs any law with densities.
        workers: N, at rung 1.
        message: what is sent.
        keep: the probability of a coordinate, for sparse messages.

    Raises:
        DriftaxError: for a law whose messages have no closed moments, or a number out of range.
    """

    law: AbstractContinuousNoise
    batch_size: Scalar
    keep: Scalar
    message: Message = eqx.field(static=True)

    def __init__(
        self,
        law: AbstractContinuousNoise,
        workers: int,
        message: Message = Message.GRADIENT,
        keep: float | int = 1.0,
    ):
        asked = f"{message.value} messages of workers"
        allowed = AbstractContinuousNoise if message is Message.SIGN else GaussianNoise
        if not isinstance(law, allowed):
            wanted = "a law with densities" if message is Message.SIGN else "GaussianNoise, or Message.SIGN"
            raise DriftaxError(asked, f"gradients of {type(law).__name__}", wanted)
        if not workers >= 1:
            raise DriftaxError(asked, f"workers = {workers}", "workers = 1 or more")
        if not 0 < keep <= 1 or (keep < 1 and message is not Message.SPARSE):
            wanted = "keep = a probability in (0, 1], for sparse messages alone"
            raise DriftaxError(asked, f"keep = {keep:g}", wanted)
        self.law, self.batch_size, self.keep, self.message = law, workers, keep, message

    @property
    def constant(self) -> bool:
        return self.message is Message.GRADIENT and self.law.constant

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        self.law.check(objective, params)

    # --- moments -----------------------------------------------------------------------------------------------

    def mean(self, objective: AbstractObjective, params: Vector) -> Vector:
        """The mean message: the gradient, or `1 - 2 P(g < 0)`."""
        if self.message is Message.SIGN:
            return sign_moments(self.law, objective, params, jnp.zeros_like(params)).mean
        return objective.gradient(params)

    def covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        return self._message_covariance(objective, params) / self.batch_size

    def _message_covariance(self, objective: AbstractObjective, params: Vector) -> Float[Array, "dim dim"]:
        """Of one worker's message."""
        if self.message is Message.SIGN:
            return _matrix(sign_moments(self.law, objective, params, jnp.zeros_like(params)).covariance)
        covariance = _matrix(self.law.covariance(objective, params))
        lost = (1 / self.keep - 1) * (objective.gradient(params) ** 2 + jnp.diagonal(covariance))
        return covariance + jnp.diag(lost)

    def _cumulants(self, objective: AbstractObjective, params: Vector) -> _Cumulants:
        """Of one worker's message, pairs of coordinates included; the diagonal of a pair is one coordinate."""
        mean, covariance = self.mean(objective, params), self._message_covariance(objective, params)
        if self.message is Message.SIGN:
            # The square of a sign is 1: k_ijj = -2 e_j C_ij and k_iijj = -2 C_ij (C_ij - 2 e_i e_j).
            k22 = -2 * covariance * (covariance - 2 * mean[:, None] * mean[None, :])
            return _Cumulants(covariance, -2 * mean[None, :] * covariance, k22)
        return _sparse_cumulants(mean, _matrix(self.law.covariance(objective, params)), covariance, self.keep)

    def _standard(self, objective: AbstractObjective, params: Vector) -> tuple[Vector, _Cumulants]:
        """The variances of the mean message, and its cumulants in units of the standard deviations."""
        k11, k12, k22 = self._cumulants(objective, params)
        workers = self.batch_size
        second = jnp.diagonal(k11) / workers
        unit = 1 / jnp.sqrt(second + TINY)
        one, other = unit[:, None], unit[None, :]
        return second, _Cumulants(
            k11 * one * other / workers,
            k12 * one * other**2 / workers**2,
            k22 * one**2 * other**2 / workers**3,
        )

    def _shape(self, objective: AbstractObjective, params: Vector) -> Shape:
        second, standard = self._standard(objective, params)
        return shape_of_moments(second, jnp.diagonal(standard.k12), 3 + jnp.diagonal(standard.k22))

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        rule = moment_rule(self._shape(objective, params), nodes)
        bias = self.mean(objective, params) - objective.gradient(params)
        return CoordinateRule(rule.nodes + bias[None], rule.weights, rule.polynomials, rule.complete)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> Array:
        _, (k11, k12, k22) = self._standard(objective, params)
        variance = jnp.diagonal(k11)
        m22 = k22 + variance[:, None] * variance[None, :] + 2 * k11**2
        return moment_gram(self._shape(objective, params), PairMoments(k11, k12, m22), nodes)

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        """Frozen messages, the same draws at all params; more workers than are frozen: their own covariance."""
        drawn = MessageDraws(len(params), _LONGEST).draw(jax.random.key(0), (), FROZEN, params.dtype)
        drawn = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, -1, 0), drawn)
        messages = jax.vmap(lambda draw: self._messages(objective, params, draw))(drawn)
        mean = self.mean(objective, params)
        weights = batch_weights(self.batch_size, _LONGEST).astype(params.dtype)
        noise = jnp.einsum("w,qwi->qi", weights, messages - mean[None, None])
        longer = jnp.sqrt(jnp.maximum(self.batch_size / _LONGEST, 1.0))
        bias = mean - objective.gradient(params)
        return JointRule(noise / longer + bias[None], jnp.full(FROZEN, 1 / FROZEN, params.dtype), None, 0)

    # --- draws -------------------------------------------------------------------------------------------------

    def draws(self, objective: AbstractObjective) -> MessageDraws:
        assert objective.dim is not None
        return MessageDraws(objective.dim, whole_batch(self.batch_size))

    def _messages(
        self, objective: AbstractObjective, params: Vector, draw: Messages
    ) -> Float[Array, "worker dim"]:
        gradient = objective.gradient(params)
        noise = jax.vmap(lambda normals: self.law.noise(objective, params, normals))(draw.normals)
        sent = gradient[None] + noise
        if self.message is Message.SIGN:
            return jnp.sign(sent)
        return jnp.where(draw.uniform < self.keep, sent / self.keep, 0.0)

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Messages) -> Vector:
        return jnp.mean(self._messages(objective, params, draw), axis=0)

    def gradients(self, objective: AbstractObjective, params: Vector) -> Callable[[Messages], Vector]:
        return lambda draw: self.gradient(objective, params, draw)


class _Cumulants(NamedTuple):
    """`k_ij`, `k_ijj` and `k_iijj`."""

    k11: Float[Array, "dim dim"]
    k12: Float[Array, "dim dim"]
    k22: Float[Array, "dim dim"]


def _sparse_cumulants(
    mean: Vector, covariance: Float[Array, "dim dim"], sent: Float[Array, "dim dim"], keep: Scalar
) -> _Cumulants:
    """Of `b g / keep` for independent Bernoulli b and a Gaussian g of this mean and covariance.

    A moment of the message is that of g over `keep` to the power of what its exponents exceed 1.
    """
    m, v = mean, jnp.diagonal(covariance)
    square = m**2 + v
    mi, mj, si, sj = m[:, None], m[None, :], square[:, None], square[None, :]
    p11 = covariance + mi * mj
    p12 = mi * sj + 2 * covariance * mj
    p21 = mj * si + 2 * covariance * mi
    p22 = si * sj + 2 * covariance**2 + 4 * covariance * mi * mj
    pair = _pair_cumulants(mi, mj, si / keep, sj / keep, p11, p12 / keep, p21 / keep, p22 / keep**2)
    third, fourth = m**3 + 3 * m * v, m**4 + 6 * m**2 * v + 3 * v**2
    r2, r3, r4 = square / keep, third / keep**2, fourth / keep**3
    k3 = r3 - 3 * m * r2 + 2 * m**3
    k4 = r4 - 4 * m * r3 - 3 * r2**2 + 12 * m**2 * r2 - 6 * m**4
    same = jnp.eye(len(m), dtype=bool)
    return _Cumulants(sent, jnp.where(same, k3, pair[0]), jnp.where(same, k4, pair[1]))


def _pair_cumulants(mi, mj, si, sj, p11, p12, p21, p22):
    """`k_ijj` and `k_iijj` from raw moments of two coordinates."""
    k12 = p12 - 2 * mj * p11 - mi * sj + 2 * mi * mj**2
    k22 = p22 - 2 * mj * p21 - 2 * mi * p12 - si * sj - 2 * p11**2
    k22 = k22 + 2 * mi**2 * sj + 2 * mj**2 * si + 8 * mi * mj * p11 - 6 * mi**2 * mj**2
    return k12, k22


class Messages(NamedTuple):
    """What the workers draw: the normals behind their gradients, and what decides which coordinates they send."""

    normals: Float[Array, "*shape worker dim member"] | Float[Array, "worker dim"]
    uniform: Float[Array, "*shape worker dim member"] | Float[Array, "worker dim"]


class MessageDraws(AbstractDraws):
    """Normals and uniform numbers, one per worker and coordinate."""

    dim: int = eqx.field(static=True)
    workers: int = eqx.field(static=True)

    def draw(self, key: Key, shape: tuple[int, ...], members: int, dtype: Any) -> Messages:
        one, two = jax.random.split(key)
        size = (*shape, self.workers, self.dim, members)
        return Messages(jax.random.normal(one, size, dtype), jax.random.uniform(two, size, dtype))


def _matrix(covariance: Float[Array, "..."]) -> Float[Array, "dim dim"]:
    return jnp.diag(covariance) if covariance.ndim == 1 else covariance
