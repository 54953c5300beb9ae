"""Averages over the stationary law of a second moment whose memory stays finite (q = 0), without sampling.

In units of the noise's standard deviation a gradient is g = m + z, and the second moment is the sum of
w_j g_j^2 over the ages j of gradients. Every function of the second moment needed here is a Laplace transform:

    1/(sqrt(nu) + eps)   = int_0^inf K_1(l) exp(-l nu) dl,   K_1 = (pi l)^(-1/2) - eps erfcx(eps sqrt(l))
    1/(sqrt(nu) + eps)^2 = int_0^inf K_2(l) exp(-l nu) dl,   K_2 = -dK_1/deps

and E exp(-l w g^2), E g exp(-l w g^2), E g^2 exp(-l w g^2) are elementary for a Gaussian g. The integrals are
taken by the trapezoidal rule in log l, which converges geometrically.

Source: re-derived.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import erfcx

from driftax._errors import DriftaxError
from driftax.optimizer import Denominator

_LONGEST = 200_000  # steps of memory that are summed one by one
_TAIL = 50.0  # a weight is dropped at exp(-_TAIL) of the newest
_SPACING = 0.25
_NODES = np.exp(np.arange(-80.0, 80.0 + _SPACING / 2, _SPACING))
_WEIGHTS = _SPACING * _NODES
_FAR = 50.0  # from here kernels are taken from their asymptotic series: the closed forms cancel


class Memory(NamedTuple):
    """Weights of the gradients of age 0, 1, ... in the two moments of one step."""

    second_moment: np.ndarray  # [age]
    momentum: np.ndarray  # [age]
    rate: float  # 1 - beta_2
    momentum_rate: float  # 1 - beta_1; 1 without momentum


def memory(rate: float, momentum_rate: float, denominator: Denominator) -> Memory:
    """The weights of a step.

    Args:
        rate: b = 1 - beta_2 in (0, 1].
        momentum_rate: 1 - beta_1 in (0, 1]; 1 without momentum.
        denominator: whether the newest gradient is in the second moment that divides.

    Raises:
        DriftaxError: for rates out of their range, or a memory too long to be summed.
    """
    for name, value in (("1 - beta_2", rate), ("1 - beta_1", momentum_rate)):
        if not 0 < value <= 1:
            raise DriftaxError("averages over a fixed memory", f"{name} = {value:g}", f"{name} in (0, 1]")
    count = math.ceil(_TAIL / min(rate, momentum_rate)) + 2
    if count > _LONGEST:
        found = f"a memory of {1 / min(rate, momentum_rate):.3g} steps"
        raise DriftaxError("averages over a fixed memory", found, "q > 0: such a memory is not a fixed one")
    age = np.arange(count)
    weights, momentum = (share * (1 - share) ** age for share in (rate, momentum_rate))
    if denominator is Denominator.PREVIOUS:
        weights = np.concatenate([[0.0], weights[:-1]])
    return Memory(weights, momentum, rate, momentum_rate)


def mean_step(mean: float, eps: float, kept: Memory) -> float:
    """E[mu/(sqrt(nu) + eps)] for gradients mean + z."""
    transform, moment = _transforms(mean, kept.second_moment, kept.momentum)
    return mean * _integral(_kernel(eps) * transform * moment)


def gain(eps: float, kept: Memory) -> float:
    """The derivative of `mean_step` at mean 0."""
    transform, moment = _transforms(0.0, kept.second_moment, kept.momentum)
    return _integral(_kernel(eps) * transform * moment)


def mean_reciprocal(mean: float, eps: float, kept: Memory) -> float:
    """E[1/(sqrt(nu) + eps)] for gradients mean + z."""
    transform, _ = _transforms(mean, kept.second_moment, kept.momentum)
    return _integral(_kernel(eps) * transform)


def step_variance(eps: float, kept: Memory) -> float:
    """The variance per step of a sum of many steps mu/(sqrt(nu) + eps), for gradients z of mean 0.

    Without momentum steps are uncorrelated and this is E[z^2/(sqrt(nu) + eps)^2]; with a fixed momentum it is
    the sum over lags of the covariance of two steps.

    Raises:
        DriftaxError: where the variance is infinite (beta_2 = 0, previous denominator, eps = 0).
    """
    transform, square = _transforms(0.0, kept.second_moment, kept.momentum**2)
    if kept.rate == 1 and kept.second_moment[0] == 0 and eps == 0:
        raise DriftaxError(
            "the limit for beta_2 = 0 with the previous second moment as denominator",
            "E[1/z^2], which is infinite, at eps = 0",
            'eps above 0, beta_2 above 0, or denominator "updated"',
        )
    total = _integral(_squared_kernel(eps) * transform * square)
    if kept.momentum_rate == 1:
        return total
    return total + 2 * _lagged(eps, kept)


def _lagged(eps: float, kept: Memory) -> float:
    """The covariances of two steps, summed over lags 1, 2, ...

    A gradient seen by both steps enters exp(-l nu_0 - m nu_lag) through l w_j + m w_(j + lag). For ages j >= 1
    of the earlier step that is (l + m beta_2^lag) w_j: a function of one number, so it is tabulated.
    """
    weights, momentum = kept.second_moment, kept.momentum
    logarithms = np.arange(-80.0, 90.0, 0.125)
    log_transform, square = _tail_sums(np.exp(logarithms), weights[1:], momentum[1:] ** 2)
    table = CubicSpline(logarithms, np.stack([log_transform, square], axis=1))
    keep = (_NODES > 1e-18) & (_NODES < 1e9)  # the products of two kernels are negligible elsewhere
    nodes, outer = _NODES[keep], (_WEIGHTS * _kernel(eps))[keep]
    before = np.zeros(len(nodes))  # log of the factors of gradients that only the later step has seen
    total, lag = 0.0, 0
    while lag < len(weights) - 1 and (1 - kept.momentum_rate) ** lag > 1e-14:
        before = before - 0.5 * np.log1p(2 * nodes * weights[lag])
        lag += 1
        both = nodes[:, None] + nodes[None, :] * (1 - kept.rate) ** lag
        shared = 1 + 2 * (nodes[:, None] * weights[0] + nodes[None, :] * weights[lag])
        values = table(np.log(both))
        density = np.exp(values[..., 0] + before[None, :]) / np.sqrt(shared)
        moment = momentum[0] ** 2 / shared + values[..., 1]
        total += (1 - kept.momentum_rate) ** lag * float(outer @ (density * moment) @ outer)
    return total


def _transforms(mean: float, weights: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At every node l: E exp(-l nu), and the sum over ages of moments_j / (1 + 2 l w_j)."""
    log_transform, moment = _tail_sums(_NODES, weights, moments, mean)
    return np.exp(log_transform), moment


