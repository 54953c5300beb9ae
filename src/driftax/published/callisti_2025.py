"""The equations of RMSprop(W) and Adam(W) of weak order 1 and 2, in both regimes and for both denominators.

Their mark is a Brownian motion of its own that drives the second moment, with the variance of the squared gradient
noise. Order 1 in the ballistic regime sees the gradient in the second moment; in the batch-equivalent regime it is the
equation of malladi2022. In step time, with U, P, Q the drifts of order 1 of params, mu and nu.

The authors' public code departs from these formulas in places that `Slip` names; with a slip a formula is that code's.
The paper divides by v_k; `callisti-2025-2-previous` is its equation of order 2 whatever the optimizer divides by.

Source: callisti2025, first- and second-order equations of both regimes (re-derived).
"""

from __future__ import annotations

import dataclasses
import enum
from functools import partial

import jax
import jax.numpy as jnp

from driftax._types import Slots, Vector
from driftax.equation.published import Formula
from driftax.optimizer import Adam, Denominator, RMSprop
from driftax.published._point import Point
from driftax.regime import Regime

NAME = "callisti-2025"


class Slip(enum.Enum):
    """Where the authors' public code departs from the equation of order 2."""

    NO_NU_NOISE = "the Brownian motion of nu is left out (RMSprop, ballistic)"
    CUBED_DAMPING = "D' is -D^3/2, which holds for eps = 0 alone"
    SCALED_HESSIAN = (
        "the Hessian's part of the noise of params carries a factor c (RMSprop, batch-equivalent)"
    )
    THIRD_DERIVATIVE = "the third derivative enters with -1 in place of 1/4 (RMSprop, batch-equivalent)"
    CROSS_SIGN = "mu and nu follow the gradient noise with opposite signs (Adam)"
    FORCE_FOR_MU = "the drift of nu has f D where it must have mu D (Adam, ballistic)"
    CLOCK_SLOPE = "the derivative in time of Gamma D has a wrong sign and lacks eps (Adam)"
    CLOCK_SHIFT = "bias corrections are one step late (Adam)"
    NO_CUBE = "the noise of mu lacks its correction c_1^3 Sigma (Adam, batch-equivalent)"


Slips = frozenset[Slip]
_NONE: Slips = frozenset()


def _batch(at: Point) -> bool:
    return at.chain.regime is Regime.BATCH_EQUIVALENT


def _target(at: Point) -> Vector:
    """What the second moment follows to leading order: noise alone where it dominates."""
    return at.variance if _batch(at) else at.force**2 + at.variance


def _slope(at: Point, slips: Slips) -> Vector:
    return -0.5 * at.damping**3 if Slip.CUBED_DAMPING in slips else at.damping_slope


def _second_moment(at: Point, order: int, params: Vector, curvature: Vector) -> Vector:
    """The drift of nu; `params` is the drift of the params and `curvature` the one that the Hessian is taken along."""
    first = at.forget * (_target(at) - at.nu)
    if order == 1:
        return first
    second = 0.5 * at.forget * (first - at.variance_along(params))
    if _batch(at):
        return first + second + at.forget * at.force**2
    return first + second - at.forget * at.force * at.curved(curvature)


# --- RMSprop -------------------------------------------------------------------------------------------------


def _rmsprop_drift(chain, number, z, *, order: int, slips: Slips = _NONE) -> Slots:
    at = Point(chain, number, z)
    params = at.rmsprop_step
    nu = _second_moment(at, order, params, params)
    if order == 1:
        return jnp.stack([params, nu])
    slope, leading = _slope(at, slips), at.forget * (_target(at) - at.nu)
    correction = at.decay * params + at.damping * at.curved(params) + at.force * slope * leading
    moved = params + 0.5 * at.rate * correction
    if at.updated:
        seen = 3 * at.variance - at.nu + (0.0 if _batch(at) else at.force**2)
        moved = moved - at.rate * at.forget * slope * at.force * seen
    if _batch(at):
        share = -1.0 if Slip.THIRD_DERIVATIVE in slips else 0.25
        bend, spread = _bends(at)
        moved = moved + share * at.rate * at.damping * bend
        nu = nu - 0.25 * at.forget * spread
    return jnp.stack([moved, nu])


