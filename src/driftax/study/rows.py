"""The results of a study as rows: what `simulate` and `verify` answer, key by key."""

from __future__ import annotations

import math
from typing import Any

from driftax.compare.distance import distance
from driftax.compare.weak_error import RungStudy
from driftax.study.accuracy import Accuracy, half_width
from driftax.study.experiment import Experiment
from driftax.study.verification import Verification


def verdict_row(row, experiment: Experiment) -> dict[str, Any]:
    """The weak errors of a model for an observable along the ladder, and the verdict on its order."""
    test, verdict = row.test, row.verdict
    return {
        "model": test.model,
        "claimed_order": test.claimed,
        "observable": test.observable,
        "rungs": [
            {
                "ladder": rung.ladder,
                "time_step": float(experiment.chain.at(rung.ladder).time_step),
                "weak_error": finite(rung.weak_error),
                "standard_error": finite(rung.standard_error),
                "failed": rung.failed,
                "members": rung.members,
                "bias": None if rung.bias is None else finite(rung.bias),
            }
            for rung in test.rungs
        ],
        "local_orders": test.local_orders,
        "order": verdict.order,
        "ci95": None if verdict.ci95 is None else [finite(end) for end in verdict.ci95],
        "verdict": verdict.answer.value,
        "faster": verdict.faster,
        "reason": verdict.reason,
    }


def mean_rows(experiment: Experiment, study: RungStudy, members: bool = False) -> list[dict[str, Any]]:
    """Means of every process at the recorded steps of one rung."""
    steps = [int(step) for step in study.record]
    step_length = float(experiment.chain.at(study.scale).time_step)
    begun = experiment.step / study.scale
    rows = []
    for position, model in enumerate(("optimizer", *experiment.models)):
        which = None if position == 0 else position - 1
        for o, observable in enumerate(experiment.observables):
            means = study.means(which, o)
            row = {
                "model": model,
                "observable": observable,
                "step": steps,
                "mean": [finite(value) for value in means.mean],
                "standard_error": [finite(value) for value in means.standard_error],
                "standard_deviation": [finite(value) for value in means.standard_deviation],
                "time": [(begun + step) * step_length for step in steps],
                "members": study.members,
                "failed": study.failures(which),
            }
            rows.append(row if members else {**row, "ladder": study.scale})
    return rows


def error_rows(experiment: Experiment, done: Verification) -> list[dict[str, Any]]:
    """Weak errors at every recorded step of every rung."""
    rows = []
    for study in done.studies:
        step_length = float(experiment.chain.at(study.scale).time_step)
        begun = experiment.step / study.scale
        for m, model in enumerate(experiment.models):
            for o, observable in enumerate(experiment.observables):
                errors = [study.error(m, o, r) for r in range(len(study.record))]
                rows.append(
                    {
                        "model": model,
                        "observable": observable,
                        "ladder": study.scale,
                        "step": [int(step) for step in study.record],
                        "time": [(begun + step) * step_length for step in study.record],
                        "weak_error": [finite(e.weak_error) for e in errors],
                        "standard_error": [finite(e.standard_error) for e in errors],
                        "bias": [None if e.bias is None else finite(e.bias) for e in errors],
                    }
                )
    return rows


def distance_rows(experiment: Experiment, done: Verification) -> list[dict[str, Any]]:
    """How far every model is from the optimizer over the recorded steps of the coarsest rung."""
    study = done.studies[0]
    rows = []
    for m, model in enumerate(experiment.models):
        for o, observable in enumerate(experiment.observables):
            errors = [study.error(m, o, r) for r in range(len(study.record))]
            found = distance(
                study.record,
                [float(mean) for mean in study.means(None, o).mean],
                [e.weak_error for e in errors],
                [e.standard_error for e in errors],
                [math.nan if e.bias is None else e.bias for e in errors],
            )
            if found is not None:
                rows.append(
                    {
                        "model": model,
                        "observable": observable,
                        "distance": found.ratio,
                        "standard_error": found.error,
                        "doubled": finite(found.doubled),
                        "step": found.step,
                        "answer": found.answer,
                    }
                )
    return rows


def accuracy_rows(accuracy: Accuracy, done: Verification) -> dict[str, Any]:
    """What was asked, and the half-width that every weak error has."""
    rows = [
        {
            "model": row.test.model,
            "observable": row.test.observable,
            "half_widths": [half_width(rung) for rung in row.test.rungs],
            "reached": [accuracy.reached(rung) for rung in row.test.rungs],
        }
        for row in done.rows
    ]
    return {"asked": str(accuracy), "reached": done.complete, "rows": rows}


def finite(value: float) -> float | None:
    """A number JSON can hold; None for an infinite or undefined one."""
    return float(value) if math.isfinite(value) else None
