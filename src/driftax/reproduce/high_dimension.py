"""One pass of linear regression as the dimension grows: SGD and SignSGD beside their limits.

Inputs `a ~ N(0, I_d)`, labels `a . x* + v xi`; the step is `gamma/d` times the gradient of half a squared error, or its
sign. With `S = |x - x*|^2` and time `k / d` the limits are

    SGD       dS/dt = -2 gamma S + gamma^2 (S + v^2)
    SignSGD   dS/dt = -(4 gamma / pi) S / sqrt(S + v^2) + gamma^2

Source: xiao2024 (SignSGD on a Gaussian design); SGD is classical (re-derived).
"""

from __future__ import annotations

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

from driftax.report.figures import Figure, Line, Panel
from driftax.report.numbers import with_error
from driftax.reproduce._value import Answer, Experiment, Results, Row

_DIMENSIONS = (10, 40, 160, 640)  # so that a tenth of the time is a whole number of steps
_GAMMA, _LABEL, _END = 0.5, 0.5, 4.0
_MEMBERS = 256
_SIGMAS = 4.0


@partial(jax.jit, static_argnums=(1, 2))
def _run(key, dim: int, sign: bool):
    """`S` of every member at 40 times to the end [time, member]."""
    every = int(_END * dim) // 40

    def one(carry, k):
        delta, key = carry
        key, inputs, label = jax.random.split(key, 3)
        a = jax.random.normal(inputs, (dim, _MEMBERS))
        error = jnp.sum(a * delta, axis=0) - _LABEL * jax.random.normal(label, (_MEMBERS,))
        gradient = a * error[None, :]
        step = jnp.sign(gradient) if sign else gradient
        return (delta - _GAMMA / dim * step, key), None

    def record(carry, _):
        carry, _ = jax.lax.scan(one, carry, jnp.arange(every))
        return carry, jnp.sum(carry[0] ** 2, axis=0)

    start = jnp.full((dim, _MEMBERS), 1 / np.sqrt(dim))
    return jax.lax.scan(record, (start, key), None, length=40)[1]


def _limit(sign: bool) -> np.ndarray:
    """The limit of S at the same times."""

    def slope(t, s):
        if sign:
            return -4 * _GAMMA / np.pi * s / np.sqrt(s + _LABEL**2) + _GAMMA**2
        return -2 * _GAMMA * s + _GAMMA**2 * (s + _LABEL**2)

    times = _END * np.arange(1, 41) / 40
    return solve_ivp(slope, (0, _END), [1.0], t_eval=times, rtol=1e-10, atol=1e-12).y[0]


@cache
def _measured() -> dict[tuple[bool, int], tuple[np.ndarray, np.ndarray]]:
    """Means over members and their standard errors, by (sign, dimension)."""
    found = {}
    for sign in (False, True):
        for place, dim in enumerate(_DIMENSIONS):
            runs = np.asarray(_run(jax.random.key(place + 100 * sign), dim, sign), dtype=float)
            found[sign, dim] = runs.mean(axis=1), runs.std(axis=1, ddof=1) / np.sqrt(_MEMBERS)
    return found


def _rows(results: Results) -> list[Row]:
    """The largest distance from the limit falls like 1/d, until it is noise."""
    said = []
    for sign, name in ((False, "SGD"), (True, "SignSGD")):
        limit = _limit(sign)
        for dim in _DIMENSIONS:
            mean, error = _measured()[sign, dim]
            worst = int(np.argmax(np.abs(mean - limit)))
            gap = abs(mean[worst] - limit[worst])
            # Corrections are of size 1/d with a constant of order 1.
            near = gap <= 2.0 / dim + _SIGMAS * error[worst]
            answer = Answer.AGREES if near else Answer.DISAGREES
            words = f"{name}, d = {dim}: largest distance of |x - x*|^2 from its limit"
            said.append(
                Row(words, f"below {2.0 / dim:.3g}", with_error(float(gap), float(error[worst])), answer)
            )
    return said


def _figures(results: Results) -> list[Figure]:
    times = tuple(_END * np.arange(1, 41) / 40)
    panels = []
    for sign, name in ((False, "SGD"), (True, "SignSGD")):
        lines = [Line("limit", 0, times, tuple(_limit(sign)), reference=True)]
        for style, dim in enumerate(_DIMENSIONS, start=1):
            mean, error = _measured()[sign, dim]
            low, high = tuple(mean - 1.96 * error), tuple(mean + 1.96 * error)
            lines.append(Line(f"d = {dim}", style, times, tuple(mean), low, high))
        panels.append(Panel(f"{name}: E |x - x*|²", tuple(lines)))
    caption = "Means over 256 members with 95 % limits; wide: the limit of high dimension."
    return [Figure("high-dimension", "One pass of linear regression", caption, "time k / d", tuple(panels))]


EXPERIMENTS = (
    Experiment(
        "high-dimension",
        "One pass of linear regression: SGD and SignSGD as the dimension grows",
        "xiao2024; re-derived for a white design",
        (),
        _rows,
        _figures,
    ),
)
