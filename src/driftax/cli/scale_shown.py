"""Rules for another batch size as tables, advice in words, and JSON."""

from __future__ import annotations

import math
from typing import Any

from driftax.cli.show import Table
from driftax.scaling.ramp import Stage
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Settings

KEYS = ("learning_rate", "b1", "b2", "eps", "weight_decay")


def as_json(one: Scaled) -> dict[str, Any]:
    """A rule in the keys of the contract."""
    numbers = {key: getattr(one.settings, key) for key in KEYS}
    told = {"validity": one.validity, "reason": one.reason, "source": one.source}
    return {"rule": one.rule, "kappa": one.kappa, **numbers, **told}


def rules_table(old: Settings, found: list[Scaled], interval: tuple[float, float] | None) -> Table:
    """The run as it is, and every rule with where it holds."""
    kappa = found[0].kappa
    shown = [key for key in KEYS if getattr(old, key) is not None]
    rows = [["now", *(_number(getattr(old, key)) for key in shown), "", ""]]
    rows += [
        [one.rule, *(_number(getattr(one.settings, key)) for key in shown), one.validity, one.reason]
        for one in found
    ]
    title = f"{old.optimizer}, batch {old.batch:g} -> {old.batch * kappa:g} (kappa = {kappa:g}, 1/kappa as many steps)"
    return Table(
        title,
        ["rule", *(key.replace("_", " ") for key in shown), "validity", "because"],
        rows,
        _advice(old, found, interval),
    )


def _advice(old: Settings, found: list[Scaled], interval: tuple[float, float] | None) -> list[str]:
    """For someone who never heard of a stochastic differential equation."""
    names = [one.rule for one in found]
    root = "sqrt-decay" if "sqrt-decay" in names else "sqrt"
    lines = []
    if old.normalised:
        lines += [
            f"If your gradients are mostly noise (small batches, late in training), take {root}; if they are mostly "
            "signal, take linear.",
            "In between no rule keeps both: linear keeps the speed of descent, the square root the level the loss "
            "settles at.",
        ]
    else:
        lines.append("Well below the noise scale take linear; above it a larger batch buys little.")
    if interval is None:
        lines.append(
            "Which it is can be measured: driftax measure, or driftax.torch.NoiseProbe, and --measurement."
        )
    else:
        low, high = interval
        known = f"{low:.3g} to {high:.3g} examples (95 %)"
        if not math.isfinite(high):
            known = (
                f"at least {low:.3g} examples (95 %); no upper end, since the gradient was not told from 0"
            )
        lines.append(f"The noise scale of the measurement: {known}.")
    lines.append("Not covered: width, depth and length of training (muP and CompleteP are for those).")
    return lines


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.5g}"


def ramp_table(settings: Settings, stages: list[Stage]) -> Table:
    """A schedule of batch sizes."""
    shown = [key for key in KEYS if getattr(settings, key) is not None]
    rows = [
        [
            str(stage.begin),
            f"{stage.scaled.settings.batch:g}",
            f"{stage.examples:g}",
            *(_number(getattr(stage.scaled.settings, key)) for key in shown),
            stage.scaled.validity,
        ]
        for stage in stages
    ]
    columns = ["from step", "batch", "examples before", *(key.replace("_", " ") for key in shown), "validity"]
    return Table(f"{settings.optimizer}, rule {stages[0].scaled.rule}", columns, rows)
