"""`scale`: all rules for a new batch size, or one of them, refused where it leaves its range."""

from __future__ import annotations

import math
from typing import Any

from driftax._errors import DriftaxError
from driftax.scaling.configuration import read
from driftax.scaling.rules import OUT_OF_RANGE, RULES, Scaled, apply
from driftax.scaling.settings import Number, Settings


def scale(
    optimizer: Any,
    *,
    to: Number,
    batch: Number | None = None,
    rule: str | None = None,
    noise_scale: Number | None = None,
    interval: tuple[Number, Number] | None = None,
) -> list[Scaled]:
    """New settings for another batch size.

    Args:
        optimizer: `Settings`, a torch optimizer (its first parameter group), or a mapping with the keys of either, of a
            parameter group or of Hugging Face's TrainingArguments.
        to: new batch size, in examples.
        batch: the old one; may be left out of `Settings` and of mappings that name it.
        rule: one of `RULES`; all that apply if left out.
        noise_scale: the gradient noise scale tr Sigma / |grad|^2, in examples, if it was measured.
        interval: of the noise scale, whose upper end may be inf; a rule whose validity differs between its ends is
            doubtful.

    Returns:
        One result per rule; those that leave their range are told so by `validity`.

    Raises:
        DriftaxError: for a named rule that leaves its range or does not apply, and for numbers out of range.

    Example:
        >>> found = scale({"name": "adamw", "lr": 1e-3, "betas": (0.9, 0.999)}, batch=256, to=1024, rule="sqrt")
        >>> found[0].settings.learning_rate, round(found[0].settings.b1, 3)
        (0.002, 0.6)
    """
    settings = read(optimizer, batch)
    if not (math.isfinite(to) and to > 0):
        raise DriftaxError(f"a batch of {to:g}", "no number above 0", "the new batch size, in examples")
    if noise_scale is not None and not (math.isfinite(noise_scale) and noise_scale > 0):
        raise DriftaxError(
            f"a noise scale of {noise_scale:g}", "no number above 0", "a measured one, in examples"
        )
    kappa, known = to / settings.batch, math.nan if noise_scale is None else noise_scale
    fitting = [name for name in RULES if _fits(name, settings, noise_scale)]
    found = {name: apply(name, settings, kappa, known, interval) for name in fitting}
    if rule is None:
        return list(found.values())
    return [_one(rule, settings, kappa, found)]


def _fits(name: str, settings: Settings, noise_scale: Number | None) -> bool:
    rule = RULES[name]
    return rule.applies(settings) and not (rule.needs_noise_scale and noise_scale is None)


def _one(name: str, settings: Settings, kappa: Number, found: dict[str, Scaled]) -> Scaled:
    """A rule that was named.

    Raises:
        DriftaxError: with the rules that are left.
    """
    asked = f'rule "{name}" from a batch of {settings.batch:g} to {settings.batch * kappa:g}'
    if name not in RULES:
        raise DriftaxError(asked, "no such rule", "one of " + ", ".join(RULES))
    if name not in found:
        if RULES[name].needs_noise_scale and RULES[name].applies(settings):
            raise DriftaxError(asked, "no noise scale", "--noise-scale with a measured one, in examples")
        decay = name in ("sqrt-decay", "time-scale")
        why = "no decay beside the step" if decay else "a rule for other optimizers"
        raise DriftaxError(asked, f"{settings.optimizer}, {why}", "one of " + ", ".join(found))
    if found[name].validity == OUT_OF_RANGE:
        left = [other for other, one in found.items() if one.validity != OUT_OF_RANGE]
        raise DriftaxError(asked, found[name].reason, "a smaller batch, or one of " + ", ".join(left))
    return found[name]