def _bends(at: Point) -> tuple[Vector, Vector]:
    """`K : grad grad` of the gradient and of the variances, K the covariance of a step of the params."""
    everything = jnp.eye(len(at.x), dtype=at.x.dtype)

    def curve(function, direction):
        def along(x):
            return jax.jvp(function, (x,), (direction,))[1]

        return jax.jvp(along, (at.x,), (direction,))[1]

    def add(total, normals):
        direction = at.rate * at.damping * at.kick(normals)
        bend, spread = total
        return (bend + curve(at.gradient, direction), spread + curve(at.variance_at, direction)), None

    zero = jnp.zeros_like(at.x)
    return jax.lax.scan(add, (zero, zero), everything)[0]


def _rmsprop_noise(chain, number, z, normals, *, order: int, slips: Slips = _NONE) -> Slots:
    at = Point(chain, number, z)
    kick = at.kick(normals[0])
    params = at.rate * at.damping * kick
    if order == 1:
        return jnp.stack([-params, jnp.zeros_like(kick)])
    nu = 2 * at.forget * at.force * kick
    if _batch(at):
        slope = _slope(at, slips)
        turn = -0.5 * slope * at.forget * (at.variance - at.nu)
        if at.updated:
            turn = turn + at.forget * slope * (3 * at.variance - at.nu)
        hessian = 0.5 * at.rate * at.damping * at.curved(params)
        if Slip.SCALED_HESSIAN in slips:
            hessian = hessian * at.forget / at.chain.time_step
        params = params + hessian + at.rate * turn * kick + 0.5 * at.rate * at.decay * params
    if not (Slip.NO_NU_NOISE in slips and not _batch(at)):
        nu = nu + at.forget * at.square_kick(normals[1])
    return jnp.stack([-params, nu])


# --- Adam ----------------------------------------------------------------------------------------------------


def _adam_point(chain, number, z, slips: Slips) -> Point:
    return Point(chain, number - 1 if Slip.CLOCK_SHIFT in slips else number, z)


def _adam_drift(chain, number, z, *, order: int, slips: Slips = _NONE) -> Slots:
    at = _adam_point(chain, number, z, slips)
    assert at.mu is not None
    pull = at.gain * at.damping
    params = -at.rate * (pull * at.mu + at.decay * at.x)
    mu = at.forget_mu * (at.force - at.mu)
    if order == 1:
        return jnp.stack([params, mu, _second_moment(at, 1, params, params)])
    curvature = params
    if Slip.FORCE_FOR_MU in slips and not _batch(at):
        curvature = -at.rate * (pull * at.force + at.decay * at.x)
    nu = _second_moment(at, order, params, curvature)
    turned = at.gain * at.mu * _slope(at, slips) * at.forget * (_target(at) - at.nu)
    moved = (
        at.decay * params - pull * mu + (-turned if at.updated else turned) + at.mu * _pull_slope(at, slips)
    )
    moved_mu = mu + 0.5 * at.forget_mu * (mu - at.curved(params))
    return jnp.stack([params + 0.5 * at.rate * moved, moved_mu, nu])


def _pull_slope(at: Point, slips: Slips) -> Vector:
    """The derivative of `Gamma D` in the number of steps."""

    def pull(number):
        then = Point(at.chain, number, at.z)
        return then.gain * then.damping

    one = jnp.ones_like(at.number)
    exact = jax.jvp(pull, (at.number,), (one,))[1]
    if Slip.CLOCK_SLOPE not in slips:
        return exact
    root, rise = jax.jvp(lambda k: jnp.sqrt(Point(at.chain, k, at.z).corrections[1]), (at.number,), (one,))
    del root
    # -eps Gamma (d sqrt(gamma_2)) D^2 is replaced by the same with a plus and without eps.
    return exact + (1 + at.optimizer.eps) * at.gain * rise * at.damping**2


