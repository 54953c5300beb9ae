"""`scale`: all rules for a new batch size, or one of them, refused where it leaves its range."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from driftax._errors import DriftaxError
from driftax.scaling.configuration import read_groups
from driftax.scaling.rules import RULES
from driftax.scaling.scaled import Scaled, apply
from driftax.scaling.settings import Number, Settings, whole
from driftax.scaling.validity import OUT_OF_RANGE, in_range_again


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
        optimizer: `Settings`, a torch optimizer, or a mapping with the keys of either, of a parameter group or of
            Hugging Face's TrainingArguments.
        to: new batch size, a whole number of examples.
        batch: the old one; may be left out of `Settings` and of mappings that name it.
        rule: one of `RULES`; all that apply if left out.
        noise_scale: the gradient noise scale tr Sigma / |grad|^2, in examples, if it was measured.
        interval: of the noise scale, whose upper end may be inf; a rule whose validity differs between its ends is
            doubtful.

    Returns:
        One result per rule; those that leave their range are told so by `validity`. Where parameter groups of a torch
        optimizer differ, as many for every group, told apart by `group`.

    Raises:
        DriftaxError: for a named rule that leaves its range or does not apply, and for numbers out of range.

    Example:
        >>> found = scale({"name": "adamw", "lr": 1e-3, "betas": (0.9, 0.999)}, batch=256, to=1024, rule="sqrt")
        >>> found[0].settings.learning_rate, round(found[0].settings.b1, 3)
        (0.002, 0.6)
    """
    groups = read_groups(optimizer, batch)
    if not whole(to):
        raise DriftaxError(f"a batch of {to:g}", "no whole number above 0", "the new batch size, in examples")
    if noise_scale is not None and not (math.isfinite(noise_scale) and noise_scale > 0):
        raise DriftaxError(
            f"a noise scale of {noise_scale:g}", "no number above 0", "a measured one, in examples"
        )
    # A group without decay goes along with the others: it has none at the new batch size either.
    fitting = [name for name in RULES if any(_fits(name, one, noise_scale) for one in groups)]
    answer = []
    for place, settings in enumerate(groups):
        found = _all(fitting, settings, to, noise_scale, interval)
        if rule is not None:
            found = [_one(rule, settings, to, {one.rule: one for one in found})]
        answer += [replace(one, group=place if len(groups) > 1 else None) for one in found]
    return answer


def _all(
    names: Sequence[str],
    settings: Settings,
    to: Number,
    noise_scale: Number | None,
    interval: tuple[Number, Number] | None,
) -> list[Scaled]:
    known = math.nan if noise_scale is None else noise_scale
    found = [apply(name, settings, to / settings.batch, known, interval) for name in names]
    # batch * (to / batch) is `to` but for rounding, and no whole number then
    return [replace(one, settings=replace(one.settings, batch=to)) for one in found]


def _fits(name: str, settings: Settings, noise_scale: Number | None) -> bool:
    rule = RULES[name]
    return rule.applies(settings) and not (rule.needs_noise_scale and noise_scale is None)


def _one(name: str, settings: Settings, to: Number, found: dict[str, Scaled]) -> Scaled:
    """A rule that was named.

    Raises:
        DriftaxError: with the rules that are left.
    """
    asked = f'rule "{name}" from a batch of {settings.batch:.10g} to {to:.10g}'
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
        again = in_range_again(settings, found[name].settings)
        others = "one of " + ", ".join(left) if left else ""
        instead = ", or ".join(part for part in (again, others) if part) or "another batch"
        raise DriftaxError(asked, found[name].reason, instead)
    return found[name]
