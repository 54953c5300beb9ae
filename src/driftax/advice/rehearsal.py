r"""The verdict of a rehearsal: whether the equation follows the optimizer from a checkpoint.

SVAG with factor m takes steps m times as small whose noise is m times as large, which is m times as near to the
equation: the mean loss after the same time is `L_m = L + c / m + o(1/m)`, so that the equation's own is found by a
line in 1/m through 1 (the optimizer) and the factors. What the line leaves out matters where the distance is large.

The equation is that of the batch-equivalent ladder: for RMSprop and Adam the one whose second moment is all noise (the
square-root rule is its symmetry), for SGD with momentum the one without memory. "Not valid" does not speak of others.

Source: li2021, Theorem 4.3 (convergence to the equation); malladi2022 (RMSprop and Adam).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from driftax._errors import DriftaxError
from driftax.scaling.rules import RULES
from driftax.scaling.settings import Settings

_REACH = 3.0  # standard errors of a verdict from many members
_LOOKS = 4
VALID, INVALID, INCONCLUSIVE = "valid", "not valid", "inconclusive"


class Rehearsal(NamedTuple):
    """What a rehearsal found.

    Args:
        verdict: valid, not valid or inconclusive.
        distance: of the equation's mean loss from the optimizer's over `scale`, the largest over the looks; noise
            alone makes it about 1.5 standard errors.
        standard_error: of the distance there.
        tolerance: up to which an equation is valid.
        scale: range of the optimizer's mean loss plus the deviation of one member at the end.
        looks: optimizer steps at which losses were taken [look].
        means: mean loss of every factor [look]; factor 1 is the optimizer.
        errors: standard errors of the differences from the optimizer [look].
        members: of every factor.
        reason: what decided the verdict, or what would.
        equation: the one that was judged.
    """

    verdict: str
    distance: float
    standard_error: float
    tolerance: float
    scale: float
    looks: np.ndarray
    means: dict[int, np.ndarray]
    errors: dict[int, np.ndarray]
    members: int
    reason: str
    equation: str = "the equation"

    def __str__(self) -> str:
        return f"{self.equation} is {self.verdict} here: {self.reason}"


def rehearsal(
    losses: Mapping[int, np.ndarray],
    looks: np.ndarray,
    tolerance: float = 0.1,
    false_alarm: float = 0.01,
    equation: str = "the equation",
) -> Rehearsal:
    """Judges the losses of SVAG continuations.

    Args:
        losses: of every factor [member, look]; factor 1 is the optimizer, the others follow the equation better.
        looks: optimizer steps [look].
        tolerance: largest distance of a valid equation, over range and spread of the loss.
        false_alarm: probability that noise alone makes a verdict, over all looks (Bonferroni).
        equation: its name in the verdict.
    """
    base = losses[1]
    factors = sorted(m for m in losses if m > 1)
    members, count = base.shape
    with np.errstate(invalid="ignore"):  # of members that diverged
        means = {m: values.mean(axis=0) for m, values in losses.items()}
        differences = {m: losses[m] - base for m in factors}
        errors = {m: values.std(axis=0, ddof=1) / math.sqrt(members) for m, values in differences.items()}
        scale = float(np.ptp(means[1]) + base[:, -1].std(ddof=1))

    def found(verdict: str, distance: float, error: float, reason: str) -> Rehearsal:
        given = tolerance, scale, np.asarray(looks), means, errors, members
        return Rehearsal(verdict, distance, error, *given, reason, equation)

    lost = [m for m, values in losses.items() if not np.all(np.isfinite(values))]
    if lost:
        who = "the optimizer itself" if 1 in lost else f"SVAG with factor {lost[0]}"
        return found(INVALID, math.inf, math.nan, f"{who} diverged")
    if scale == 0:
        return found(
            INCONCLUSIVE, math.nan, math.nan, "the loss does not move: more steps, or a learning rate above 0"
        )
    # Least squares through 0 in x = 1 - 1/m, member by member: the factors share the optimizer's losses.
    weights = {m: 1 - 1 / m for m in factors}
    total = sum(x * x for x in weights.values())
    apart = sum(x * differences[m] for m, x in weights.items()) / total
    mean, error = apart.mean(axis=0) / scale, apart.std(axis=0, ddof=1) / math.sqrt(members) / scale
    place = int(np.argmax(np.abs(mean)))
    reach = float(stats.t.ppf(1 - false_alarm / (2 * count), members - 1))
    distance, spread = float(abs(mean[place])), float(error[place])
    told = f"mean losses {100 * distance:.3g} % of its range apart (standard error {100 * spread:.2g} %), "
    told += f"tolerance {100 * tolerance:g} %"
    if distance < 2.5 * spread:
        told += ", no more than noise alone gives"
    if np.all(np.abs(mean) + reach * error <= tolerance):
        return found(VALID, distance, spread, told)
    if np.any(np.abs(mean) - reach * error > tolerance):
        return found(INVALID, distance, spread, f"{told}; take smaller steps, or trust the optimizer alone")
    needed = math.ceil(members * (2 * _REACH * spread / tolerance) ** 2)
    return found(
        INCONCLUSIVE, distance, spread, f"{told}; about members={max(needed, 2 * members)} would tell"
    )


def equation_of(asked: str, settings: Settings) -> str:
    """What becomes of the optimizer as the factors grow, in words.

    Raises:
        DriftaxError: for an optimizer whose equation has no such ladder.
    """
    if settings.adaptive:
        return "the equation whose second moment is all noise"
    if settings.optimizer != "sgd":
        name = settings.optimizer
        raise DriftaxError(f"{asked} of {name}", "no SVAG is known for it", "SGD, RMSprop, Adam or AdamW")
    return "the equation without momentum's memory" if settings.b1 else "the equation"


def at_factor(settings: Settings, factor: int) -> Settings:
    """The numbers of an optimizer 1/factor of a step at a time: those of a batch 1/factor as large."""
    if factor == 1:
        return settings
    rule = RULES["sqrt-decay" if settings.decoupled else "sqrt"] if settings.adaptive else RULES["linear"]
    return rule.move(settings, 1 / factor, math.nan)


def weights_of(factor: int) -> tuple[float, ...]:
    """Of the gradients of two batches, whose sum has the same mean and factor times the noise.

    Source: li2021, eq. (7).
    """
    root = math.sqrt(2 * factor - 1)
    return ((1 + root) / 2, (1 - root) / 2) if factor > 1 else (1.0,)


def looks_of(steps: int) -> np.ndarray:
    """Optimizer steps at which losses are taken [look]."""
    return np.unique(np.linspace(0, steps, _LOOKS + 1).round().astype(int))


def check_numbers(
    asked: str,
    steps: int,
    factors: Sequence[int],
    members: int,
    batch: int | None,
    looked_at: int,
    tolerance: float,
    seed: int,
) -> None:
    """Refuses numbers out of range."""
    numbers = [("steps", steps, 1), ("members", members, 4), ("looked_at", looked_at, 1), ("seed", seed, 0)]
    for name, value, least in [*numbers, *([] if batch is None else [("batch", batch, 1)])]:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DriftaxError(asked, f"{name} = {value!r}", f"{name}={least} or more")
    listed = isinstance(factors, Sequence) and not isinstance(factors, str) and len(factors) > 0
    if not listed or any(isinstance(m, bool) or not isinstance(m, int) or m < 2 for m in factors):
        raise DriftaxError(asked, f"factors = {factors!r}", "whole numbers of 2 or more: (2, 4)")
    if not (isinstance(tolerance, float | int) and 0 < tolerance < math.inf):
        raise DriftaxError(asked, f"tolerance = {tolerance!r}", "tolerance=0.1, a share above 0")
