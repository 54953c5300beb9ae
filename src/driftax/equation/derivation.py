"""`derive`: from an optimizer, an objective and a gradient law to the equation of weak order 1 or 2."""

from __future__ import annotations

import math

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.integration import (
    check_integration,
    check_moments,
    check_slow,
    not_finite,
)
from driftax.compiler.kinks import continuous_law
from driftax.compiler.obstruction import Obstruction, Term, growing, obstruction, persistent
from driftax.compiler.step_moments import shape_of
from driftax.equation._value import Method, ModifiedEquation, Record
from driftax.equation.extended import NAME as EXTENDED
from driftax.equation.extended import why_not
from driftax.optimizer.structure import Structure
from driftax.regime import Regime

NODES = 15  # Gauss-Hermite nodes per coordinate: the step of an updated denominator to about 1e-10
_SLOW = 0.1  # a power of h too small to be told from a constant on the rungs


def derive(
    chain: Chain,
    *,
    weak_order: int = 2,
    method: Method = Method.FINITE_STEP,
    at: Slots | None = None,
    step: Scalar = 0.0,
    allow_obstructed: bool = False,
    stochastic: bool = True,
    full: bool = True,
    nodes: int = NODES,
) -> ModifiedEquation:
    """The equation an optimizer follows to the given weak order.

    Args:
        chain: optimizer, objective and gradient law on one rung.
        weak_order: 1 or 2.
        method: finite-step moments (any optimizer), or taylor coefficients (driftax's own optimizers).
        at: a state [slot, dim] at which the obstruction is computed; needed to know that order 2 exists.
        step: the number of steps taken at that state.
        allow_obstructed: returns the equation although its order does not exist.
        stochastic: False for the ODE of the drift alone.
        full: False leaves out terms of O(h^3) in the ballistic regime, which leaves one Jacobian-vector product.
        nodes: quadrature nodes per coordinate.

    Raises:
        DriftaxError: if the order does not exist at `at`, or a sign optimizer meets a law it cannot integrate.

    Example:
        >>> import jax.numpy as jnp
        >>> from driftax import Chain, GaussianNoise, Quadratic, SGD
        >>> chain = Chain(Quadratic(jnp.eye(1)), GaussianNoise(0.5), SGD(0.1))
        >>> equation = derive(chain, weak_order=2)
        >>> round(float(equation.drift(0.0, jnp.array([1.0]))[0]), 6)
        -1.05
    """
    if weak_order not in (1, 2):
        raise DriftaxError("`derive(weak_order)`", f"weak_order = {weak_order}", "weak_order = 1 or 2")
    shape = shape_of(chain, chain.objective.dim or 2)
    if not shape.smooth:
        continuous_law(chain)  # refuses any other, and says why
    check_moments(chain, weak_order)
    found, off = None, None
    if at is not None:
        check_slow(chain, step, at, nodes)
        off = check_integration(chain, weak_order, step, at, nodes)
    if at is not None and stochastic:
        found = _judged(chain, weak_order, at, step, nodes, allow_obstructed)
    record = _record(chain, method, nodes, shape, off)
    return ModifiedEquation(chain, found, weak_order, method, nodes, stochastic, full, record)


def _record(chain: Chain, method: Method, nodes: int, shape: Structure, off: float | None) -> Record:
    """What the equation is made from; `off` is the error of the joint quadrature where it is known."""
    return Record(
        chain.optimizer.name,
        type(chain.objective).__name__,
        type(chain.noise).__name__,
        chain.regime.value,
        "log second moments" if chain.log_second_moments else "natural",
        nodes,
        "first two moments of one step"
        if method is Method.FINITE_STEP
        else "Taylor coefficients of one step",
        "one coordinate at a time" if shape.elementwise else _joint_quadrature(shape, off),
    )


def _joint_quadrature(shape: Structure, off: float | None) -> str:
    error = "unknown: no state was given" if off is None else f"{off:.1e} of its mean"
    return f"whole gradients, since coordinates mix ({shape.mixing}); error {error}"


def _judged(
    chain: Chain, weak_order: int, at: Slots, step: Scalar, nodes: int, allow_obstructed: bool
) -> Obstruction | None:
    """The obstruction to order 2; refuses an order that does not exist."""
    if weak_order == 1:
        if not allow_obstructed:
            _refuse_below_1(chain, at, step, nodes)
        return None
    found = obstruction(chain, step, at, nodes)
    if not math.isfinite(found.third + found.fourth):
        raise not_finite(f"`derive(weak_order=2)` of {chain.optimizer.name}")
    if not allow_obstructed:
        _refuse_obstructed(chain, at, step, nodes)
    return found


def _refuse_obstructed(chain: Chain, at: Slots, step: Scalar, nodes: int) -> None:
    if chain.regime is Regime.BALLISTIC:
        return  # the noise of a step is O(h) there, and both terms O(h^3)
    found = persistent(chain, step, at, nodes)
    if found is None:
        return
    if not math.isfinite(found.value):
        raise not_finite(f"`derive(weak_order=2)` of {chain.optimizer.name}")
    size = f"{found.value:.4g} h^2 {found.where}, and it does not fall with the time step h"
    if found.rate < -_SLOW:
        power = f"h^{2 - found.rate:.2g}, not h^3, as the time step h falls"
        size = f"{found.where} of size {power}: no equation is of an order above {1 - found.rate:.2g}"
    raise DriftaxError(
        f"`derive(weak_order=2)` of {chain.optimizer.name} in the {chain.regime.value} regime",
        f"{_degree(found)} moments of one step that no equation on this state has: {size}",
        _in_place_of_order_2(chain),
    )


def _degree(term: Term) -> str:
    return "third-order" if term.degree == 3 else "fourth-order"


def _refuse_below_1(chain: Chain, at: Slots, step: Scalar, nodes: int) -> None:
    if chain.regime is Regime.BALLISTIC or chain.noise.gaussian or chain.noise.sampled:
        return  # the ladder of a sampled law is a formality: a batch of less than one example does not exist
    found = growing(chain, step, at, nodes)
    if found is None:
        return
    order = max(0.0, round(1 - found.rate, 3))
    raise DriftaxError(
        f"`derive(weak_order=1)` of {chain.optimizer.name} in the {chain.regime.value} regime",
        f"{_degree(found)} moments of one step at {found.where} of size "
        f"h^{2 - found.rate:.2g}, not h^2: as the time step h falls the gradient noise ({type(chain.noise).__name__}) "
        f"stays away from a Gaussian law, and no equation is of an order above {order:.2g}",
        "the ballistic regime, a law without skewness, or allow_obstructed=True (--allow-obstructed)",
    )


def _in_place_of_order_2(chain: Chain) -> str:
    """What to write where order 2 does not exist, from the strongest claim to the weakest."""
    one, two = 'weak_order = 1 (models = ["derived-1"])', "allow_obstructed=True (--allow-obstructed)"
    if why_not(chain) is None:
        return (
            f'models = ["{EXTENDED}"], of order 2 on a state with one coloured noise per parameter; {one}; or '
            f"{two}, of order 2 only for observables of the second moment alone, such as nu_sq"
        )
    return f"{one}, or {two}, which is of order 2 only for observables this derivative does not see"
