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
    RATE = "rate per step"  # a pure number per step, such as the momentum_decay of NAdam
    EPS = "eps"  # compared with a gradient: eps beside a root, a clipping threshold
    EPS_ROOT = "eps inside a root"  # compared with a squared gradient
    EPS_ROOT_RATE = "eps added to a second moment in every step"
    FIXED = "fixed"  # a pure number that is the same on every rung, such as a beta inside a sign
    DECOUPLED_DECAY = "decoupled weight decay"
    L2_DECAY = "l2 weight decay"


class Clock(enum.Enum):
    """What the time step h of an optimizer is made of (in the batch-equivalent regime of a normalised one, squared)."""

    RATE = "rate"  # learning_rate
    BUFFER = "buffer"  # learning_rate / (1 - decay): a heavy-ball buffer sums 1/(1 - decay) gradients
    SUM = "sum"  # learning_rate^2: a sum of squares grows like the number of steps


def gradient_dimension(role: Role, normalised: bool) -> int:
    """The power of [gradient] in a hyperparameter, where params are dimensionless.

    A normalised step (sign, RMSprop, Adam) does not change when gradients, eps and an L2 decay are
    multiplied by one number; a plain step does, so its learning rate carries 1/[gradient].
    """
    if role in (Role.EPS, Role.L2_DECAY):
        return 1
    if role in (Role.EPS_ROOT, Role.EPS_ROOT_RATE):
        return 2
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
    if role in (Role.DECAY, Role.RATE):
        return 1.0
    if regime is Regime.BALLISTIC:
        return 1.0 if role is Role.LEARNING_RATE else 0.0
    if role in (Role.EPS, Role.EPS_ROOT):
        return -0.5 * gradient_dimension(role, normalised)
    if role is Role.LEARNING_RATE:
        return 0.5 if normalised else 1.0
    if role is Role.DECOUPLED_DECAY:
        return 0.5 if normalised else 0.0
    return 0.0  # an L2 decay is part of the objective


def rate_power(clock: Clock, normalised: bool, regime: Regime) -> float:
    """The power of the rung's scale by which a learning rate moves, so that the time step moves by the scale."""
    power = ladder_power(Role.LEARNING_RATE, normalised, regime)
    return {Clock.RATE: power, Clock.BUFFER: power + 1.0, Clock.SUM: power - 0.5}[clock]


def clock_step(
    clock: Clock, normalised: bool, regime: Regime, learning_rate: Scalar, decay: Scalar = 0.0
) -> Scalar:
    """The time step h at rung 1."""
    if clock is Clock.SUM:
        return learning_rate**2
    rate = learning_rate / (1 - decay) if clock is Clock.BUFFER else learning_rate
    return rate**2 if normalised and regime is Regime.BATCH_EQUIVALENT else rate


def move(value: Scalar, role: Role, scale: Scalar, power: float | int) -> Scalar:
    """`value` on a rung: multiplied by scale**power, through its rate for a decay."""
    factor = scale**power if power else 1.0
    return 1 - (1 - value) * factor if role is Role.DECAY else value * factor
