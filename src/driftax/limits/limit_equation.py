"""A limit as drift and diffusion, so that it can be integrated.

Coordinates do not mix: gradient and noise act coordinatewise, and an array of any shape holds coordinates or
members. One Wiener process per coordinate drives params, or the momentum where that is what the noise enters.

Source: malladi2022, callisti2025 (re-derived).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from driftax._errors import DriftaxError
from driftax.limits._value import Exponents, Limit, Motion, Row, equal
from driftax.limits.classify import classify
from driftax.limits.fixed_memory import gain, mean_reciprocal, mean_step, memory, step_variance

Coordinatewise = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Problem:
    """What is optimised, and the numbers of size 1 that multiply the powers of tau.

    Args:
        gradient: of the objective, coordinatewise.
        noise_std: of one stochastic gradient in units of tau^-s, coordinatewise.
        second_moment_rate: c of 1 - beta_2 = c tau^q.
        momentum_rate: c_1 of 1 - beta_1 = c_1 tau^q1.
        eps: in units of tau^-e.
        nu_start: second moment at the start in units of max(1, tau^-2s); unused with bias correction.
        mu_start: momentum at the start.
    """

    gradient: Coordinatewise
    noise_std: Coordinatewise
    second_moment_rate: float = 1.0
    momentum_rate: float = 1.0
    eps: float = 0.0
    nu_start: float = 1.0
    mu_start: float = 0.0


@dataclass(frozen=True)
class LimitEquation:
    """dZ = drift(t, Z) dt + diffusion(t, Z) dW of a limit, on the vectors that move.

    The state is an array [slot, ...]: params, then mu, then nu, the latter two only where they are dynamic, or a
    running mean: then the slot holds the integral of which that is the mean.
    """

    exponents: Exponents
    problem: Problem
    limit: Limit = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", classify(self.exponents))
        if self.limit.eps_enters and self.limit.row.eps_dominates and not self.problem.eps > 0:
            raise DriftaxError("an eps-dominated limit", f"eps = {self.problem.eps:g}", "eps above 0")

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the vectors of the state."""
        moving = (Motion.DYNAMIC, Motion.RUNNING_MEAN)
        own = [name for name in ("mu", "nu") if getattr(self.limit, name) in moving]
        return ("params", *own)

    def start(self, params: np.ndarray, time: float = 0.0) -> np.ndarray:
        """The state at the start; with bias correction shortly after it, where the corrections are finite.

        Args:
            params: [...].
            time: of the start; above 0 with bias correction.
        """
        if self.exponents.bias_correction and not time > 0:
            raise DriftaxError(
                "a bias-corrected limit", f"a start at t = {time:g}", "a start shortly after 0"
            )
        x = np.asarray(params, dtype=float)
        values = {"params": x}
        for name, target, rate, start in (
            ("mu", self._mean_gradient(x), self.problem.momentum_rate, self.problem.mu_start),
            ("nu", self.target(x), self.problem.second_moment_rate, self.problem.nu_start),
        ):
            if getattr(self.limit, name) is Motion.RUNNING_MEAN:
                values[name] = time * target
            elif self.exponents.bias_correction:
                values[name] = -math.expm1(-rate * time) * target
            else:
                values[name] = np.full(x.shape, start)
        return np.stack([values[name] for name in self.slots])

    def drift(self, time: float, state: np.ndarray) -> np.ndarray:
        """Drift of the state [slot, ...] per unit time."""
        x, f = state[0], self._mean_gradient(state[0])
        rows = {"params": -self._mean_step(time, state)}
        if "mu" in self.slots:
            dynamic = self.limit.mu is Motion.DYNAMIC
            rows["mu"] = self.problem.momentum_rate * (f - self._slot(state, "mu")) if dynamic else f
        if "nu" in self.slots:
            dynamic, target = self.limit.nu is Motion.DYNAMIC, self.target(x)
            rate = self.problem.second_moment_rate
            rows["nu"] = rate * (target - self._slot(state, "nu")) if dynamic else target
        return np.stack([rows[name] for name in self.slots])

    def diffusion(self, time: float, state: np.ndarray) -> np.ndarray:
        """What multiplies dW of each coordinate, [slot, ...]."""
        out = np.zeros_like(state)
        if not self.limit.has_noise or self.limit.mu is Motion.FROZEN:
            return out
        std = self.problem.noise_std(state[0])
        if "mu" in self.slots:
            rate = self.problem.momentum_rate if self.limit.mu is Motion.DYNAMIC else 1.0
            out[self.slots.index("mu")] = rate * std
        else:
            out[0] = self._noise_gain(time, state) * std
        return out

    def target(self, params: np.ndarray) -> np.ndarray:
        """What the second moment relaxes to: E g^2 in units of max(1, tau^-2s)."""
        f, std, s = self.problem.gradient(params), self.problem.noise_std(params), self.exponents.noise
        if equal(s, 0.0):
            return f**2 + std**2
        return f**2 if s < 0 else std**2

    def second_moment(self, time: float, state: np.ndarray) -> np.ndarray:
        """The second moment that divides, bias-corrected where the optimizer does so; its mean if it is random."""
        if self.limit.nu is Motion.FROZEN:
            return np.full(state[0].shape, self.problem.nu_start)
        if self.limit.nu in (Motion.SLAVED, Motion.RANDOM):
            return self.target(state[0])
        return self._corrected(time, state, "nu", self.problem.second_moment_rate)

    def _mean_gradient(self, params: np.ndarray) -> np.ndarray:
        f = self.problem.gradient(params)
        return f if self.limit.has_drift else np.zeros_like(f)

    def _slot(self, state: np.ndarray, name: str) -> np.ndarray:
        return state[self.slots.index(name)]

    def _corrected(self, time: float, state: np.ndarray, name: str, rate: float) -> np.ndarray:
        value = self._slot(state, name)
        if getattr(self.limit, name) is Motion.RUNNING_MEAN:
            return value / time
        return value / -math.expm1(-rate * time) if self.exponents.bias_correction else value

    def _mean_step(self, time: float, state: np.ndarray) -> np.ndarray:
        """The velocity of params, without its sign."""
        x = state[0]
        if self.limit.mu is Motion.FROZEN:
            return self._reciprocal(time, state) * self.problem.mu_start
        if "mu" in self.slots:
            mu = self._corrected(time, state, "mu", self.problem.momentum_rate)
            return self._reciprocal(time, state) * mu
        f = self._mean_gradient(x)
        if not self._random or self.limit.mu is Motion.SLAVED:
            return self._reciprocal(time, state) * f
        std = self.problem.noise_std(x)
        if self.limit.row is Row.BALLISTIC:
            return self._average(mean_step, f / std, self._eps / std)
        return self._average(_gain, np.zeros_like(f), self._eps / std) * f / std

    def _noise_gain(self, time: float, state: np.ndarray) -> np.ndarray:
        if not self._random or self.limit.mu is Motion.SLAVED:
            return self._reciprocal(time, state)
        std = self.problem.noise_std(state[0])
        variance = self._average(_variance, np.zeros_like(std), self._eps / std)
        return np.sqrt(variance) / std

    def _reciprocal(self, time: float, state: np.ndarray) -> np.ndarray:
        """D, the reciprocal of the denominator; its mean if it is random."""
        x = state[0]
        if self.limit.row.eps_dominates:
            return np.full(x.shape, 1 / self.problem.eps)
        if self._random:
            std = self.problem.noise_std(x)
            mean = self.problem.gradient(x) / std if self.limit.row is Row.BALLISTIC else np.zeros_like(x)
            return self._average(mean_reciprocal, mean, self._eps / std) / std
        return 1 / (np.sqrt(self.second_moment(time, state)) + self._eps)

    @property
    def _random(self) -> bool:
        return self.limit.nu is Motion.RANDOM and not self.limit.row.eps_dominates

    @property
    def _eps(self) -> float:
        return self.problem.eps if self.limit.eps_enters else 0.0

    def _average(self, average: Callable[..., float], mean: np.ndarray, eps: np.ndarray) -> np.ndarray:
        """An average over the law of a fixed memory, once per pair of different arguments."""
        both = np.stack([np.ravel(mean), np.ravel(eps)], axis=1)
        pairs, place = np.unique(both, axis=0, return_inverse=True)
        momentum = self.problem.momentum_rate if self.limit.mu is Motion.RANDOM else 1.0
        kept = (self.problem.second_moment_rate, momentum, self.exponents.denominator)
        values = np.asarray([_cached(average, float(m), float(e), *kept) for m, e in pairs])
        return values[np.ravel(place)].reshape(mean.shape)


def _gain(mean: float, eps: float, kept) -> float:
    return gain(eps, kept)


def _variance(mean: float, eps: float, kept) -> float:
    return step_variance(eps, kept)


@lru_cache(maxsize=4096)
def _cached(average: Callable[..., float], mean: float, eps: float, *rates) -> float:
    return average(mean, eps, memory(*rates))
