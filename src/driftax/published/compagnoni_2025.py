"""The equations of SignSGD, RMSprop(W) and Adam(W), of weak order 1.

Adam(W) in three variants that differ at O(eta): `paper` looks ahead in the drift alone, `plain` not at all, and
`consistent` (the default) looks ahead in drift and noise; it alone has the optimizer's stationary covariance to O(eta)
whatever beta_1 is.

Source: compagnoni2025, Theorem 3.2 (SignSGD), RMSpropW and AdamW SDEs; the variants re-derived.
"""

from __future__ import annotations

from functools import partial

import jax.numpy as jnp
from jax.scipy.special import erf

from driftax._types import Slots, Vector
from driftax.equation.published import Formula
from driftax.noise import AbstractContinuousNoise
from driftax.noise.sign import sign_covariance
from driftax.optimizer import Adam, RMSprop, SignSGD
from driftax.published._point import Point, symmetric_root

NAME = "compagnoni-2025"


def _margin(at: Point) -> Vector:
    """Minus the normal score at which a stochastic gradient is 0: `Sigma^(-1/2) f` for a Gaussian law."""
    law = at.chain.noise
    assert isinstance(law, AbstractContinuousNoise)
    return -law.score(at.chain.objective, at.x, -at.force)


def _sign_drift(chain, number, z) -> Slots:
    """`-eta (1 - 2 P(g < 0))`: `-eta erf(Sigma^(-1/2) f / sqrt(2))` for a Gaussian law."""
    at = Point(chain, number, z)
    return (-at.rate * (erf(_margin(at) / jnp.sqrt(2.0)) + at.decay * at.x))[None]


def _sign_noise(chain, number, z, normals) -> Slots:
    """`-eta` times a root of the covariance of the sign; its first part follows the gradient noise."""
    at = Point(chain, number, z)
    margin = _margin(at)
    mean = erf(margin / jnp.sqrt(2.0))
    response = jnp.sqrt(2 / jnp.pi) * jnp.exp(-0.5 * margin**2)
    if chain.noise.independent:
        rest = jnp.sqrt(jnp.maximum((1 - mean) * (1 + mean) - response**2, 0.0))
        return (-at.rate * (response * normals[0] + rest * normals[1]))[None]
    correlation = chain.noise.correlation(chain.objective, at.x)
    covariance = sign_covariance(margin[:, None], margin[None, :], jnp.clip(correlation, -1.0, 1.0))
    covariance = jnp.where(jnp.eye(len(mean), dtype=bool), jnp.diag((1 - mean) * (1 + mean)), covariance)
    linear = response[:, None] * chain.noise.root(chain.objective, at.x)
    rest = symmetric_root(covariance - linear @ linear.T)
    return (-at.rate * (linear @ normals[0] + rest @ normals[1]))[None]


def _second_moment(at: Point) -> Vector:
    return at.forget * (at.force**2 + at.variance - at.nu)


def _rmsprop_drift(chain, number, z) -> Slots:
    at = Point(chain, number, z)
    return jnp.stack([at.rmsprop_step, _second_moment(at)])


def _rmsprop_noise(chain, number, z, normals) -> Slots:
    at = Point(chain, number, z)
    return jnp.stack([-at.rate * at.damping * at.kick(normals[0]), jnp.zeros_like(at.x)])


def _adam_drift(chain, number, z, *, ahead: bool) -> Slots:
    """`dX = -R P^-1 [M + eta rho_1 (f - M)] - theta X`, the bracket without its second term where not `ahead`."""
    at = Point(chain, number, z)
    change = at.forget_mu * (at.force - at.mu)
    seen = at.mu + change if ahead else at.mu
    x = -at.rate * (at.gain * at.damping * seen + at.decay * at.x)
    return jnp.stack([x, change, _second_moment(at)])


def _adam_noise(chain, number, z, normals, *, ahead: bool) -> Slots:
    at = Point(chain, number, z)
    kick = at.forget_mu * at.kick(normals[0])
    x = -at.rate * at.gain * at.damping * kick if ahead else jnp.zeros_like(kick)
    return jnp.stack([x, kick, jnp.zeros_like(kick)])


_RATES = r"\rho_i = (1-\beta_i)/\eta"
_V = r"dV_t = \rho_2\,((\nabla f)^2 + \operatorname{diag}\Sigma - V_t)\,dt"


def _adam(name: str, variant: str, ahead: bool, noisy: bool) -> Formula:
    seen = r"(M_t + \eta\rho_1(\nabla f - M_t))" if ahead else "M_t"
    extra = r" - \eta\rho_1\sqrt{\eta}\,R\,P_t^{-1}\Sigma^{1/2} dW_t" if noisy else ""
    lines = (
        ("Equation", rf"dX_t = -R\,P_t^{{-1}} {seen}\,dt - \theta X_t\,dt{extra}"),
        ("Equation", r"dM_t = \rho_1 (\nabla f - M_t)\,dt + \sqrt{\eta}\,\rho_1 \Sigma^{1/2} dW_t"),
        ("Equation", _V),
        (
            "Drift",
            r"R = \sqrt{\iota_2}/\iota_1,\quad P_t = \operatorname{diag}(V_t)^{1/2} + \epsilon\sqrt{\iota_2}",
        ),
        ("Clock", rf"{_RATES},\quad \iota_i = 1 - \beta_i^{{t/\eta + 1}}"),
    )
    return Formula(
        name,
        f"Compagnoni et al., AdamW, {variant}",
        f"compagnoni2025, AdamW SDE ({variant})",
        1,
        partial(_adam_drift, ahead=ahead),
        partial(_adam_noise, ahead=noisy),
        1,
        True,
        lines,
    )


_SIGN = Formula(
    NAME,
    "Compagnoni et al., SignSGD",
    "compagnoni2025, Theorem 3.2 and Corollaries 3.3, 3.4",
    1,
    _sign_drift,
    _sign_noise,
    2,
    True,
    (
        (
            "Equation",
            r"dX_t = -(1 - 2\,\mathbb{P}(g(X_t) < 0))\,dt - \theta X_t\,dt + \sqrt{\eta}\,\bar\Sigma^{1/2} dW_t",
        ),
        ("Noise", r"\bar\Sigma = \operatorname{Cov}[\operatorname{sign} g(X_t)]"),
    ),
)
_RMSPROP = Formula(
    NAME,
    "Compagnoni et al., RMSpropW",
    "compagnoni2025, RMSpropW SDE",
    1,
    _rmsprop_drift,
    _rmsprop_noise,
    1,
    True,
    (
        ("Equation", r"dX_t = -P_t^{-1}(\nabla f\,dt + \sqrt{\eta}\,\Sigma^{1/2} dW_t) - \theta X_t\,dt"),
        ("Equation", _V),
        ("Noise", r"P_t = \operatorname{diag}(V_t)^{1/2} + \epsilon"),
        ("Clock", _RATES),
    ),
)
FORMULAS: dict[str, dict[type, Formula]] = {
    NAME: {SignSGD: _SIGN, RMSprop: _RMSPROP, Adam: _adam(NAME, "consistent", ahead=True, noisy=True)},
    f"{NAME}-paper": {Adam: _adam(f"{NAME}-paper", "as printed", ahead=True, noisy=False)},
    f"{NAME}-plain": {Adam: _adam(f"{NAME}-plain", "without look-ahead", ahead=False, noisy=False)},
}
