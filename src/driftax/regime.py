"""How an optimizer moves along the ladder of time steps.

A study looks at one optimizer on finer and finer clocks. The *regime* says what stays fixed while the
time step falls; the *role* of a number says how that number moves. Both regimes, every optimizer and
every optax alias are described by the one table below.

Source: callisti2025, the ballistic and batch-equivalent regimes (re-derived: dimensional analysis).
"""

from __future__ import annotations

import enum

from driftax._types import Scalar


class Regime(enum.Enum):
    """What is held fixed as the time step falls."""

    BALLISTIC = "ballistic"
    BATCH_EQUIVALENT = "batch-equivalent"


class Role(enum.Enum):
    """What a hyperparameter is, which decides how it moves along the ladder."""

    LEARNING_RATE = "learning rate"
    DECAY = "decay"  # moves through its rate 1 - decay
    EPS = "eps"
    DECOUPLED_DECAY = "decoupled weight decay"
    L2_DECAY = "l2 weight decay"


def gradient_dimension(role: Role, normalised: bool) -> int:
    """The power of [gradient] in a hyperparameter, where params are dimensionless.

    A normalised step (sign, RMSprop, Adam) does not change when gradients, eps and an L2 decay are
    multiplied by one number; a plain step does, so its learning rate carries 1/[gradient].
    """
    if role in (Role.EPS, Role.L2_DECAY):
        return 1
    if role is Role.LEARNING_RATE:
        return 0 if normalised else -1
    if role is Role.DECOUPLED_DECAY:
        return 0 if normalised else 1
    return 0


def ladder_power(role: Role, normalised: bool, regime: Regime) -> float:
    """The power of the rung's scale s by which a hyperparameter is multiplied.

    In the batch-equivalent regime the gradient noise grows like s**(-1/2): a number of gradient
    dimension n must move like s**(-n/2) on top of what the step itself asks (learning_rate and
    decoupled decay share the factor s of one step).
    """
    if role is Role.DECAY:
        return 1.0
    if regime is Regime.BALLISTIC:
        return 1.0 if role is Role.LEARNING_RATE else 0.0
    if role is Role.EPS:
        return -0.5
    if role is Role.LEARNING_RATE:
        return 0.5 if normalised else 1.0
    if role is Role.DECOUPLED_DECAY:
        return 0.5 if normalised else 0.0
    return 0.0  # an L2 decay is part of the objective


def move(value: Scalar, role: Role, scale: Scalar, power: float | int) -> Scalar:
    """`value` on a rung: multiplied by scale**power, through its rate for a decay."""
    factor = scale**power if power else 1.0
    return 1 - (1 - value) * factor if role is Role.DECAY else value * factor
