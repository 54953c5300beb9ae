"""A rule applied: new settings, and how far to trust them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from driftax.scaling.rules import RULES
from driftax.scaling.settings import Number, Settings
from driftax.scaling.validity import DOUBTFUL, VERDICTS, judge


@dataclass(frozen=True)
class Scaled:
    """New settings by one rule.

    Args:
        rule: its name.
        kappa: new batch size over the old one.
        settings: at the new batch size; numbers that leave their range are nan.
        validity: ok, doubtful or out of range.
        reason: what decided it.
        source: where the rule is stated.
        group: parameter group of a torch optimizer whose groups differ, else None.
    """

    rule: str
    kappa: Number
    settings: Settings
    validity: str
    reason: str
    source: str
    group: int | None = None


def apply(
    name: str,
    settings: Settings,
    kappa: Number,
    noise_scale: Number = math.nan,
    interval: tuple[Number, Number] | None = None,
) -> Scaled:
    """New settings by a rule, judged at the noise scale and at the ends of its interval: doubtful where they differ."""
    rule = RULES[name]
    new = rule.move(settings, kappa, noise_scale)
    scales = [scale for scale in (noise_scale, *(interval or ())) if not math.isnan(scale)] or [math.nan]
    judged = [judge(name, settings, new, kappa, scale) for scale in scales]
    validity, reason = max(judged, key=lambda one: VERDICTS.index(one[0]))
    if len({verdict for verdict, _ in judged}) > 1:
        validity = DOUBTFUL
    return Scaled(name, kappa, new, validity, reason, rule.source)
