"""What the sections of a study must be to each other."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.objective import AbstractObjective, FunctionObjective
from driftax.optimizer import AbstractOptimizer
from driftax.regime import Regime
from driftax.study._value import Study
from driftax.study.experiment import MODELS
from driftax.study.messages import refuse_name, shown
from driftax.study.sections import CompareSection, OptaxSection, RegimeSection

_OF_NETWORKS = ("accuracy", "test_loss", "test_accuracy")
MOMENTS = ("mu", "nu", "nu_max")  # what [start] may hold for some optimizer


def checked(study: Study) -> Study:
    """The study with its ladder sorted and its defaults filled in, if its sections fit each other.

    Raises:
        DriftaxError: if they do not; it names the key.
    """
    regime = _sorted_ladder(study.regime)
    compare = study.compare and _normalised(study.compare)
    study = replace(study, regime=regime, compare=compare)
    _check_steps(study)
    objective, own = named_build("[objective]", lambda: study.objective.build(study.seed))
    optimizer = named_build("[optimizer]", lambda: study.optimizer.build(regime.regime))
    noise = named_build("[noise]", study.noise.build)
    _check_start(study, optimizer, objective.dim, own is not None)
    params = study.start.arrays().get("params", own)
    if isinstance(objective, FunctionObjective):
        named_build("[start] params", lambda: objective.check_finite(params))
    named_build("[noise]", lambda: noise.check(objective, params))
    named_build("[regime] name", lambda: optimizer.check_regime(regime.regime))
    _check_denominator(study)
    if compare is not None:
        _check_compare(study, compare, optimizer, objective, len(params))
    return study


def named_build(section: str, build: Callable[[], Any]) -> Any:
    """What is built, or its error under the name of the section."""
    try:
        return build()
    except DriftaxError as error:
        raise DriftaxError(f"{section}: {error.asked}", error.found, error.instead) from error


def _sorted_ladder(regime: RegimeSection) -> RegimeSection:
    for scale in regime.ladder:
        if not 0 < scale <= 1:
            raise DriftaxError(
                "[regime] ladder", f"the rung {scale:g}", "factors in (0, 1] on the time step of rung 1"
            )
    ladder = tuple(sorted(set(regime.ladder), reverse=True))
    if len(ladder) < len(regime.ladder):
        raise DriftaxError(
            "[regime] ladder",
            f"a rung that stands twice in {list(regime.ladder)}",
            f"ladder = {list(ladder)}",
        )
    return regime.model_copy(update={"ladder": ladder})


def _normalised(compare: CompareSection) -> CompareSection:
    record = tuple(sorted(set(compare.record))) or (compare.steps,)
    if record[-1] > compare.steps:
        raise DriftaxError(
            "[compare] record",
            f"step {record[-1]} after the end, steps = {compare.steps}",
            "steps up to the end",
        )
    once = {key: tuple(dict.fromkeys(getattr(compare, key))) for key in ("models", "observables")}
    return compare.model_copy(update={"record": record, **once})


def _check_steps(study: Study) -> None:
    """Every count of steps of rung 1 must be a count of steps on every rung."""
    counts = [("[start] step", study.start.step), ("[start] handover", study.start.handover or 0)]
    if study.compare is not None:
        counts.append(("[compare] steps", study.compare.steps))
        counts += [("[compare] record", step) for step in study.compare.record]
    for scale in study.regime.ladder:
        for place, count in counts:
            key = place.split()[-1]
            if not _whole(count / scale):
                raise DriftaxError(
                    place,
                    f"{key} = {count}, which is {count / scale:g} steps of the rung {scale:g}",
                    f"a ladder with a whole number of steps, {key}/s, on every rung s: [1.0, 0.5, 0.25]",
                )
        _check_batch(study, scale)


def _check_batch(study: Study, scale: float) -> None:
    """The batch of a sampled law must be a whole number on every rung of the batch-equivalent regime."""
    noise, regime = study.noise, study.regime.regime
    if getattr(noise, "svag", False):
        if regime is Regime.BALLISTIC:
            raise DriftaxError(
                "[noise] svag",
                "svag = true in the ballistic regime, where noise does not grow",
                '[regime] name = "batch-equivalent", or no svag',
            )
        return
    for key in ("batch_size", "workers"):
        count = getattr(noise, key, None)
        if count is None or regime is Regime.BALLISTIC:
            continue
        size = count * scale
        if not _whole(size) or round(size) < 1:
            what = "examples" if key == "batch_size" else "workers"
            raise DriftaxError(
                f"[noise] {key}",
                f"{key} = {count}, which is {size:g} {what} on the rung {scale:g}",
                f"a {key} that every rung divides: the batch-equivalent regime multiplies it by s",
            )


def _whole(value: float) -> bool:
    return abs(value - round(value)) <= 1e-9 * max(1.0, abs(value))


def _check_start(study: Study, optimizer: AbstractOptimizer, dim: int | None, has_own: bool) -> None:
    start, slots = study.start, tuple(optimizer.slots)
    if start.params is None and not has_own:
        raise DriftaxError("[start] params", "no params", f"params = a list of {dim} numbers")
    params = {} if start.params is None else {"params": start.params}
    for slot, value in {**params, **start.moments}.items():
        if slot not in slots:
            raise DriftaxError(
                f"[start] {slot}",
                f'{slot} for "{study.optimizer.name}", whose state is {", ".join(slots)}',
                f"no {slot}",
            )
        if isinstance(value, tuple) and len(value) != dim:
            raise DriftaxError(
                f"[start] {slot}",
                f"{slot} with {len(value)} entries for an objective of {dim} parameters",
                f"{slot} = a list of {dim} numbers",
            )
        if optimizer.slots[slot] == 2 and np.min(value) < 0:
            found = f"{slot} = {shown(value)}"
            raise DriftaxError(f"[start] {slot}", found, f"{slot} = a list of numbers of 0 or more")
    if start.handover is not None:
        for key in start.moments:
            wanted = "handover, or " + " and ".join(slots[1:])
            raise DriftaxError("[start] handover", f"both handover and {key}", wanted)
        if start.step:
            raise DriftaxError(
                "[start] handover", "both handover and step", "handover alone: it counts from 0"
            )


def _check_denominator(study: Study) -> None:
    optimizer = study.optimizer
    previous = getattr(optimizer, "denominator", None) == "previous"
    if previous and getattr(optimizer, "bias_correction", False) and study.start.step == 0:
        raise DriftaxError(
            '[optimizer] denominator = "previous" with bias_correction',
            "a start at step 0, where the previous second moment is divided by 1 - decay**0 = 0",
            "[start] step = 1 or more with mu and nu, or bias_correction = false",
        )


def _check_compare(
    study: Study,
    compare: CompareSection,
    optimizer: AbstractOptimizer,
    objective: AbstractObjective,
    dim: int,
) -> None:
    for model in compare.models:
        if model not in MODELS:
            refuse_name("[compare] models", model, MODELS)
    slots = tuple(optimizer.slots)
    plain = ["loss", *objective.observables(), *(f"{slot}_sq" for slot in slots)]
    for name in compare.observables:
        entry = re.fullmatch(r"(\w+)\[(\d+)\]", name)
        if name in plain or (entry and entry[1] in slots and int(entry[2]) < dim):
            continue
        if name in _OF_NETWORKS:
            raise DriftaxError(
                "[compare] observables",
                f'"{name}", which the objective "{study.objective.name}" on this data does not have',
                "one of " + ", ".join(f'"{known}"' for known in plain),
            )
        known = [*plain, *(f"{slot}[{i}]" for slot in slots for i in sorted({0, dim - 1}))]
        refuse_name("[compare] observables", name, known)
    if not compare.observables:
        raise DriftaxError("[compare] observables", "an empty list", 'observables = ["loss"]')
    _check_coordinates(study, compare, optimizer)


def _check_coordinates(study: Study, compare: CompareSection, optimizer: AbstractOptimizer) -> None:
    start, log = study.start, compare.coordinates == "log"
    if compare.method == "taylor" and (log or isinstance(study.optimizer, OptaxSection)):
        what = "log coordinates" if log else f'"{study.optimizer.name}", whose update cannot be expanded'
        raise DriftaxError('[compare] method = "taylor"', what, 'method = "finite-step"')
    if not log or start.handover is not None:
        return
    own = zip(optimizer.slots.items(), optimizer.init(jnp.zeros(1)), strict=True)
    for (slot, power), first in own:
        if power == 2 and np.min(start.moments.get(slot, first)) <= 0:
            raise DriftaxError(
                '[compare] coordinates = "log"',
                "second moments that start at 0, whose logarithm is -inf",
                f"[start] {slot} with numbers above 0, or handover = 8",
            )
