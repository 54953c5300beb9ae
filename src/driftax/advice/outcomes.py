"""What a configuration comes to on the surrogate, with errors carried from the measurement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from driftax.advice.linear import Level, after, floor, heavy
from driftax.advice.local_model import LocalModel, alternatives, by_halves, errors_of, local_model
from driftax.measurement import Measurement
from driftax.measurement.curvature import stability_edge
from driftax.measurement.estimates import Estimate
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Number, Settings

Told = Callable[[Callable[[LocalModel], float]], Estimate]
STEPS = 100  # of the run that was measured; a quadratic is not the loss for much longer


class Outcome(NamedTuple):
    """One configuration over the same examples.

    Args:
        name: of the rule, or of the change.
        settings: the configuration.
        speed: along flat directions, per example and over that of the run as it is.
        descent: what the mean gradient and the weight decay take off the loss, as far as the gradient is more than the
            jitter of a settled run.
        pull: the decay's part of it.
        noise: what noise keeps above the minimum after those examples.
        floor: what it keeps there in the end.
        edge_share: the largest curvature over the one at which steps turn unstable.
    """

    name: str
    settings: Settings
    speed: Estimate
    descent: Estimate
    pull: Estimate
    noise: Estimate
    floor: Estimate
    edge_share: Estimate

    @property
    def stable(self) -> bool:
        """Whether the sharpest direction does not grow, as far as its curvature is known."""
        return self.edge_share.value + 2 * self.edge_share.standard_error < 1


def after_rules(
    found: Measurement, settings: Settings, rules: Sequence[Scaled], steps: int = STEPS
) -> list[Outcome]:
    """The run as it is, then with every rule for another batch size, over the same examples.

    Args:
        found: a measurement with curvature.
        settings: of the run.
        rules: from `driftax.scale`; those with numbers out of range are left out.
        steps: of the run, whose examples are those of all.

    Raises:
        DriftaxError: for a measurement without curvature, or one of another geometry.
    """
    usable = [one for one in rules if not _broken(one.settings)]
    return _outcomes(found, [("now", settings), *((one.rule, one.settings) for one in usable)], steps)


def after_changes(found: Measurement, settings: Settings, steps: int = STEPS) -> list[Outcome]:
    """The run as it is, then with one of its numbers changed.

    Raises:
        DriftaxError: for a measurement without curvature, or one of another geometry.
    """
    numbers: list[tuple[str, str, Number]] = [
        ("batch x 4", "batch", 4 * settings.batch),
        *([("batch / 4", "batch", settings.batch / 4)] if settings.batch >= 4 else []),
        ("learning rate x 2", "learning_rate", 2 * settings.learning_rate),
        ("learning rate / 2", "learning_rate", settings.learning_rate / 2),
    ]
    if settings.b1:
        numbers += [
            (f"b1 = {b1:.3g}", "b1", b1)
            for b1 in (max(1 - 2 * (1 - settings.b1), 0.0), 0.5 + settings.b1 / 2)
        ]
    if settings.weight_decay:
        numbers.append(("weight decay x 4", "weight_decay", 4 * settings.weight_decay))
    varied = [(name, replace(settings, **{key: value})) for name, key, value in numbers]  # type: ignore[arg-type]
    return _outcomes(found, [("now", settings), *varied], steps)


def horizon(configurations: Sequence[Settings], steps: int) -> Number:
    """The examples that all configurations see: those of so many steps of the first, or one step of the largest."""
    return max(steps * configurations[0].batch, *(one.batch for one in configurations))


def _broken(settings: Settings) -> bool:
    return any(value is not None and math.isnan(value) for value in (settings.b1, settings.b2))


def _outcomes(found: Measurement, configurations: list[tuple[str, Settings]], steps: int) -> list[Outcome]:
    model = local_model(found, configurations[0][1])
    errors, others = errors_of(found, model), alternatives(found, model)
    now = configurations[0][1]
    examples = horizon([one for _, one in configurations], steps)

    def speed(settings: Settings) -> Estimate:
        first, second, best = (
            _per_example(one, settings) / _per_example(one, now) for one in (*by_halves(found, model), model)
        )
        return Estimate(best, 0.5 * abs(first - second))

    def outcome(name: str, settings: Settings) -> Outcome:
        own = max(1, round(examples / settings.batch))

        def told(value: Callable[[LocalModel], float]) -> Estimate:
            return carried(value, model, errors, others)

        return Outcome(
            name,
            settings,
            speed(settings),
            descent_of(told, lambda m: after(m, settings, own, now)),
            told(lambda m: after(m, settings, own, now).pull),
            told(lambda m: after(m, settings, own, now).noise),
            told(lambda m: floor(m, settings)),
            told(lambda m: edge_share(m, settings)),
        )

    return [outcome(name, settings) for name, settings in configurations]


def _per_example(model: LocalModel, settings: Settings) -> float:
    """Along flat directions: learning rate of the gradient over the batch size."""
    return (
        settings.learning_rate * model.signal_growth(settings.batch) / (1 - heavy(settings)) / settings.batch
    )


def edge_share(model: LocalModel, settings: Settings) -> float:
    """The largest curvature over the one at which steps turn unstable, at the batch size of the settings."""
    averaged = settings.optimizer != "sgd"
    edge = stability_edge(settings.learning_rate, settings.b1 or 0.0, averaged)
    inside = settings.weight_decay if settings.weight_decay_form == "l2" else 0.0
    return (float(model.curvature.max()) * model.growth(settings.batch) + inside) / max(edge, 1e-300)


def carried(
    value: Callable[[LocalModel], float],
    model: LocalModel,
    errors: dict[str, float],
    others: Sequence[LocalModel] = (),
) -> Estimate:
    """A function of the surrogate and its standard error, to first order and over the mixtures that noise is known by.

    Args:
        value: the function.
        model: the surrogate.
        errors: standard errors in the terms of `LocalModel.varied`; nan of what is not told from 0.
        others: the surrogate without one mixture each (the jackknife).
    """
    best = value(model)
    if not math.isfinite(best):
        return Estimate(best, math.nan)
    total = 0.0
    for part, error in errors.items():
        if not math.isnan(error):
            ends = [value(model.varied(**{part: sign * error})) for sign in (-1, 1)]
            total = math.hypot(total, 0.5 * (ends[1] - ends[0]))
    if others:
        left = np.array([value(other) for other in others])
        total = math.hypot(total, math.sqrt(len(left) - 1) * left.std())
    return Estimate(best, total)


def descent_of(told: Told, level: Callable[[LocalModel], Level]) -> Estimate:
    """What is taken off, with the errors of the measurement and those of the jitter at the params of now."""
    found, jitter = told(lambda m: level(m).descent + level(m).pull), told(lambda m: level(m).deviation)
    return Estimate(found.value, math.hypot(found.standard_error, jitter.value))
