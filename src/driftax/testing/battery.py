"""`check_optimizer`: the battery a rule of one's own goes through."""

from __future__ import annotations

import jax

from driftax._errors import DriftaxError
from driftax._types import Slots
from driftax.optimizer import AbstractOptimizer
from driftax.testing.arithmetic import check_arithmetic
from driftax.testing.dimensions import check_dimensions
from driftax.testing.equations import check_certificate, check_mean
from driftax.testing.ladder import check_ladder
from driftax.testing.parts import check_parts
from driftax.testing.probe import probe
from driftax.testing.report import Report
from driftax.testing.shape import check_shape
from driftax.testing.time import check_time


def check_optimizer(
    optimizer: AbstractOptimizer,
    *,
    dim: int = 2,
    certificate: bool = True,
    at: Slots | None = None,
    step: float = 8.0,
) -> Report:
    """Tries on an optimizer everything driftax relies on, and stops at the first thing that is not so.

    In this order: its parts (fields, slots, init), its arithmetic (pure, traceable, shapes, precision, members),
    time, what its trace says, the powers of [gradient], the ladder, the mean of one step, and the one-step
    certificate. The whole takes 10 to 30 seconds on two cores, nearly all of it the certificate.

    Args:
        optimizer: the rule, with its numbers.
        dim: how many parameters it is tried with, 2 or more.
        certificate: whether equations of order 1 and 2 are derived and certified.
        at: a state [slot, n] of the optimizer (in its own units) at which equations are looked at, n parameters
            wide; by default the state after `step` steps from `init` on a double well.
        step: how many steps were taken before.

    Returns:
        A report; `str(report)` is a table.

    Raises:
        DriftaxError: at the first check that fails, with what to write instead.

    Example:
        >>> from driftax import RMSprop
        >>> report = check_optimizer(RMSprop(0.1, decay=0.9, eps=0.1), certificate=False)
        >>> report.row("coordinates").outcome
        'each on its own'
    """
    with jax.enable_x64(True):
        rows = check_parts(optimizer, dim)
        _check_state(optimizer, at)
        found = probe(optimizer, dim)
        rows += check_arithmetic(optimizer, found)
        rows += check_time(optimizer, found)
        rows += check_shape(optimizer, found)
        rows += check_dimensions(optimizer, found)
        rows += check_ladder(optimizer)
        rows += check_mean(optimizer, at, step)
        if certificate:
            rows += check_certificate(optimizer, at, step)
    return Report(optimizer.name, tuple(rows))


def _check_state(optimizer: AbstractOptimizer, at: Slots | None) -> None:
    slots = list(optimizer.slots)
    if at is not None and at.shape[0] != len(slots):
        raise DriftaxError(
            "`check_optimizer(at)`",
            f"a state of shape {list(at.shape)} for the slots {slots}",
            f"at = jnp.array([{', '.join('[...]' for _ in slots)}]), one row per slot",
        )
