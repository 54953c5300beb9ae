"""The optimizer itself at one tau: real RMSprop or Adam on real stochastic gradients, as an ensemble.

Every member is one coordinate of a separable problem, so that one vector holds the ensemble. Linear and
quadratic functionals of the noises whose moments are known exactly serve as controls.

Source: milstein2004, control variates.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.limits._value import Exponents
from driftax.limits.classify import denominator_exponent
from driftax.limits.limit_equation import Problem
from driftax.limits.moments import Moments
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer.adam import Adam
from driftax.optimizer.rmsprop import RMSprop

_RATES = np.asarray([0.0, 1.0, 3.0])  # of the controls' memories, per run


class Estimate(NamedTuple):
    """Means over an ensemble and their standard errors."""

    mean: Moments
    standard_error: Moments
    members: int


def _optimizer_at(exponents: Exponents, problem: Problem, tau: float) -> AbstractOptimizer:
    """The optimizer with the exponents' hyperparameters at one tau.

    Raises:
        DriftaxError: if a memory would be shorter than one step there.
    """
    rates = {"second moment": problem.second_moment_rate * tau**exponents.second_moment}
    if exponents.momentum is not None:
        rates["momentum"] = problem.momentum_rate * tau**exponents.momentum
    for name, rate in rates.items():
        if not 0 < rate <= 1:
            raise DriftaxError(f"the {name} at tau = {tau:g}", f"1 - beta = {rate:g}", "a smaller tau")
    eps = problem.eps * tau**-exponents.eps if exponents.eps is not None else 0.0
    learning_rate, decay = tau**exponents.learning_rate, 1 - rates["second moment"]
    conventions: dict[str, Any] = {
        "denominator": exponents.denominator,
        "bias_correction": exponents.bias_correction,
    }
    if exponents.momentum is None:
        return RMSprop(learning_rate, decay, eps, **conventions)
    return Adam(learning_rate, 1 - rates["momentum"], decay, eps, **conventions)


def optimizer_moments(
    exponents: Exponents,
    problem: Problem,
    start: float,
    tau: float,
    time_exponent: float,
    time: float,
    members: int,
    seed: int,
) -> Estimate:
    """Moments of the optimizer after the time of a limit's clock, with the second moment in its natural units.

    Args:
        exponents: of the hyperparameters.
        problem: whose functions take JAX arrays too.
        start: params of every member.
        tau: below 1.
        time_exponent: r, one step takes the time tau^r.
        time: rounded to whole steps.
        members: of the ensemble.
        seed: of the noises.

    Raises:
        DriftaxError: in single precision, in which 1 - beta is lost.
    """
    if jnp.asarray(0.0).dtype != jnp.float64:
        found = "single precision, in which 1 - beta is lost"
        raise DriftaxError("an optimizer at small tau", found, 'jax.config.update("jax_enable_x64", True)')
    optimizer = _optimizer_at(exponents, problem, tau)
    steps = max(1, round(time * tau**-time_exponent))
    unit = max(1.0, tau**-exponents.noise) ** 2
    # In units in which the momentum has a limit: it moves params by tau^(p + a) per step.
    mu_unit = tau ** (time_exponent - exponents.learning_rate - denominator_exponent(exponents))
    starts = {"params": start, "mu": problem.mu_start * mu_unit, "nu": problem.nu_start * unit}
    if exponents.bias_correction:
        starts |= {"mu": 0.0, "nu": 0.0}
    # As arrays, so that all rungs and all points of one optimizer share one compiled loop.
    arrays = jax.tree.map(jnp.asarray, (optimizer, tau**-exponents.noise, starts, steps))
    x, nu, controls, squares = _run(
        arrays, problem.gradient, problem.noise_std, jax.random.key(seed), members
    )
    nu = np.asarray(nu) / unit
    if exponents.bias_correction:  # the second moment as the next step would divide by it
        nu = nu / -np.expm1(steps * np.log1p(-problem.second_moment_rate * tau**exponents.second_moment))
    values = np.stack([np.asarray(x), np.asarray(x) ** 2, nu], axis=1)
    return _controlled(values, np.asarray(controls), np.asarray(squares), steps)


@eqx.filter_jit
def _run(
    arrays: tuple[AbstractOptimizer, jax.Array, dict[str, jax.Array], jax.Array],
    gradient: Callable,
    noise_std: Callable,
    key: jax.Array,
    members: int,
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Params, second moments, and the controls [rate, member] after so many steps."""
    optimizer, noise, starts, steps = arrays
    state = optimizer.unpack([jnp.full(members, starts[name]) for name in optimizer.slots])
    keep = jnp.exp(-_RATES / steps)[:, None]
    empty = jnp.zeros((len(_RATES), members))

    def step(k, carry):
        state, controls, squares = carry
        z = jax.random.normal(jax.random.fold_in(key, k), (members,))
        x = state.params
        g = gradient(x) + noise * noise_std(x) * z
        return (
            optimizer.update(k * 1.0, state, g),
            keep * controls + z[None],
            keep * squares + z[None] ** 2 - 1,
        )

    state, controls, squares = jax.lax.fori_loop(0, steps, step, (state, empty, empty))
    return state.params, state.nu, controls / jnp.sqrt(steps), squares / steps


def _controlled(values: np.ndarray, controls: np.ndarray, squares: np.ndarray, steps: int) -> Estimate:
    """Means of values [member, observable], less what the controls of mean 0 explain of them."""
    keep = np.exp(-_RATES / steps)
    product = keep[:, None] * keep[None, :]
    total = -np.expm1(steps * np.log(product))
    covariance = np.where(product < 1, total / np.where(product < 1, 1 - product, 1.0), steps) / steps
    pairs = [(i, j) for i in range(len(keep)) for j in range(i + 1)]
    quadratic = [controls[i] * controls[j] - covariance[i, j] for i, j in pairs]
    known = np.stack([*controls, *quadratic, *squares], axis=1)
    design = np.concatenate([np.ones((len(known), 1)), known], axis=1)
    fitted, *_ = np.linalg.lstsq(design, values, rcond=None)
    left = values - design @ fitted
    members = len(values)
    error = np.sqrt((left**2).sum(axis=0) / (members - design.shape[1]) / members)
    return Estimate(Moments(*map(float, fitted[0])), Moments(*map(float, error)), members)
