r"""Means of the optimizer and of its equations on the surrogate, exactly: what a simulation of many members tends to.

Per node, with displacement u, first moment m and gradient `g + curvature u + noise`, a step is the linear map

    m' = b m + (1 - b) gradient,        u' = u - rate m' - decay u;

the equations of order 1 and 2 have, per step and with J = map - 1 and Q the covariance of a step,

    drift J,  covariance Q        and        drift J - J^2/2,  covariance (1 - J/2) Q (1 - J/2)^T,

as `driftax.derive` has them. (Order 2 of litaie2019 keeps the covariance Q.)

Source: re-derived (`equation/factor.py`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy.linalg import expm

from driftax.advice.local_model import LocalModel
from driftax.scaling.settings import Settings

Process = Literal["optimizer", "order 1", "order 2"]
FOREVER = 2**40  # steps


class Motion(NamedTuple):
    """A linear map of (u, m, 1) and the covariance it adds, both [node, 3, 3]."""

    map: np.ndarray
    noise: np.ndarray


class Level(NamedTuple):
    """Of the mean loss: what the mean gradient took off and its deviation by jitter, what noise keeps, and what a decay
    of the weights took off (along flat directions; 0 where its pull is not known).
    """

    descent: float
    deviation: float
    noise: float
    pull: float


def effective_rate(model: LocalModel, settings: Settings) -> float:
    """The learning rate of an averaged gradient in the coordinates of the surrogate."""
    return settings.learning_rate * model.growth(settings.batch) / (1 - heavy(settings))


def heavy(settings: Settings) -> float:
    """The momentum of SGD, which sums gradients where Adam averages them."""
    return (settings.b1 or 0.0) if settings.optimizer == "sgd" else 0.0


def floor(model: LocalModel, settings: Settings) -> float:
    """The loss that noise keeps above the minimum in the stationary law; nan where that diverges."""
    with np.errstate(over="ignore", invalid="ignore"):
        return float((0.5 * model.curvature * stationary(model, settings)[:, 0, 0]).sum())


def stationary(model: LocalModel, settings: Settings) -> np.ndarray:
    """The stationary covariance of (u, m, 1) [node, 3, 3]."""
    with np.errstate(over="ignore", invalid="ignore"):
        return _advanced(_motion(model, settings, _decay(settings)), FOREVER).noise


def floor_gradient(model: LocalModel, settings: Settings) -> np.ndarray:
    """Parts of |P^-1/2 grad|^2 in the stationary law [node]: what a settled run shows at any moment."""
    return model.curvature**2 * stationary(model, settings)[:, 0, 0]


def built_up(model: LocalModel, settings: Settings, steps: int, process: Process = "optimizer") -> float:
    """The loss that noise adds in so many steps to params without any."""
    with np.errstate(over="ignore", invalid="ignore"):
        spread = _advanced(_motion(model, settings, _decay(settings), process), steps).noise
        return float((0.5 * model.curvature * spread[:, 0, 0]).sum())


def after(model: LocalModel, settings: Settings, steps: int, now: Settings) -> Level:
    """The level after so many steps of a configuration, from the stationary law of the present one.

    The mean gradient is what was measured beyond the jitter of that law.
    """
    theta, start = model.curvature, stationary(model, now)
    with np.errstate(over="ignore", invalid="ignore"):
        still = _advanced(_motion(model, settings, 0.0), steps).map
        moving = _advanced(_motion(model, settings, _decay(settings)), steps)
        spread = moving.noise + moving.map @ start @ moving.map.swapaxes(1, 2)
        # The first moment has settled on the gradient of its node, whose size is the slope at u = 0. What is taken
        # off is linear in the squared gradient, of which the jitter is no part; a node of it is a squared normal.
        moved = still[:, 0, 1] + still[:, 0, 2]
        each = -(moved + 0.5 * theta * moved**2)
        jitter = theta**2 * start[:, 0, 0]
        descent, deviation = each @ (model.signal - jitter), np.sqrt(2 * ((each * jitter) ** 2).sum())
        noise = float((0.5 * theta * spread[:, 0, 0]).sum())
        return Level(float(descent), float(deviation), noise, _pulled(model, settings, steps))


def _pulled(model: LocalModel, settings: Settings, steps: int) -> float:
    """What the decay takes off: the share by which weights shrink, times params . grad."""
    if not settings.weight_decay or np.isnan(model.pull):
        return 0.0
    rate = settings.learning_rate / (1 - heavy(settings)) * settings.weight_decay
    return float(-np.expm1(steps * np.log1p(-min(rate, 1 - 1e-12))) * model.pull)


def _decay(settings: Settings) -> float:
    """That beside the step; one inside the gradient is part of the slope."""
    return settings.learning_rate * settings.weight_decay if settings.decoupled else 0.0


def _motion(model: LocalModel, settings: Settings, decay: float, process: Process = "optimizer") -> Motion:
    """One step, with a gradient of 1 at the start."""
    b, rate = settings.b1 or 0.0, effective_rate(model, settings)
    # The loss is without the penalty, the gradient with it.
    theta = model.curvature + (settings.weight_decay if settings.weight_decay_form == "l2" else 0.0)
    one = np.zeros((len(theta), 3, 3))
    one[:, 1] = np.stack([(1 - b) * theta, np.full_like(theta, b), np.full_like(theta, 1 - b)], axis=1)
    one[:, 0] = -rate * one[:, 1]
    one[:, 0, 0] += 1 - decay
    one[:, 2, 2] = 1
    kick = (1 - b) * np.array([-rate, 1.0, 0.0])
    noise = np.outer(kick, kick) * (model.noise / settings.batch)[:, None, None]
    if process == "optimizer":
        return Motion(one, noise)
    drift = one - np.eye(3)
    if process == "order 2":
        half = np.eye(3) - 0.5 * drift
        noise = half @ noise @ half.swapaxes(1, 2)
        drift = drift - 0.5 * drift @ drift
    return _flow(drift, noise)


def _flow(drift: np.ndarray, covariance: np.ndarray) -> Motion:
    """A linear equation over one step.

    Source: vanloan1978.
    """
    zero = np.zeros_like(drift)
    block = expm(np.block([[-drift, covariance], [zero, drift.swapaxes(1, 2)]]))
    transposed = block[:, 3:, 3:].swapaxes(1, 2)
    return Motion(transposed, transposed @ block[:, :3, 3:])


def _advanced(motion: Motion, steps: int) -> Motion:
    """So many steps as one, by doubling."""
    step, noise = motion
    whole, added = np.broadcast_to(np.eye(3), step.shape), np.zeros_like(noise)
    while steps:
        if steps & 1:
            whole, added = step @ whole, step @ added @ step.swapaxes(1, 2) + noise
        step, noise = step @ step, step @ noise @ step.swapaxes(1, 2) + noise
        steps >>= 1
    return Motion(whole, added)
