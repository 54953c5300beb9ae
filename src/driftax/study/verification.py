"""`verify`: ensembles on every rung are grown until each claimed order is decided."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from driftax.compare.order_test import Answer, OrderTest, Verdict
from driftax.compare.weak_error import RungStudy
from driftax.study.experiment import BIAS_MEMBERS, Experiment

Progress = Callable[[float, str], None]

BUDGET_SECONDS = 300.0
_BLOCK = 16  # leaves run at once
LOOKS = 8  # how often the verdict may be looked at while members are added; the false alarm is shared
_FIRST_MEMBERS = {True: 128, False: 8192}  # by whether the law is a minibatch law
_MOST_MEMBERS = 2**23
_MOST_GROWTH, _LEAST_GROWTH = 8.0, 1.3  # of the members, per look


class Row(NamedTuple):
    """One model and observable: its weak errors and what they say."""

    test: OrderTest
    verdict: Verdict


class Verification(NamedTuple):
    """All rows of a study, with the ensembles they came from."""

    rows: list[Row]
    studies: list[RungStudy]
    looks: int
    seconds: float


def verify(
    experiment: Experiment,
    *,
    seed: int,
    members: int | None,
    budget_seconds: float | None,
    false_alarm: float,
    progress: Progress,
) -> Verification:
    """Runs the ladder and judges every model and observable.

    Args:
        experiment: what is compared.
        seed: of all random numbers.
        members: per rung; None grows them until every verdict is decided or the budget is spent.
        budget_seconds: after which no members are added (every rung gets some); None: 300 where members grow,
            no limit where they are given.
        false_alarm: probability with which a true claim is refuted, per row.
        progress: told the fraction done and what is being done.
    """
    started = time.monotonic()
    experiment.check()
    count = len(experiment.ladder)
    progress(0.0, "compiling")
    studies = [experiment.rung_study(position, seed) for position in range(count)]
    if members is not None:
        deadline = math.inf if budget_seconds is None else started + budget_seconds
        with _measured_bias(studies):
            _grow(studies, [members] * count, progress, 0.05, 1.0, deadline)
        rows = _judge(experiment, studies, false_alarm)
        return Verification(rows, studies, 1, time.monotonic() - started)
    per_look = false_alarm / LOOKS
    budget_seconds = BUDGET_SECONDS if budget_seconds is None else budget_seconds
    wanted = [_FIRST_MEMBERS[experiment.minibatch]] * count
    for look in range(1, LOOKS + 1):
        before, ran = time.monotonic(), _work(wanted, studies)
        with _measured_bias(studies):
            _grow(studies, wanted, progress, 0.05 + 0.9 * (look - 1) / LOOKS, 0.05 + 0.9 * look / LOOKS)
        rows = _judge(experiment, studies, per_look)
        cost = (time.monotonic() - before) / max(ran, 1.0)
        left = budget_seconds - (time.monotonic() - started)
        affordable = left / (cost * _work([2 * s.members for s in studies[-2:]], studies[-2:])) + 1
        growth = min(_growth_wanted(rows, per_look), affordable)
        if growth < _LEAST_GROWTH:
            break
        for position in range(max(0, count - 2), count):
            leaf = studies[position].rung.leaf
            target = min(growth * studies[position].members, _MOST_MEMBERS)
            wanted[position] = leaf * math.ceil(target / leaf)
    progress(1.0, "done")
    return Verification(rows, studies, look, time.monotonic() - started)


@contextmanager
def _measured_bias(studies: list[RungStudy]) -> Iterator[None]:
    """Runs the small ensembles that measure the integrator's bias beside what is done in the context."""
    with ThreadPoolExecutor() as threads:
        small = [study.refinement for study in studies if study.refinement is not None]
        running = [threads.submit(study.grow, BIAS_MEMBERS) for study in small]
        yield
        for result in running:
            result.result()


def _work(wanted: list[int], studies: list[RungStudy]) -> float:
    """Member-steps, in steps of rung 1, that are still to be run."""
    return sum(max(0, w - s.members) / s.scale for w, s in zip(wanted, studies, strict=True))


def _growth_wanted(rows: list[Row], false_alarm: float) -> float:
    """The factor on the members of the two finest rungs that decides the row nearest to a decision; 0 for none."""
    needed = [
        row.test.members_needed(false_alarm) / row.test.rungs[-1].members
        for row in rows
        if row.verdict.answer is Answer.INCONCLUSIVE and row.verdict.more_members_help
    ]
    return min(max(min(needed), 2.0), _MOST_GROWTH) if needed else 0.0


def _grow(
    studies: list[RungStudy],
    wanted: list[int],
    progress: Progress,
    low: float,
    high: float,
    deadline: float = math.inf,
) -> None:
    """Grows the rungs in turn, block by block, so that progress can be told and a deadline cuts all alike."""
    total, done = _work(wanted, studies) or 1.0, 0.0
    growing = True
    while growing:
        growing = False
        for study, target in zip(studies, wanted, strict=True):
            step = min(_BLOCK * study.rung.leaf, target - study.members)
            if step <= 0 or (study.members and time.monotonic() > deadline):
                continue
            study.grow(study.members + step)
            growing = True
            done += step / study.scale
            progress(low + (high - low) * done / total, f"rung {study.scale:g}: {study.members:,} members")


def _judge(experiment: Experiment, studies: list[RungStudy], false_alarm: float) -> list[Row]:
    rows = []
    for m, model in enumerate(experiment.models):
        for o, observable in enumerate(experiment.observables):
            errors = tuple(_error(experiment, study, m, o) for study in studies)
            test = OrderTest(model, observable, experiment.claimed(model), errors)
            rows.append(Row(test, test.verdict(false_alarm)))
    return rows


def _error(experiment: Experiment, study: RungStudy, model: int, observable: int):
    errors = [study.error(model, observable, r) for r in range(len(study.record))]
    return max(errors, key=lambda e: abs(e.weak_error)) if experiment.at_maximum else errors[-1]
