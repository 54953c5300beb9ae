"""`derive`: from an optimizer, an objective and a gradient law to the equation of weak order 1 or 2."""

from __future__ import annotations

import math

import jax.numpy as jnp

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.obstruction import obstruction, persistent
from driftax.equation._value import Method, ModifiedEquation, Record
from driftax.noise import MinibatchNoise
from driftax.regime import Regime

NODES = 15  # Gauss-Hermite nodes per coordinate: the step of an updated denominator to about 1e-10


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
        allow_obstructed: returns the order-2 equation although order 2 does not exist.
        stochastic: False for the ODE of the drift alone.
        full: False leaves out terms of O(h^3) in the ballistic regime, which leaves one Jacobian-vector product.
        nodes: quadrature nodes per coordinate.

    Raises:
        DriftaxError: if order 2 does not exist at `at`, or a sign optimizer meets a law it cannot integrate.

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
    if not chain.optimizer.smooth and isinstance(chain.noise, MinibatchNoise):
        nowhere = jnp.zeros(chain.objective.dim)
        chain.noise.sign_moments(chain.objective, nowhere, nowhere)  # refuses, and says why
    found = None
    if at is not None and weak_order == 2 and stochastic:
        found = obstruction(chain, step, at, nodes)
        if not allow_obstructed:
            _refuse_obstructed(chain, at, step, nodes)
    record = Record(
        chain.optimizer.name,
        type(chain.objective).__name__,
        type(chain.noise).__name__,
        chain.regime.value,
        "log second moments" if chain.log_second_moments else "natural",
        nodes,
        "first two moments of one step"
        if method is Method.FINITE_STEP
        else "Taylor coefficients of one step",
    )
    return ModifiedEquation(chain, found, weak_order, method, nodes, stochastic, full, record)


def _refuse_obstructed(chain: Chain, at: Slots, step: Scalar, nodes: int) -> None:
    if chain.regime is Regime.BALLISTIC:
        return  # the noise of a step is O(h) there, and both terms O(h^3)
    found = persistent(chain, step, at, nodes)
    if found is None:
        return
    if not math.isfinite(found.third + found.fourth):
        raise DriftaxError(
            f"`derive(weak_order=2)` of {chain.optimizer.name} at a state",
            "moments of one step that are not finite there",
            "a state with second moments above 0, as a handover gives",
        )
    third = abs(found.third) >= abs(found.fourth)
    where = found.third_at if third else found.fourth_at
    value = found.third if third else found.fourth
    unseen = " (those of the second moment alone)" if "nu" in chain.slots else ""
    raise DriftaxError(
        f"`derive(weak_order=2)` of {chain.optimizer.name} in the {chain.regime.value} regime",
        f"{'third' if third else 'fourth'}-order moments of one step that no equation on this state has: "
        f"{value:.4g} h^2 {where}, and it does not fall with the time step h",
        'weak_order = 1 (models = ["derived-1"]), or allow_obstructed=True (--allow-obstructed), which is of '
        f"order 2 only for observables this derivative does not see{unseen}",
    )
