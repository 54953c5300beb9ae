"""`verify`: ensembles on every rung are grown until each claimed order is decided."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from driftax.compare.order_test import Answer, OrderTest, Verdict
from driftax.compare.weak_error import RungStudy
from driftax.study.experiment import Experiment

Progress = Callable[[float, str], None]

LOOKS = 8  # how often the verdict may be looked at while members are added; the false alarm is shared
_FIRST_MEMBERS = {True: 128, False: 8192}  # by whether the law is a minibatch law
_MOST_MEMBERS = 2**23
_GROWTH = 8  # at most, per look


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
    budget_seconds: float,
    false_alarm: float,
    progress: Progress,
) -> Verification:
    """Runs the ladder and judges every model and observable.

    Args:
        experiment: what is compared.
        seed: of all random numbers.
        members: per rung; None grows them until every verdict is decided or the budget is spent.
        budget_seconds: of the growing.
        false_alarm: probability with which a true claim is refuted, per row.
        progress: told the fraction done and what is being done.
    """
    started = time.monotonic()
    experiment.check()
    count = len(experiment.ladder)
    studies = []
    for position in range(count):
        progress(0.05 * position / count, f"compiling rung {experiment.ladder[position]:g}")
        studies.append(experiment.rung_study(position, seed))
    if members is not None:
        _grow(studies, [members] * count, progress, 0.05, 1.0)
        rows = _judge(experiment, studies, false_alarm)
        return Verification(rows, studies, 1, time.monotonic() - started)
    per_look = false_alarm / LOOKS
    wanted = [_FIRST_MEMBERS[experiment.minibatch]] * count
    for look in range(1, LOOKS + 1):
        before = time.monotonic()
        ran = sum(w - s.members for w, s in zip(wanted, studies, strict=True))
        _grow(studies, wanted, progress, 0.05 + 0.9 * (look - 1) / LOOKS, 0.05 + 0.9 * look / LOOKS)
        rows = _judge(experiment, studies, per_look)
        wanted = _next_members(rows, studies, per_look)
        spent, cost = time.monotonic() - started, (time.monotonic() - before) / max(ran, 1)
        more = sum(w - s.members for w, s in zip(wanted, studies, strict=True))
        if more == 0 or spent + cost * more > budget_seconds:
            break
    progress(1.0, "decided" if more == 0 else "budget spent")
    return Verification(rows, studies, look, time.monotonic() - started)


def _grow(studies: list[RungStudy], wanted: list[int], progress: Progress, low: float, high: float) -> None:
    """Grows every rung in blocks, so that progress can be told."""
    work = [max(0, w - s.members) / s.scale for w, s in zip(wanted, studies, strict=True)]
    total, done = sum(work) or 1.0, 0.0
    for study, target in zip(studies, wanted, strict=True):
        block = 16 * study.rung.leaf
        while study.members < target:
            step = min(block, target - study.members)
            study.grow(study.members + step)
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


def _next_members(rows: list[Row], studies: list[RungStudy], false_alarm: float) -> list[int]:
    """Members per rung for the next look: the two finest rungs grow while more members can decide a row."""
    wanted = [study.members for study in studies]
    if not any(row.verdict.answer is Answer.INCONCLUSIVE and row.verdict.more_members_help for row in rows):
        return wanted
    needed = max(row.test.members_needed(false_alarm) for row in rows if row.verdict.more_members_help)
    for position in range(max(0, len(studies) - 2), len(studies)):
        now = studies[position].members
        target = min(max(needed, 2 * now), _GROWTH * now, _MOST_MEMBERS)
        leaf = studies[position].rung.leaf
        wanted[position] = max(now, leaf * math.ceil(target / leaf))
    return wanted
