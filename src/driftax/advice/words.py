"""The forecast in words, for someone who trains models: what the run looks like, what limits it, what to change."""

from __future__ import annotations

import math
from typing import NamedTuple

from driftax.advice.forecast import Forecast
from driftax.advice.outcomes import Outcome
from driftax.measurement import Measurement
from driftax.report.numbers import short, with_error
from driftax.scaling.validity import MOSTLY_NOISE, MOSTLY_SIGNAL

_NEAR_EDGE = 0.8  # of the edge of stability
_KEPT = 0.2  # change of a number that is kept


class Answer(NamedTuple):
    """A question of the reader, and the answer in sentences."""

    question: str
    sentences: list[str]


def answers(
    found: Measurement, forecasts: list[Forecast], changes: list[Outcome], rules: list[Outcome] | None = None
) -> list[Answer]:
    """The four questions of a report.

    Args:
        found: the measurement.
        forecasts: from `forecast`.
        changes: from `after_changes`; the first is the run as it is.
        rules: from `after_rules`, where another batch size was asked for.
    """
    of = {one.key: one for one in forecasts}
    return [
        Answer("What your run looks like", _looks(found, of)),
        Answer("What limits it", _limits(of)),
        Answer("What to change", [*_levers(changes, of), *(of_rules(rules) if rules else [])]),
        Answer("How sure we are", _sure(found, of)),
    ]


def _looks(found: Measurement, of: dict[str, Forecast]) -> list[str]:
    ratio, floor, scale = of["batch_over_scale"], of["floor"], found.estimate("noise_scale").value
    batches = f"A batch over the gradient noise scale: {ratio.reason}."
    if math.isfinite(ratio.value):
        low, high = found.noise_scale_interval()
        size = f"{_three(scale)} examples, 95 %: {_three(low)} to {'∞' if math.isinf(high) else _three(high)}"
        batches = f"A batch is {ranged(ratio)} times the gradient noise scale ({size}): {ratio.reason}."
    lines = [batches]
    if math.isfinite(floor.value):
        time = _three(of["half_time"].value)
        examples = _three(of["half_time_examples"].value)
        lines.append(
            f"Gradient noise holds the loss {ranged(floor)} above where it could be; half of that builds up within "
            f"{time} steps ({examples} examples)."
        )
    if "inverse_dof" in found.data:
        lines.append(f"Tails of the noise: {found.tail().value}.")
    return lines


def _limits(of: dict[str, Forecast]) -> list[str]:
    edge, wobble, ratio = of["edge"], of["wobble"], of["batch_over_scale"]
    stands = f"the sharpest direction stands at {ranged(edge)} of the edge of stability"
    if edge.low >= 1:
        return [
            f"Curvature: {stands}, where steps overshoot and grow. Lower the learning rate, or warm up to it."
        ]
    lines = []
    if edge.high >= _NEAR_EDGE:
        lines.append(
            f"Curvature: {stands}; a larger learning rate needs a warm-up, in which training looks for flatter ground."
        )
    else:
        lines.append(f"Not curvature: {stands}.")
    if wobble.reason.startswith("not resolved"):
        lines.append(f"Noise or descent: {wobble.reason}.")
    elif wobble.validity == "ok":
        lines.append(
            "Noise: the gradient is not larger than the jitter of a settled run (what noise alone makes of it), so the "
            "directions of large curvature are down; a smaller learning rate or a larger batch lowers the loss at once "
            "by most of the floor, and what remains is slow descent along flat directions (those of little curvature)."
        )
    else:
        lines.append(
            "Descent: the gradient is larger than the jitter of a settled run; the speed of descent counts now, the "
            "floor later."
        )
    if ratio.low >= MOSTLY_SIGNAL:
        lines.append("Batches are larger than the noise asks for: smaller ones train as fast per step.")
    elif ratio.high <= MOSTLY_NOISE:
        lines.append(
            "Batches are small against the noise: larger ones would save steps at the same examples."
        )
    return lines


def _levers(changes: list[Outcome], of: dict[str, Forecast]) -> list[str]:
    """The best changes of one number: first for what limits a run, the floor where it has settled."""
    now, *others = changes
    best = min((one for one in others if one.stable), key=lambda one: one.floor.value, default=now)
    fastest = max((one for one in others if one.stable), key=lambda one: one.speed.value, default=now)
    lines = []
    if best is not now and not best.floor.value >= now.floor.value:
        lines.append(
            f"The lowest floor among the changes of one number: {best.name} "
            f"({with_error(*best.floor)} in place of {with_error(*now.floor)})."
        )
    if fastest is not now and fastest.speed.value > 1:
        lines.append(
            f"The fastest along flat directions, at the same examples: {fastest.name} "
            f"({with_error(*fastest.speed)} times as fast)."
        )
    return lines if of["wobble"].validity == "ok" else lines[::-1]


def of_rules(rules: list[Outcome]) -> list[str]:
    """Which rule keeps what, and which leave the range of the quadratic."""
    now, *others = rules
    stable = [one for one in others if one.stable]
    lines = []
    if stable and math.isfinite(now.floor.value):
        floors = {one.name: one.floor.value / now.floor.value for one in stable}
        speeds = {one.name: one.speed.value for one in stable}
        for what, ratios in (("noise floor", floors), ("speed", speeds)):
            name = min(ratios, key=lambda one: abs(math.log(max(ratios[one], 1e-300))))
            near = abs(ratios[name] - 1) <= _KEPT
            lines.append(
                f'At the new batch size rule "{name}" {"keeps" if near else "comes nearest to"} the {what} of now '
                f"({_three(ratios[name])} of it)."
            )
    if lost := [one.name for one in others if not one.stable]:
        lines.append(
            f"Beyond the edge of stability at the curvature of now: {', '.join(lost)}. The quadratic has no forecast "
            "there; with a warm-up training often gets by, on flatter ground."
        )
    return lines


def _sure(found: Measurement, of: dict[str, Forecast]) -> list[str]:
    attrs = found.data.attrs
    lines = [
        f"{attrs['units']} gradients of {attrs['unit_size']} example(s), {attrs['measurements']} measurement(s); "
        "intervals are those of the measurement (95 %), not of the loss being a quadratic."
    ]
    for order in ("order_1", "order_2"):
        one = of[order]
        lines.append(
            f"The order-{order[-1]} equation is {one.validity} on this model: the loss it says noise adds is off by "
            f"{100 * one.value:.2g} % ({one.reason})."
        )
    lines.append("A quadratic is the loss for some hundred steps at best: measure again as training goes on.")
    return lines


def ranged(one: Forecast) -> str:
    """A number with its 95 % interval."""
    if math.isnan(one.value):
        return "not resolved"
    high = "∞" if math.isinf(one.high) else _three(one.high)
    return f"{_three(one.value)} [{_three(one.low)}, {high}]"


def _three(value: float) -> str:
    return short(float(f"{value:.3g}"))
