"""Distributed and compressed variants over N workers: coefficients of their equations, per unit of `t = step * eta`.

Source: compagnonidistributed2025 (DSGD, DCSGD, DSignSGD); the compressor's covariance is re-derived.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector


def dsgd_covariance(
    learning_rate: Scalar, covariances: Float[Array, "worker dim dim"]
) -> Float[Array, "dim dim"]:
    """`eta / N` times the mean covariance of the workers' gradients; the drift is `-grad f`."""
    return learning_rate / len(covariances) * jnp.mean(covariances, axis=0)


def sparsified_covariance(
    learning_rate: Scalar, gradient: Vector, covariance: Float[Array, "dim dim"], keep: Scalar, workers: int
) -> Float[Array, "dim dim"]:
    """DCSGD where every worker keeps a coordinate with probability `keep` and divides it by that (unbiased).

    The variances are `eta / N (Sigma_ii + omega (f_i^2 + Sigma_ii))` with `omega = 1/keep - 1`; covariances are those
    of the gradients.

    Raises:
        DriftaxError: for a probability outside (0, 1].
    """
    if not 0 < float(keep) <= 1:
        raise DriftaxError(
            "sparsified gradients", f"keep = {float(keep):g}", "keep = a probability in (0, 1]"
        )
    omega = 1 / keep - 1
    lost = omega * (gradient**2 + jnp.diagonal(covariance))
    return learning_rate / workers * (covariance + jnp.diag(lost))


def recovered(learning_rate: Scalar, batch: Scalar, workers: Scalar, omega: Scalar) -> dict[str, Scalar]:
    """What gives DCSGD the stationary loss it has without compression: one of three numbers."""
    return {
        "learning_rate": learning_rate / (1 + omega),
        "batch": batch * (1 + omega),
        "workers": workers * (1 + omega),
    }


def dsignsgd(
    learning_rate: Scalar, gradient: Vector, deviation: Vector, workers: int
) -> tuple[Vector, Vector]:
    """Drift and variances of the mean of the workers' signs under Gaussian noise of their gradients.

    `-erf(f / (sqrt(2) sigma))` and `eta / N (1 - erf^2)`: the level falls like 1/N, the drift does not change. A
    majority vote is another algorithm.
    """
    mean = erf(gradient / (jnp.sqrt(2.0) * deviation))
    return -mean, learning_rate / workers * (1 - mean) * (1 + mean)


def dsignsgd_loss(learning_rate: Scalar, deviation: Vector, workers: int) -> Scalar:
    """The stationary loss on a diagonal quadratic, in its leading term: `eta / (4 N) sqrt(pi/2) sum_i sigma_i`."""
    return learning_rate / (4 * workers) * jnp.sqrt(jnp.pi / 2) * jnp.sum(deviation)
