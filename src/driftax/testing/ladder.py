"""How a rule moves along the ladder of time steps, in every regime it has."""

from __future__ import annotations

import jax
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer._base import is_decay
from driftax.regime import Regime
from driftax.testing.report import Row

_FIRST, _SECOND = 0.5, 0.25


def check_ladder(optimizer: AbstractOptimizer) -> list[Row]:
    """Refuses ladders whose rungs do not compose, or whose time step is not the rung's."""
    return [_check_regime(optimizer, regime) for regime in Regime]


def refusal(optimizer: AbstractOptimizer, regime: Regime) -> DriftaxError | None:
    """Why the optimizer says that it has no limit in a regime, if it says so."""
    try:
        optimizer.check_regime(regime)
        optimizer.at(_FIRST, regime).time_step(regime)
    except DriftaxError as error:
        return error
    return None


def _check_regime(optimizer: AbstractOptimizer, regime: Regime) -> Row:
    name = f"ladder, {regime.value}"
    refused = refusal(optimizer, regime)
    if refused is not None:
        return Row(name, f"refused: {refused.found}")
    asked = f"`at(scale)` of {optimizer.name} in the {regime.value} regime"
    steps, straight = (
        optimizer.at(_FIRST, regime).at(_SECOND, regime),
        optimizer.at(_FIRST * _SECOND, regime),
    )
    for one, other in zip(jax.tree.leaves(steps), jax.tree.leaves(straight), strict=True):
        if not np.allclose(one, other, rtol=1e-12, atol=0):
            raise DriftaxError(
                asked,
                f"the number {one} at scale {_FIRST} and then {_SECOND}, and {other} at {_FIRST * _SECOND} at once",
                "no `at` and `scaled` of your own: `roles` and `ladder` say all",
            )
    same = optimizer.at(1.0, regime)
    if not all(
        np.allclose(x, y, rtol=1e-12)
        for x, y in zip(jax.tree.leaves(same), jax.tree.leaves(optimizer), strict=True)
    ):
        raise DriftaxError(asked, "other numbers than its own at scale 1", "the optimizer itself at scale 1")
    first = float(optimizer.time_step(regime))
    fine = float(straight.time_step(regime)) / first
    if not np.isclose(fine, _FIRST * _SECOND, rtol=1e-12):
        raise DriftaxError(
            asked,
            f"a time step that moves by {fine:.4g} on the rung {_FIRST * _SECOND}",
            "a `time_step` and a `ladder` that fit: the time step moves by the scale itself",
        )
    moves = [_moved(n, optimizer, power) for n, power in optimizer.ladder(regime).items() if power]
    return Row(name, ", ".join(moves) if optimizer.roles else "by its own family", first)


def _moved(name: str, optimizer: AbstractOptimizer, power: float) -> str:
    what = f"1 - {name}" if is_decay(name, optimizer.roles.get(name)) else name
    return f"{what} * s" if power == 1 else f"{what} * s^{power:g}"