def _adam_noise(chain, number, z, normals, *, order: int, slips: Slips = _NONE) -> Slots:
    at = _adam_point(chain, number, z, slips)
    kick, zero = at.kick(normals[0]), jnp.zeros_like(at.x)
    params, mu, nu = zero, at.forget_mu * kick, zero
    if order == 2:
        cross = -1.0 if Slip.CROSS_SIGN in slips else 1.0
        nu = cross * 2 * at.forget * at.force * kick + at.forget * at.square_kick(normals[1])
        if _batch(at):
            params = -0.5 * at.rate * at.gain * at.damping * mu
            mu = mu if Slip.NO_CUBE in slips else (1 + 0.5 * at.forget_mu) * mu
    return jnp.stack([params, mu, nu])


def _square(chain, number, z) -> Slots:
    """The second moment follows the square of the gradient noise, of standard deviation `sqrt(2) Sigma_d`."""
    at = Point(chain, number, z)
    return jnp.zeros_like(z).at[-1].set(at.forget * jnp.sqrt(2.0) * at.variance)


# --- the formulas --------------------------------------------------------------------------------------------

_RMSPROP_1 = (
    ("Equation", r"dX_t = u\,dt - \sqrt{\tau}\,D\,\Sigma^{1/2} dW_t,\quad u = -D f - \lambda X_t"),
    ("Equation", r"dV_t = q\,dt,\quad q = c\,(T - V_t)"),
)
_ADAM_1 = (
    ("Equation", r"dX_t = u\,dt,\quad u = -\Gamma D M_t - \lambda X_t"),
    ("Equation", r"dM_t = p\,dt + \sqrt{\tau}\,c_1 \Sigma^{1/2} dW_t,\quad p = c_1 (f - M_t)"),
    ("Equation", r"dV_t = q\,dt,\quad q = c_2 (T - V_t)"),
)
_SYMBOLS = (
    (
        "Drift",
        r"f = \nabla f(X_t),\quad D = 1/(\sqrt{V_t} + \epsilon\sqrt{\gamma_2}),\quad \Gamma = \sqrt{\gamma_2}/\gamma_1",
    ),
    (
        "Drift",
        r"T = f^2 + \operatorname{diag}\Sigma\ \text{(ballistic)},\quad "
        r"T = \operatorname{diag}\Sigma\ \text{(batch-equivalent)}",
    ),
    ("Clock", r"\tau = h,\quad c_i = (1-\beta_i)/\tau"),
)
_CORRECTED = (
    "Drift",
    r"u, q\ \text{as at order 1},\quad H = \nabla\nabla f,\quad D' = \partial D/\partial V",
)
_SQUARED = r"c\,(2\,\Sigma\,\Sigma)^{1/2} dB_t"
_RMSPROP_2 = (
    ("Equation", r"dX_t = (u + \tau b_x)\,dt - \sqrt{\tau}\,D\,\Sigma^{1/2} dW_t"),
    ("Equation", rf"dV_t = (q + \tau b_v)\,dt + \sqrt{{\tau}}\,[2 c f\,\Sigma^{{1/2}} dW_t + {_SQUARED}]"),
    (
        "Drift",
        r"b_x = \tfrac{1}{2}(\lambda u + D H u + f D' q),\quad b_v = \tfrac{c}{2} q - c f\,H u",
    ),
    ("Drift", r"v_{k+1}\ \text{as divisor: } b_x - c D' f\,(f^2 + 3\operatorname{diag}\Sigma - V)"),
    _CORRECTED,
)
_ADAM_2 = (
    ("Equation", r"dX_t = (u + \tau b_x)\,dt"),
    ("Equation", r"dM_t = (p + \tau b_m)\,dt + \sqrt{\tau}\,c_1 \Sigma^{1/2} dW_t"),
    ("Equation", rf"dV_t = (q + \tau b_v)\,dt + \sqrt{{\tau}}\,[2 c_2 f\,\Sigma^{{1/2}} dW_t + {_SQUARED}]"),
    (
        "Drift",
        r"b_x = \tfrac{1}{2}(\lambda u - \Gamma D p + \Gamma M D' q + M\,\partial_t(\Gamma D)),\quad "
        r"b_m = \tfrac{c_1}{2}(p - H u)",
    ),
    ("Drift", r"b_v = \tfrac{c_2}{2} q - c_2 f\,H u"),
    ("Drift", r"v_{k+1}\ \text{as divisor: the third term of } b_x\ \text{changes its sign}"),
    _CORRECTED,
)
_BATCH = (
    "Drift",
    r"\text{batch-equivalent: } c f^2\ \text{in place of } -c f\,H u\text{, "
    r"and corrections of order } \tau\ \text{in the noise}",
)


