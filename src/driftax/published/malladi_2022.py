"""The equations of RMSprop and Adam under noise that dominates the gradient.

Source: malladi2022, RMSprop and Adam SDEs. Written for all hyperparameters, in step time: where noise does not dominate
they are still what the paper prints, and wrong: the second moment does not see the gradient itself.
"""

from __future__ import annotations

import jax.numpy as jnp

from driftax._types import Scalar, Slots, Vector
from driftax.equation.published import Formula
from driftax.optimizer import Adam, RMSprop
from driftax.published._point import Point

NAME = "malladi-2022"
_SECOND_MOMENT = r"dV_t = c_2\,(\operatorname{diag}\Sigma - V_t)\,dt"
_CLOCK = (
    "Clock",
    r"t = k\,\eta^2,\quad c_i = (1-\beta_i)/\eta^2,\quad V = \eta^2 v,\quad \epsilon_0 = \eta\,\epsilon",
)


def _second_moment(at: Point) -> Vector:
    return at.forget * (at.variance - at.nu)


def _rmsprop_drift(chain, number, z) -> Slots:
    at = Point(chain, number, z)
    return jnp.stack([at.rmsprop_step, _second_moment(at)])


def _rmsprop_noise(chain, number, z, normals) -> Slots:
    at = Point(chain, number, z)
    return jnp.stack([-at.rate * at.damping * at.kick(normals[0]), jnp.zeros_like(at.x)])


def _reached(at: Point, forget: Scalar) -> Scalar:
    """`gamma = 1 - exp(-c t)`, or 1 where the optimizer does not correct its bias."""
    return -jnp.expm1(-forget * at.number) if at.optimizer.bias_correction else 1.0


def _adam_drift(chain, number, z) -> Slots:
    at = Point(chain, number, z)
    first, second = _reached(at, at.forget_mu), _reached(at, at.forget)
    preconditioner = jnp.sqrt(at.nu) + at.optimizer.eps * jnp.sqrt(second)
    x = -at.rate * (jnp.sqrt(second) / first * at.mu / preconditioner + at.decay * at.x)
    return jnp.stack([x, at.forget_mu * (at.force - at.mu), _second_moment(at)])


def _adam_noise(chain, number, z, normals) -> Slots:
    at, zero = Point(chain, number, z), jnp.zeros_like(z[0])
    return jnp.stack([zero, at.forget_mu * at.kick(normals[0]), zero])


FORMULAS: dict[str, dict[type, Formula]] = {
    NAME: {
        RMSprop: Formula(
            NAME,
            "Malladi et al., RMSprop",
            "malladi2022, RMSprop SDE",
            1,
            _rmsprop_drift,
            _rmsprop_noise,
            1,
            True,
            (
                ("Equation", r"dX_t = -P_t^{-1}(\nabla f\,dt + \Sigma^{1/2} dW_t)"),
                ("Equation", _SECOND_MOMENT),
                ("Noise", r"P_t = \operatorname{diag}(V_t)^{1/2} + \epsilon_0"),
                _CLOCK,
            ),
        ),
        Adam: Formula(
            NAME,
            "Malladi et al., Adam",
            "malladi2022, Adam SDE",
            1,
            _adam_drift,
            _adam_noise,
            1,
            True,
            (
                ("Equation", r"dX_t = -\tfrac{\sqrt{\gamma_2}}{\gamma_1} P_t^{-1} M_t\,dt"),
                ("Equation", r"dM_t = c_1 (\nabla f - M_t)\,dt + c_1 \Sigma^{1/2} dW_t"),
                ("Equation", _SECOND_MOMENT),
                (
                    "Noise",
                    r"P_t = \operatorname{diag}(V_t)^{1/2} + \epsilon_0 \sqrt{\gamma_2},\quad "
                    r"\gamma_i = 1 - e^{-c_i t}",
                ),
                _CLOCK,
            ),
        ),
    }
}