def _tail_sums(
    nodes: np.ndarray, weights: np.ndarray, moments: np.ndarray, mean: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    log_transform, moment = np.zeros(len(nodes)), np.zeros(len(nodes))
    chunk = max(1, 2_000_000 // len(nodes))
    for start in range(0, len(weights), chunk):
        inside = nodes[:, None] * weights[None, start : start + chunk]
        log_transform -= (0.5 * np.log1p(2 * inside) + mean**2 * inside / (1 + 2 * inside)).sum(axis=1)
        moment += (moments[None, start : start + chunk] / (1 + 2 * inside)).sum(axis=1)
    return log_transform, moment


def _integral(values: np.ndarray) -> float:
    return float(_WEIGHTS @ values)


def _kernel(eps: float) -> np.ndarray:
    """K_1 at the nodes."""
    y = eps * np.sqrt(_NODES)
    far = np.maximum(y, _FAR) ** -2.0
    series = far / 2 - 3 * far**2 / 4 + 15 * far**3 / 8
    near = 1 - math.sqrt(math.pi) * np.minimum(y, _FAR) * erfcx(np.minimum(y, _FAR))
    return np.where(y > _FAR, series, near) / np.sqrt(math.pi * _NODES)


def _squared_kernel(eps: float) -> np.ndarray:
    """K_2 at the nodes."""
    y = eps * np.sqrt(_NODES)
    low, high = np.minimum(y, _FAR), np.maximum(y, _FAR)
    near = (1 + 2 * low**2) * erfcx(low) - 2 * low / math.sqrt(math.pi)
    series = (high**-3.0 - 3 * high**-5.0 + 11.25 * high**-7.0) / math.sqrt(math.pi)
    return np.where(y > _FAR, series, near)
