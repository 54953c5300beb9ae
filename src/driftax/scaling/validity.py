"""Where a rule holds: ok, doubtful or out of range, with the number that decided it."""

from __future__ import annotations

import math

from driftax.scaling.doubts import doubt, kept
from driftax.scaling.rules import LIMIT, RULES
from driftax.scaling.settings import Number, Settings

VERDICTS = OK, DOUBTFUL, OUT_OF_RANGE = "ok", "doubtful", "out of range"
MOSTLY_NOISE, MOSTLY_SIGNAL = (
    0.25,
    4.0,
)  # batch over noise scale, below and above which one of the two dominates
_TESTED = (1 / 8, 4)  # growths at which sources tried the square-root rule on large models


def judge(name: str, old: Settings, new: Settings, kappa: Number, noise_scale: Number) -> tuple[str, str]:
    """Validity of a rule and why; the noise scale is nan where it is unknown."""
    if broken := _broken(old, new, kappa):
        return OUT_OF_RANGE, broken
    if kappa == 1:
        return OK, "the same batch size"
    verdict, reason = _regime(name, old, new, kappa, noise_scale)
    doubtful = doubt(name, old, new)
    if doubtful and verdict == OK:
        verdict = DOUBTFUL
    return verdict, "; ".join(part for part in (reason, doubtful, kept(name, old)) if part)


def in_range_again(old: Settings, new: Settings) -> str:
    """What to write instead of a batch at which a number left its range; nothing if none did."""
    if beta := _lost_beta(old, new):
        return f"a batch below {_largest(old, beta)}"
    return "a smaller weight_decay" if _turns(new) else ""


def _broken(old: Settings, new: Settings, kappa: Number) -> str:
    if beta := _lost_beta(old, new):
        rate = 1 - getattr(old, beta)
        limit = f"in range below batch {_largest(old, beta)}, kappa < {1 / rate:.3g}"
        return f"{kappa:g} * (1 - {beta}) = {kappa * rate:.3g}, not below 1 ({limit})"
    if _turns(new):
        product = new.learning_rate * new.weight_decay
        return f"learning_rate * weight_decay = {product:.3g}, not below 1: a step of decay flips the params' signs"
    return ""


def _lost_beta(old: Settings, new: Settings) -> str | None:
    """The beta that left [0, 1), the one that left first where both did."""
    lost = [name for name in ("b1", "b2") if math.isnan(getattr(new, name) or 0.0)]
    return min(lost, key=lambda name: float(getattr(old, name)), default=None)


def _largest(old: Settings, beta: str) -> int:
    """The least whole batch that is out of range, but for rounding."""
    return math.ceil(round(old.batch / (1 - getattr(old, beta)), 6))


def _turns(new: Settings) -> bool:
    """A decay beside the step multiplies params by 1 - learning_rate * weight_decay."""
    return new.decoupled and new.learning_rate * new.weight_decay >= LIMIT


def _regime(name: str, old: Settings, new: Settings, kappa: Number, noise_scale: Number) -> tuple[str, str]:
    """Whether noise or gradient dominates as the rule wants it."""
    regime = RULES[name].regime
    if name == "none":
        change = f"falls {kappa:g}" if kappa > 1 else f"grows {1 / kappa:g}"
        return DOUBTFUL, f"noise per example {change} times"
    if not old.normalised:
        return _plain(name, old, kappa, noise_scale)
    if regime not in ("noise", "signal"):
        return DOUBTFUL, f"assumes {regime}"
    if math.isnan(noise_scale):
        wanted = "noise" if regime == "noise" else "the gradient"
        return DOUBTFUL, f"holds where {wanted} dominates: measure the noise scale (--noise-scale)"
    sizes = [size / noise_scale for size in (old.batch, new.batch)]
    least, most = min(sizes), max(sizes)
    told = f"batch / noise scale from {sizes[0]:.3g} to {sizes[1]:.3g}"
    noisy, clear = most <= MOSTLY_NOISE, least >= MOSTLY_SIGNAL
    inside, outside = (noisy, clear) if regime == "noise" else (clear, noisy)
    if inside and not _TESTED[0] <= kappa <= _TESTED[1]:
        return DOUBTFUL, f"{told}; {kappa:g} times the batch is more than sources tried"
    return (OK if inside else OUT_OF_RANGE if outside else DOUBTFUL), told


def _plain(name: str, old: Settings, kappa: Number, noise_scale: Number) -> tuple[str, str]:
    """SGD: the linear rule holds below the noise scale."""
    if name == "sqrt":
        return DOUBTFUL, "a heuristic: it keeps neither drift nor noise per example"
    if name != "linear":
        return DOUBTFUL, f"assumes {RULES[name].regime}"
    if math.isnan(noise_scale):
        return DOUBTFUL, "holds well below the noise scale: measure it (--noise-scale)"
    share = max(1.0, kappa) * old.batch / noise_scale
    verdict = OK if share <= MOSTLY_NOISE else DOUBTFUL if share <= 1 else OUT_OF_RANGE
    return verdict, f"largest batch / noise scale = {share:.3g}"
