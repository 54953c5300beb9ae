"""B4: the order-2 drift of RMSprop found by differentiation, beside the formula written out by hand."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from driftax import Chain, GaussianNoise, RMSprop, Rosenbrock
from driftax.equation import Method
from driftax.equation.derivation import derive

from . import engine
from .interleave import Answer, Candidate, check_agreement, interleave
from .peers.closed_forms import equation as closed_form
from .problem import EPS, RMSPROP_RATE, SIGMA, Problem
from .row import Row, rows

TITLE = "Coefficients"
TEXT = """The drift of RMSprop's order-2 equation for a batch of states, in float32: moments of one step at the actual
hyperparameters (driftax's default) and the papers' series (`taylor`), both by automatic differentiation, over the
formula written out by hand on arrays [dim, member] (Rosenbrock's Hessian product too). Here **below 1, driftax is
faster**. Formula and `taylor` must agree."""
COMPARES = "time per drift, over that of the formula by hand"

_AGREE = 1e-4  # relative: float32 of a sum


def run(quick: bool) -> Iterator[Row]:
    for dim in (2, 6) if quick else (2, 6, 100):
        problem = Problem("RMSprop", dim, warm=True)
        written = closed_form(problem, 2, _float32, jnp.sqrt, columns=True)

        def quadratic(z, written=written):
            return jnp.stack(written.drift(tuple(z)))

        yield from _workload(f"quadratic, d = {dim}", engine.chain(problem), quadratic, dim, quick)
    for dim in (2, 6) if quick else (2, 6, 100):
        optimizer = RMSprop(_RATE, 1 - RMSPROP_RATE * _RATE, EPS)
        chain = Chain(Rosenbrock(dim, _STEEPNESS), GaussianNoise(SIGMA**2), optimizer)
        yield from _workload(f"Rosenbrock, d = {dim}", chain, _rosenbrock_drift, dim, quick)


def _float32(array):
    return jnp.asarray(array, jnp.float32)


def _workload(name, chain, by_hand, dim, quick) -> list[Row]:
    members = 1024 if quick else max(1024, 2**18 // dim)
    chain = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), chain)
    random = np.random.default_rng(0)
    params = random.uniform(-1, 1, (dim, members))
    states = jnp.asarray(np.stack([params, random.uniform(0.5, 1.5, params.shape)]), jnp.float32)

    def of_method(method):
        equation = derive(chain, weak_order=2, method=method, full=False, nodes=3)

        def one(z):
            return equation.step_drift(0.0, z.reshape(-1)).reshape(z.shape) / equation.time_step

        return jax.vmap(one, in_axes=-1, out_axes=-1)

    functions = {
        "formula by hand": by_hand,
        "driftax": of_method(Method.FINITE_STEP),
        "driftax, taylor": of_method(Method.TAYLOR),
    }
    repeats = 20

    def candidate(name, function):
        compiled = jax.jit(function)

        def run(seed):
            for _ in range(repeats):
                drift = compiled(states)
            return Answer(float(jnp.sqrt(jnp.mean(drift.astype(float) ** 2))), 0.0)

        return Candidate(name, run, repeats * members)

    measured = interleave([candidate(*pair) for pair in functions.items()], rounds=3 if quick else 7)
    check_agreement([measured[0], measured[2]], _AGREE)
    return rows(name, measured)


_RATE = 0.125
_STEEPNESS = 1.0


def _rosenbrock_drift(z):
    """The order-2 drift for independent noise of variance sigma^2, derivatives of the loss by hand."""
    x, v = z
    c, h, b, variance = RMSPROP_RATE, _RATE, _STEEPNESS, SIGMA**2
    left, right = x[:-1], x[1:]
    gap = right - left**2
    none = jnp.zeros_like(x[:1])
    f = jnp.concatenate([-2 * (1 - left) - 4 * b * left * gap, none])
    f = f + jnp.concatenate([none, 2 * b * gap])
    size = jnp.sqrt(v)
    d = 1 / (size + EPS)
    slope = -(d**2) / (2 * size)
    u, q = -f * d, c * (f**2 + variance - v)
    moved = u[1:] - 2 * left * u[:-1]  # the change of the gap along u
    hu = jnp.concatenate([2 * u[:-1] - 4 * b * (u[:-1] * gap + left * moved), none])
    hu = hu + jnp.concatenate([none, 2 * b * moved])
    b1x = 0.5 * d * hu + 0.5 * f * slope * q - c * slope * f * (f**2 + 3 * variance - v)
    return jnp.stack([u + h * b1x, q + h * (0.5 * c * q - c * f * hu)])
