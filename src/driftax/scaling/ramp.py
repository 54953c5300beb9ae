"""A schedule of batch sizes: the settings of every stage, all by one rule from the first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from driftax._errors import DriftaxError
from driftax.scaling.scale import scale
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Number, Settings


class Stage(NamedTuple):
    """A stage of a ramp.

    Args:
        begin: the step of the optimizer it begins at.
        examples: seen before it.
        scaled: its settings.
    """

    begin: int
    examples: Number
    scaled: Scaled


def ramp(
    settings: Settings, stages: Sequence[tuple[Number, int]], rule: str, noise_scale: Number | None = None
) -> list[Stage]:
    """The settings of every stage.

    Args:
        settings: at the batch size `settings.batch`.
        stages: batch size and first step of each; steps rise from 0.
        rule: one of `RULES`.
        noise_scale: of the gradient, if it was measured.

    Raises:
        DriftaxError: for steps that do not rise from 0, and where the rule leaves its range.
    """
    begins = [begin for _, begin in stages]
    if not begins or begins[0] != 0 or any(b <= a for a, b in zip(begins, begins[1:], strict=False)):
        raise DriftaxError(
            "a ramp", f"stages that begin at {begins}", "steps that rise from 0: 256:0,512:10000"
        )
    found, examples = [], 0.0
    for place, (batch, begin) in enumerate(stages):
        if place:
            before, since = stages[place - 1]
            examples += before * (begin - since)
        (scaled,) = scale(settings, to=batch, rule=rule, noise_scale=noise_scale)
        found.append(Stage(begin, examples, scaled))
    return found
