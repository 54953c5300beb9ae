"""Stochastic modified equations of SGD and of SGD with momentum.

Source: litaie2019, Theorems 1 and 2 (orders 1 and 2); momentum and the stability variant re-derived.
"""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp

from driftax._types import Slots
from driftax.equation.published import Formula
from driftax.optimizer import SGD, Momentum
from driftax.published._point import Point

_SOURCE = "litaie2019"


def _sgd_drift(chain, number, z, *, correction: float) -> Slots:
    """`-eta (f + lambda x) - correction eta^2 (H + lambda)(f + lambda x)`."""
    at = Point(chain, number, z)
    first = at.force + at.decay * at.x
    second = at.curved(first) + at.decay * first
    return (-at.rate * first - correction * at.rate**2 * second)[None]


def _sgd_noise(chain, number, z, normals) -> Slots:
    at = Point(chain, number, z)
    return (-at.rate * at.kick(normals[0]))[None]


def _momentum_drift(chain, number, z, *, order: int) -> Slots:
    """`dx = -m, dm = c (f - m)`, and at order 2 `dx += c/2 (m - f)`, `dm += c/2 H m + c^2/2 (f - m)`."""
    at = Point(chain, number, z)
    rate, forget, lag = at.optimizer.rate, at.forget_mu, at.force - at.mu
    x, mu = -rate * at.mu, forget * lag
    if order == 2:
        x = x - 0.5 * rate * forget * lag
        mu = mu + 0.5 * rate * forget * at.curved(at.mu) + 0.5 * forget**2 * lag
    return jnp.stack([x, mu])


def _momentum_noise(chain, number, z, normals) -> Slots:
    at = Point(chain, number, z)
    return jnp.stack([jnp.zeros_like(at.x), at.forget_mu * at.kick(normals[0])])


_NOISE = ("Noise", r"S = -\sqrt{\eta}\,\Sigma^{1/2}")


def _sgd(name: str, title: str, order: int, correction: float, drift: str, source: str) -> Formula:
    lines = (("Equation", rf"dX_t = {drift}\,dt + S\,dW_t"), _NOISE)
    drifts = partial(_sgd_drift, correction=correction)
    return Formula(name, title, source, order, drifts, _sgd_noise, 1, True, lines)


def _momentum(order: int) -> Formula:
    lines = (
        (
            "Equation",
            r"dX_t = [-M_t + \eta\,b_x]\,dt,\quad dM_t = [c\,(\nabla f - M_t) + \eta\,b_m]\,dt + S\,dW_t",
        ),
        ("Noise", r"S = \sqrt{\eta}\,c\,\Sigma^{1/2},\quad c = (1-\beta)/\eta"),
        (
            "Drift",
            r"b_x = \tfrac{c}{2}(M - \nabla f),\quad "
            r"b_m = \tfrac{c}{2} H M + \tfrac{c^2}{2}(\nabla f - M)"
            if order == 2
            else r"b_x = b_m = 0",
        ),
    )
    drift = partial(_momentum_drift, order=order)
    title = f"Li, Tai and E, momentum, order {order}"
    source = f"{_SOURCE}, momentum SGD (re-derived)"
    return Formula(f"li-tai-e-2019-{order}", title, source, order, drift, _momentum_noise, 1, True, lines)


FORMULAS: dict[str, dict[type, Formula]] = {
    "li-tai-e-2019-1": {
        SGD: _sgd("li-tai-e-2019-1", "Li, Tai and E, order 1", 1, 0.0, r"-\nabla f", f"{_SOURCE}, Theorem 1"),
        Momentum: _momentum(1),
    },
    "li-tai-e-2019-2": {
        SGD: _sgd(
            "li-tai-e-2019-2",
            "Li, Tai and E, order 2",
            2,
            0.5,
            r"-\nabla\left(f + \tfrac{\eta}{4}\|\nabla f\|^2\right)",
            f"{_SOURCE}, Theorem 2",
        ),
        Momentum: _momentum(2),
    },
    "li-tai-e-2019-stability": {
        SGD: _sgd(
            "li-tai-e-2019-stability",
            "the stability variant",
            1,
            -0.5,
            r"-\nabla\left(f - \tfrac{\eta}{4}\|\nabla f\|^2\right)",
            "re-derived; the sign that reproduces the stability threshold of SGD, of weak order 1",
        ),
    },
}
