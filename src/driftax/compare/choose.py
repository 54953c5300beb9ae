"""Which description of an optimizer is good enough: the cheapest whose predicted weak error is below a tolerance.

The weak error is predicted from the first two moments of optimizer and equation, both closed at the second:

    optimizer   z' = z + m + 1/2 m'' : P,     P' = (1 + J) P (1 + J)^T + C + 1/2 C'' : P
    equation    dz = b + 1/2 b'' : P,         dP = B P + P B^T + A + 1/2 A'' : P        (integrated exactly)

with m, C the moments of one step and b, A drift and covariance per step. An observable's mean is `f(z) + 1/2 f'' : P`;
what the closure leaves out it leaves out in both, so that errors of order 1 come out to a few percent and those
of order 2 within a factor of about 3. Third moments of one step, which decide in the batch-equivalent regime, are
not seen: where the obstruction is there, the order-2 equation on the state itself is passed by.

Source: re-derived (moment closure of the one-step moments).
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Flat, Matrix, Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.step_moments import flat_covariance, flat_mean
from driftax.equation import ModifiedEquation, derive
from driftax.equation.extended import NAME as EXTENDED
from driftax.equation.extended import why_not
from driftax.equation.published import PublishedEquation
from driftax.regime import Regime
from driftax.statistics.observables import Observables

OPTIMIZER = "optimizer"  # nothing cheaper is good enough
_NODES = 3  # per coordinate: exact to the order of an equation
_SUBSTEPS = 2  # of the classical Runge-Kutta method per step: exact beside the errors looked for
_LARGEST = 12  # state coordinates of which all first and second moments are taken
_OBSTRUCTED = 1e-6  # of h^2: third moments that no equation on the state has


class Candidate(NamedTuple):
    """A description, and what is predicted of it.

    Attributes:
        model: its name in a study.
        predicted: weak error at the horizon, equation minus optimizer; None where it is not predicted.
        reason: why it was passed by, or chosen.
    """

    model: str
    predicted: float | None
    reason: str


class Choice(NamedTuple):
    """The cheapest description that is good enough, and all that were looked at, cheapest first."""

    model: str
    predicted: float | None
    candidates: tuple[Candidate, ...]


def choose_model(
    chain: Chain, start: Slots, tolerance: float, horizon: int, observable: str = "loss", step: Scalar = 0.0
) -> Choice:
    """The cheapest adequate description: ODE, order 1, order 2, extended state, or the optimizer itself.

    Args:
        chain: the optimizer at its own hyperparameters.
        start: state [slot, dim] in the regime's units.
        tolerance: largest weak error that is accepted, in the observable's units.
        horizon: steps.
        observable: `loss`, `SLOT_sq` or `SLOT[i]`.
        step: steps taken before.

    Raises:
        DriftaxError: for a tolerance or horizon that is not above 0, or a state of more than 12 coordinates.

    Example:
        >>> import jax.numpy as jnp
        >>> from driftax import SGD, Chain, GaussianNoise, Quadratic
        >>> chain = Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.01), SGD(0.01))
        >>> choose_model(chain, jnp.ones((1, 1)), tolerance=0.1, horizon=50).model
        'ode'
    """
    if not (tolerance > 0 and horizon > 0):
        found = f"tolerance = {tolerance:g}, horizon = {horizon}"
        raise DriftaxError("`choose_model`", found, "a tolerance and a number of steps above 0")
    if start.size > _LARGEST:
        raise DriftaxError(
            "`choose_model`",
            f"a state of {start.size} coordinates",
            f"a state of at most {_LARGEST}: a few parameters that stand for the others",
        )
    candidates: list[Candidate] = []
    for model in ("ode", "derived-1", "derived-2"):
        candidates.append(_judged(model, chain, start, tolerance, horizon, observable, step))
        predicted = candidates[-1].predicted
        if predicted is not None and abs(predicted) <= tolerance:
            return Choice(model, predicted, tuple(candidates))
    if why_not(chain) is None and candidates[-1].predicted is None:
        reason = "order 2 on the extended state; its error is not predicted: compare with `driftax verify`"
        candidates.append(Candidate(EXTENDED, None, reason))
    candidates.append(Candidate(OPTIMIZER, 0.0, "no equation is known to be good enough"))
    return Choice(OPTIMIZER, 0.0, tuple(candidates))


def _judged(
    model: str, chain: Chain, start: Slots, tolerance: float, horizon: int, observable: str, step: Scalar
) -> Candidate:
    """A model with its predicted error."""
    order = 2 if model == "derived-2" else 1
    allowed = order == 2  # the obstruction is looked at below
    equation = derive(
        chain,
        weak_order=order,
        at=start,
        step=step,
        allow_obstructed=allowed,
        stochastic=model != "ode",
        full=chain.regime is Regime.BATCH_EQUIVALENT,
        nodes=_NODES,
    )
    if equation.obstruction is not None and abs(equation.obstruction.third) > _OBSTRUCTED:
        if chain.regime is Regime.BATCH_EQUIVALENT:
            return Candidate(model, None, "third moments of one step that no equation on this state has")
    predicted = predict_weak_error(equation, start, horizon, observable, step)
    if not np.isfinite(predicted):
        return Candidate(model, None, "a mean path that leaves the domain")
    return Candidate(model, predicted, f"predicted {predicted:.2e}, tolerance {tolerance:.2e}")


def predict_weak_error(
    equation: ModifiedEquation | PublishedEquation,
    start: Slots,
    horizon: int,
    observable: str = "loss",
    step: Scalar = 0.0,
) -> float:
    """`E f(equation) - E f(optimizer)` after `horizon` steps, by the closed moments of both.

    Args:
        equation: at the optimizer's own hyperparameters.
        start: state [slot, dim].
        horizon: steps.
        observable: whose mean is compared.
        step: steps taken before.
    """
    chain = equation.chain
    function = Observables(chain.objective, chain.slots, (observable,))

    def mean_of(moments: Moments) -> float:
        def value(flat: Flat) -> Float[Array, ""]:
            return function(chain.natural(flat.reshape(start.shape)))[0]

        flat, spread = moments
        return float(value(flat) + 0.5 * jnp.sum(jax.hessian(value)(flat) * spread))

    begin = Moments(start.reshape(-1), jnp.zeros((start.size, start.size)))
    steps, step = jnp.asarray(horizon), jnp.asarray(step, float)
    return mean_of(_equation_end(equation, begin, steps, step)) - mean_of(
        _optimizer_end(chain, begin, steps, step)
    )


class Moments(NamedTuple):
    """Mean [state] and covariance [state, state]."""

    mean: Flat
    covariance: Matrix


@eqx.filter_jit
def _equation_end(
    equation: ModifiedEquation | PublishedEquation, begin: Moments, horizon: Array, step: Scalar
) -> Moments:
    """The moments of the equation after `horizon` steps."""

    def one_step(k, now):
        return jax.lax.fori_loop(
            0, _SUBSTEPS, lambda i, at: _runge_kutta(equation, step + k + i / _SUBSTEPS, at), now
        )

    return jax.lax.fori_loop(0, horizon, one_step, begin)


@eqx.filter_jit
def _optimizer_end(chain: Chain, begin: Moments, horizon: Array, step: Scalar) -> Moments:
    """The moments of the optimizer after `horizon` steps; compiled once for all its equations."""
    mean, covariance = flat_mean(chain, _NODES), flat_covariance(chain, _NODES)

    def one_step(k, now):
        transport, bent, noise = _seen(mean, covariance, step + k, now)
        spread = transport @ now.covariance @ transport.T + noise
        return Moments(now.mean + bent, spread)

    return jax.lax.fori_loop(0, horizon, one_step, begin)


def _seen(drift, covariance, number: Scalar, now: Moments):
    """`1 + J`, and the means of drift and covariance over members spread like `now`."""
    flat, spread = now

    def along(y):
        return drift(number, y)

    jacobian = jax.jacfwd(along)
    transport = jnp.eye(flat.size) + jacobian(flat)
    bent = along(flat) + 0.5 * jnp.einsum("ijk,jk->i", jax.jacfwd(jacobian)(flat), spread)
    second = jax.jacfwd(jax.jacfwd(lambda y: covariance(number, y)))(flat)
    noise = covariance(number, flat) + 0.5 * jnp.einsum("abjk,jk->ab", second, spread)
    return transport, bent, noise


def _runge_kutta(equation, number: Scalar, now: Moments) -> Moments:
    """The moments of the equation a substep later."""
    dt = 1 / _SUBSTEPS

    def slope(at: Moments, shift: Scalar) -> Moments:
        transport, bent, noise = _seen(equation.step_drift, equation.step_covariance, number + shift, at)
        turned = (transport - jnp.eye(len(bent))) @ at.covariance
        return Moments(bent, turned + turned.T + noise)

    def moved(at: Moments, by: Moments, length: Scalar) -> Moments:
        return jax.tree.map(lambda a, b: a + length * b, at, by)

    def stage(carry, numbers):  # a loop: written out, it takes four times as long to compile
        before, end = carry
        ahead, weight = numbers
        found = slope(moved(now, before, ahead * dt), ahead * dt)
        return (found, moved(end, found, weight * dt)), None

    stages = jnp.asarray([0.0, 0.5, 0.5, 1.0]), jnp.asarray([1.0, 2.0, 2.0, 1.0]) / 6
    (_, end), _ = jax.lax.scan(stage, (jax.tree.map(jnp.zeros_like, now), now), stages)
    return end
