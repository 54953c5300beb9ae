"""Every alias of optax's main namespace: how its numbers move along the ladder, or why it has no equation.

Source: re-derived (dimensional analysis, `driftax.regime`); the certificate decides, see docs/optax.md.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

import optax

from driftax.regime import Clock, Regime, Role

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
_RATE = {"learning_rate": Role.LEARNING_RATE}
_MOMENTS = {**_RATE, "b1": Role.DECAY, "b2": Role.DECAY, "eps": Role.EPS, "eps_root": Role.EPS_ROOT}
_WITH_DECAY = {**_MOMENTS, "weight_decay": Role.DECOUPLED_DECAY}


class Alias(NamedTuple):
    """How one alias moves.

    Args:
        roles: what each of its numbers is.
        normalised: whether the step stays the same when gradients are rescaled.
        clock: what the time step is made of.
        momentum: the decay that makes a buffer of it, for `Clock.BUFFER`.
        units: of the slots that grow or shrink along the ladder: their powers of the time step by which they are
            multiplied, ballistic and batch-equivalent.
        regimes: in which it has a limit.
        note: why not in the others.
    """

    roles: Mapping[str, Role]
    normalised: bool = True
    clock: Clock = Clock.RATE
    momentum: str | None = None
    units: Mapping[str, tuple[float, float]] = {}
    regimes: tuple[Regime, ...] = (BALLISTIC, BATCH)
    note: str = ""


_NU = {"nu": (0.0, 1.0)}
_NORM_OF_SLOW = (
    "a slow average, normalised: its drift grows like 1/learning_rate in the batch-equivalent regime"
)
_SIGN_OF_SLOW = (
    "the sign of a slow average: its drift grows like 1/learning_rate in the batch-equivalent regime"
)

ALIASES: dict[str, Alias] = {
    "adabelief": Alias({**_MOMENTS, "eps_root": Role.EPS_ROOT_RATE}, units=_NU),
    "adadelta": Alias(
        {**_RATE, "rho": Role.DECAY, "eps": Role.FIXED, "weight_decay": Role.L2_DECAY},
        units={"e_g": (0.0, 1.0)},
        regimes=(BALLISTIC,),
        note="one eps for squared gradients and squared steps, which move differently when the noise grows",
    ),
    "adagrad": Alias(
        {**_RATE, "eps": Role.EPS_ROOT, "initial_accumulator_value": Role.FIXED},
        clock=Clock.SUM,
        units={"sum_of_squares": (1.0, 2.0)},
    ),
    "adam": Alias(_MOMENTS, units=_NU),
    "adamw": Alias(_WITH_DECAY, units=_NU),
    "amsgrad": Alias(_MOMENTS, units={"nu": (0.0, 1.0), "nu_max": (0.0, 1.0)}),
    "fromage": Alias({**_RATE, "min_norm": Role.FIXED}),
    "lamb": Alias(_WITH_DECAY, units=_NU, regimes=(BALLISTIC,), note=_NORM_OF_SLOW),
    "lars": Alias(
        {
            **_RATE,
            "weight_decay": Role.L2_DECAY,
            "trust_coefficient": Role.FIXED,
            "eps": Role.EPS,
            "momentum": Role.DECAY,
        },
        clock=Clock.BUFFER,
        momentum="momentum",
        units={"trace": (-1.0, -1.0)},
    ),
    "lion": Alias({**_RATE, "b1": Role.FIXED, "b2": Role.DECAY, "weight_decay": Role.DECOUPLED_DECAY}),
    "nadam": Alias(_MOMENTS, units=_NU),
    "nadamw": Alias(_WITH_DECAY, units=_NU),
    "novograd": Alias(
        _WITH_DECAY, clock=Clock.BUFFER, momentum="b1", units={"mu": (1.0, 0.5), "nu": (0.0, 1.0)}
    ),
    "radam": Alias({**_MOMENTS, "threshold": Role.FIXED}, units=_NU),
    "rmsprop": Alias(
        {
            **_RATE,
            "decay": Role.DECAY,
            "eps": Role.EPS,
            "initial_scale": Role.FIXED,
            "momentum": Role.DECAY,
        },
        momentum="momentum",
        units={"nu": (0.0, 1.0), "trace": (-1.0, -1.0)},
    ),
    "sgd": Alias(
        {**_RATE, "momentum": Role.DECAY}, normalised=False, momentum="momentum", units={"trace": (1.0, 1.0)}
    ),
    "sign_sgd": Alias(_RATE),
    "signum": Alias({**_RATE, "beta": Role.DECAY}, regimes=(BALLISTIC,), note=_SIGN_OF_SLOW),
    "sm3": Alias(
        {**_RATE, "momentum": Role.DECAY}, clock=Clock.SUM, units={"mu": (1.0, 2.0), "nu": (-0.5, -1.0)}
    ),
    "yogi": Alias({**_MOMENTS}, units=_NU),
}

# Aliases without an equation; what refuses them in practice is the state they keep or the update they need.
REFUSED: dict[str, str] = {
    "adafactor": "a second moment that forgets after a power of the number of steps: no memory fixed in time",
    "adamax": "a second moment that jumps to |g|: it does not move slowly",
    "adamaxw": "a second moment that jumps to |g|: it does not move slowly",
    "adan": "the previous gradient is part of the state: it does not move slowly",
    "lbfgs": "a line search and second-order information: a gradient alone does not drive it",
    "noisy_sgd": "an inner random key",
    "optimistic_adam": "the previous update is part of the state: it does not move slowly",
    "optimistic_adam_v2": "the previous update is part of the state: it does not move slowly",
    "optimistic_gradient_descent": "the previous gradient is part of the state: it does not move slowly",
    "polyak_sgd": "the loss of the step is an input: a gradient alone does not drive it",
    "rprop": "step sizes that change by a factor in every step: they do not move slowly",
}


def alias_names() -> list[str]:
    """Every alias of optax's main namespace: what it builds from a learning rate is an optimizer."""
    from optax._src import alias as module

    found = []
    for name in dir(optax):
        value = getattr(optax, name)
        home = value.func if isinstance(value, functools.partial) else value
        if getattr(home, "__module__", "") != module.__name__ or not callable(value):
            continue
        if any("learning_rate" in key for key in inspect.signature(value).parameters):
            found.append(name)
    return found


def clock_of(alias: Alias, values: Mapping[str, Any]) -> Clock:
    """What the time step of an alias is made of, for these keyword arguments."""
    momentum = alias.momentum and values.get(alias.momentum)
    if alias.clock is Clock.RATE and momentum is not None:
        return Clock.BUFFER
    return alias.clock


def defaults(name: str) -> dict[str, Any]:
    """The keyword arguments of `optax.NAME` with their defaults; driftax puts eps of rmsprop beside the root."""
    parameters = inspect.signature(getattr(optax, name)).parameters
    known = {k: p.default for k, p in parameters.items() if p.default is not inspect.Parameter.empty}
    return {**known, "eps_in_sqrt": False} if name == "rmsprop" else known
