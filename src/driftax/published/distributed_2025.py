"""Distributed and compressed variants over N workers: DSGD, DCSGD, DSignSGD.

As a model, `distributed-2025` is the equation of SGD with the law of the mean message (`driftax.noise.WorkersNoise`).
The functions are its coefficients in closed form, per unit of `t = step * eta`.

Source: compagnonidistributed2025 (DSGD, DCSGD, DSignSGD); the compressor's covariance is re-derived.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax.scipy.special import erf
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.equation.published import Formula
from driftax.noise import WorkersNoise
from driftax.optimizer import SGD
from driftax.published._point import Point

NAME = "distributed-2025"


def _drift(chain, number, z) -> Slots:
    """`-eta E[message]`: the gradient, or the mean sign."""
    at, law = Point(chain, number, z), chain.noise
    assert isinstance(law, WorkersNoise)
    inside = at.force - chain.objective.gradient(at.x)  # an L2 decay
    return (-at.rate * (law.mean(chain.objective, at.x) + inside + at.decay * at.x))[None]


def _noise(chain, number, z, normals) -> Slots:
    at = Point(chain, number, z)
    return (-at.rate * at.kick(normals[0]))[None]


FORMULAS: dict[str, dict[type, Formula]] = {
    NAME: {
        SGD: Formula(
            NAME,
            "Compagnoni et al., distributed",
            "compagnonidistributed2025 (DSGD, DCSGD, DSignSGD)",
            1,
            _drift,
            _noise,
            1,
            True,
            (
                (
                    "Equation",
                    r"dX_t = -\mathbb{E}[C(g)]\,dt - \theta X_t\,dt + \sqrt{\eta/N}\,\bar\Sigma^{1/2} dW_t",
                ),
                (
                    "Noise",
                    r"\bar\Sigma = \operatorname{Cov}[C(g)],\quad C\ \text{what one of N workers sends}",
                ),
            ),
        )
    }
}


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
