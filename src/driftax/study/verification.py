"""`verify`: ensembles on every rung are grown until each claimed order is decided."""

from __future__ import annotations

import math
import time
from typing import NamedTuple

from driftax.compare.order_test import Answer, OrderTest, Verdict
from driftax.compare.weak_error import RungStudy
from driftax.study.accuracy import Accuracy, grow_to
from driftax.study.chunks import missing
from driftax.study.experiment import Experiment
from driftax.study.growth import Progress, Workshop, grow, part, stored_members, tell_of_stored, work

BUDGET_SECONDS = 300.0
LOOKS = 8  # how often the verdict may be looked at while members are added; the false alarm is shared
_MOST_MEMBERS = 2**23
_MOST_GROWTH, _LEAST_GROWTH = 8.0, 1.3  # of the members, per look
_FIRST_GROWTH = 2.0  # where nothing is known of the time a member takes


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
    complete: bool  # whether every rung has the members or the accuracy asked for


def verify(
    experiment: Experiment,
    *,
    seed: int,
    members: int | None,
    budget_seconds: float | None,
    false_alarm: float,
    progress: Progress,
    workshop: Workshop | None = None,
    accuracy: Accuracy | None = None,
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
        workshop: who computes, and where finished chunks are kept; left out, this process, and nowhere.
        accuracy: of every weak error, in place of `members`.
    """
    started, workshop = time.monotonic(), workshop or Workshop.here()
    experiment.check()
    progress(0.0, "compiling")
    studies = [experiment.rung_study(position, seed) for position in range(len(experiment.ladder))]
    until = started + (BUDGET_SECONDS if budget_seconds is None else budget_seconds)
    if accuracy is not None:
        complete = grow_to(accuracy, studies, workshop, until, part(progress, 0.05, 1.0))
        rows, looks = _judge(experiment, studies, false_alarm), 1
    elif members is None:
        rows = _grown(experiment, studies, workshop, until, false_alarm / LOOKS, progress)
        looks, complete = len(workshop.store.looks), True
    else:
        deadline = math.inf if budget_seconds is None else started + budget_seconds
        wanted = [members] * len(studies)
        tell_of_stored(workshop.store, missing(studies, wanted, bias=True))
        grow(workshop, studies, wanted, part(progress, 0.05, 1.0), bias=True, deadline=deadline)
        rows = _judge(experiment, studies, false_alarm)
        looks, complete = 1, all(study.members == members for study in studies)
    progress(1.0, "done")
    return Verification(rows, studies, looks, time.monotonic() - started, complete)


def _grown(
    experiment: Experiment,
    studies: list[RungStudy],
    workshop: Workshop,
    deadline: float,
    per_look: float,
    progress: Progress,
) -> list[Row]:
    """Grows the ensembles until every verdict is decided, time is up or the looks are spent.

    Chunks that are stored are taken at once. The looks of earlier runs count: else a study that is run again
    and again would be looked at until it says what is wished.
    """
    store = workshop.store
    wanted = _first_members(studies, workshop)
    tell_of_stored(store, missing(studies, wanted, bias=True))
    while True:
        begun, look = time.monotonic(), min(len(store.looks), LOOKS - 1)
        share = part(progress, 0.05 + 0.9 * look / LOOKS, 0.05 + 0.9 * (look + 1) / LOOKS)
        computed = grow(workshop, studies, wanted, share, bias=True)
        store.look([study.members for study in studies])
        rows = _judge(experiment, studies, per_look)
        growth = min(_growth_wanted(rows, per_look), _growth_affordable(studies, computed, begun, deadline))
        before, wanted = wanted, _grown_members(studies, wanted, growth)
        if growth < _LEAST_GROWTH or len(store.looks) >= LOOKS or wanted == before:
            return rows


def _grown_members(studies: list[RungStudy], members: list[int], growth: float) -> list[int]:
    """The members of the rungs when the two finest, which decide, grow by a factor: whole chunks of them."""
    grown = list(members)
    for position in range(max(0, len(studies) - 2), len(studies)):
        chunk = studies[position].chunk * studies[position].rung.leaf
        target = chunk * math.ceil(min(growth * studies[position].members, _MOST_MEMBERS) / chunk)
        grown[position] = max(members[position], target)
    return grown


def _first_members(studies: list[RungStudy], workshop: Workshop) -> list[int]:
    """A chunk of each rung, or what is stored; where the looks are spent, what the last one saw."""
    looks = workshop.store.looks
    if len(looks) >= LOOKS:
        return list(looks[-1])
    stored = [stored_members(workshop.store, study, rung) for rung, study in enumerate(studies)]
    return [max(there, study.chunk * study.rung.leaf) for there, study in zip(stored, studies, strict=True)]


def _growth_affordable(studies: list[RungStudy], computed: float, begun: float, deadline: float) -> float:
    """The factor on the members of the two finest rungs that the time left is enough for."""
    now, finest = time.monotonic(), studies[-2:]
    if not computed:
        return _FIRST_GROWTH if now < deadline else 0.0
    cost = (now - begun) / computed
    return (deadline - now) / (cost * work(finest, [2 * study.members for study in finest])) + 1


def _growth_wanted(rows: list[Row], false_alarm: float) -> float:
    """The factor on the members of the two finest rungs that decides the row nearest to a decision; 0 for none."""
    needed = [
        row.test.members_needed(false_alarm) / row.test.rungs[-1].members
        for row in rows
        if row.verdict.answer is Answer.INCONCLUSIVE and row.verdict.more_members_help
    ]
    return min(max(min(needed), 2.0), _MOST_GROWTH) if needed else 0.0


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
    if not experiment.at_maximum:
        return errors[-1]
    return max(errors, key=lambda e: math.inf if math.isnan(e.weak_error) else abs(e.weak_error))