def formula(optimizer: type, order: int, slips: Slips = _NONE) -> Formula:
    """The equation of RMSprop or Adam of an order, or what the authors' code has in its place."""
    adam = optimizer is Adam
    name = code_name(slips) if slips else f"{NAME}-{order}"
    drift, noise = (_adam_drift, _adam_noise) if adam else (_rmsprop_drift, _rmsprop_noise)
    lines = {(False, 1): _RMSPROP_1, (False, 2): _RMSPROP_2, (True, 1): _ADAM_1, (True, 2): _ADAM_2}[
        adam, order
    ]
    lines = (*lines, *((_BATCH,) if order == 2 else ()), *_SYMBOLS)
    what = "the authors' code" if slips else f"order {order}"
    return Formula(
        name,
        f"Callisti et al., {optimizer.__name__}, {what}",
        f"callisti2025, {'public code' if slips else f'order {order} (re-derived)'}",
        order,
        partial(drift, order=order, slips=slips),
        partial(noise, order=order, slips=slips),
        order,
        order == 1 or adam,
        lines,
        _square if order == 2 and not slips else None,
    )


def code_name(slips: Slips) -> str:
    """The name of the model with the authors' departures: all of them, or a single one."""
    single = f"-{next(iter(slips)).name.lower().replace('_', '-')}" if len(slips) == 1 else ""
    return f"{NAME}-code{single}"


_RMSPROP_SLIPS = frozenset({Slip.NO_NU_NOISE, Slip.CUBED_DAMPING, Slip.SCALED_HESSIAN, Slip.THIRD_DERIVATIVE})
_ADAM_SLIPS = frozenset(Slip) - _RMSPROP_SLIPS | {Slip.CUBED_DAMPING}
_TIME_ALIGNED = frozenset(Slip) - {Slip.CLOCK_SHIFT}  # the code with its two clocks set to the same time


def _for_previous(function):
    """A coefficient of the optimizer that divides by v_k, and corrects v_k, in place of the chain's own."""

    def as_printed(chain, *rest):
        printed = dataclasses.replace(chain.optimizer, denominator=Denominator.PREVIOUS)
        return function(dataclasses.replace(chain, optimizer=printed), *rest)

    return as_printed


def _previous(optimizer: type) -> Formula:
    """The equation of order 2 of v_k, beside an optimizer that may divide by v_{k+1}."""
    right = formula(optimizer, 2)
    return right._replace(
        name=f"{NAME}-2-previous",
        title=f"{right.title}, for v_k",
        drift=_for_previous(right.drift),
        noise=_for_previous(right.noise),
        latex=tuple(line for line in right.latex if "v_{k+1}" not in line[1]),
    )


def _with_slips(slips: Slips) -> dict[type, Formula]:
    """The authors' code for every optimizer that some of the slips are about."""
    found: dict[type, Formula] = {}
    for optimizer, own in ((RMSprop, _RMSPROP_SLIPS), (Adam, _ADAM_SLIPS)):
        if slips & own:
            found[optimizer] = formula(optimizer, 2, slips)
    return found


FORMULAS: dict[str, dict[type, Formula]] = {
    f"{NAME}-1": {optimizer: formula(optimizer, 1) for optimizer in (RMSprop, Adam)},
    f"{NAME}-2": {optimizer: formula(optimizer, 2) for optimizer in (RMSprop, Adam)},
    f"{NAME}-2-previous": {optimizer: _previous(optimizer) for optimizer in (RMSprop, Adam)},
    **{code_name(slips): _with_slips(slips) for slips in (_TIME_ALIGNED, *(frozenset({s}) for s in Slip))},
}
