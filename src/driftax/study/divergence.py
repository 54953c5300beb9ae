"""Members that were lost: where, how many, and the likely cause, computed along the noiseless path of the optimizer."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.compare.weak_error import RungStudy
from driftax.compiler.curvature import curvature_along, no_curvature
from driftax.equation.extended import NAME as EXTENDED
from driftax.simulate.schemes import Splitting
from driftax.study.experiment import Experiment

_RUNGE_KUTTA = 2.785  # the length of the interval of stability of the classical method; of the others it is 2


class _Peak(NamedTuple):
    """The top preconditioned curvature over its bound: where it first is above 1, else where it is largest."""

    step: int
    value: float


def divergence(experiment: Experiment, studies: list[RungStudy]) -> list[dict[str, Any]]:
    """A row for every process that lost members on a rung; empty where none did.

    Args:
        experiment: that ran.
        studies: its rungs.

    Returns:
        Rows of process, ladder, step (the first recorded one by which members were lost, in steps of the rung from the
        start), members, failed (of them, by the last recorded step), curvature (the top preconditioned curvature in
        units of its bound; None where there is none), curvature_step and cause, in words.
    """
    rows = []
    for study in studies:
        lost = [p for p in range(study.failed.shape[1]) if study.failed[:, p].any()]
        first = {p: study.record[int(np.argmax(study.failed[:, p] > 0))] for p in lost}
        why = no_curvature(study.rung.chain, study.start.state.shape[1])
        found = [] if why or not lost else _curvatures(study, max(first.values()))
        for p in lost:
            peak = _peak(found, first[p])
            model = ("optimizer", *experiment.models)[p]
            rows.append(
                {
                    "process": model,
                    "ladder": study.scale,
                    "step": int(first[p]),
                    "members": study.members,
                    "failed": int(study.failed[:, p].max()),
                    "curvature": peak.value if peak else None,
                    "curvature_step": peak.step if peak else None,
                    "cause": _cause(experiment, study, p, peak, why) + _left_out(study, p, model),
                }
            )
    return rows


def told(rows: list[dict[str, Any]]) -> list[str]:
    """The rows as lines; processes of a rung with one cause share a line."""
    lines = []
    for (ladder, cause), alike in groupby(rows, key=lambda row: (row["ladder"], row["cause"])):
        counts = "; ".join(
            f"{row['failed']:,} of {row['members']:,} members of {row['process']} are not finite, "
            f"the first by step {row['step']}"
            for row in alike
        )
        lines.append(f"divergence on rung {ladder:g}: {counts}. {cause[:1].upper()}{cause[1:]}")
    return lines


def all_lost(rows: list[dict[str, Any]]) -> bool:
    """Whether some process has no member left, so that there is nothing to compare."""
    return any(row["failed"] == row["members"] for row in rows)


def _curvatures(study: RungStudy, last: int) -> list[tuple[int, float]]:
    """The curvature at the start, at powers of two and at the recorded steps, up to `last`."""
    looked = {0, *(2**k for k in range(last.bit_length())), *study.record}
    steps = sorted(step for step in looked if step <= last)
    return curvature_along(study.rung.chain, study.start.number, study.start.state, steps)


def _peak(found: list[tuple[int, float]], last: int) -> _Peak | None:
    seen = [_Peak(*one) for one in found if one[0] <= last]
    past = next((peak for peak in seen if peak.value > 1), None)
    return past or max(seen, key=lambda peak: peak.value, default=None)


def _cause(
    experiment: Experiment, study: RungStudy, process: int, peak: _Peak | None, why: str | None
) -> str:
    """The likely cause and what to write instead."""
    words = f"no curvature was computed: {why or 'it is not finite at the start'}"
    if peak:
        words = f"not explained by curvature ({peak.value:.2g} of its bound at step {peak.step})"
    if peak and peak.value > 1:
        rate = _rounded_down(float(experiment.chain.optimizer.learning_rate) / peak.value)
        return (
            f"likely cause: at step {peak.step} of the noiseless path the learning rate times the top preconditioned "
            f"curvature is {peak.value:.2g} times its bound; write learning_rate = {rate:g}"
        )
    if process == 0:
        return f"{words}: noise that is large or heavy-tailed; write a smaller learning_rate, or noise of less variance"
    model = process - 1
    name, substeps = experiment.models[model], study.rung.levels[model][0]
    stable = _stable(experiment, study, model, substeps)
    if peak and stable is not None and peak.value > stable:
        enough = 2 * substeps
        while peak.value > (_stable(experiment, study, model, enough) or math.inf):
            enough *= 2
        return (
            f"likely cause: substeps too long for the curvature, at step {peak.step} of the noiseless path "
            f"{peak.value:.2g} of the optimizer's bound, where {substeps} per step of this equation are stable up to "
            f"{stable:.2g} of it; write substeps = {enough} in [compare]"
        )
    if _may_take_logarithms(experiment, name):
        return (
            f"{words}; likely cause: a second moment that the noise of the equation took to 0 or below; "
            'write coordinates = "log" in [compare]'
        )
    return f"{words}: noise that is large in a substep; write substeps = {2 * substeps} in [compare]"


def _stable(experiment: Experiment, study: RungStudy, model: int, substeps: int) -> float | None:
    """The curvature, in units of the optimizer's bound, up to which so many substeps of an equation are stable.

    At a share r of the bound the drift of order 1 has the rate 2 r per step, that of order 2 the rate 2 r + 2 r^2. None
    for equations with first moments, whose drift oscillates.
    """
    if 1 in experiment.chain.optimizer.slots.values() or experiment.models[model] == EXTENDED:
        return None
    reach = _RUNGE_KUTTA if isinstance(study.rung.scheme, Splitting) else 2.0
    most = reach * substeps
    order = experiment.claimed(experiment.models[model])
    return most / 2 if order == 1 else (math.sqrt(1 + 2 * most) - 1) / 2


def _may_take_logarithms(experiment: Experiment, name: str) -> bool:
    """Whether an equation has second moments as coordinates and could have their logarithms."""
    if experiment.log_second_moments or 2 not in experiment.chain.optimizer.slots.values():
        return False
    try:
        logarithmic = experiment._replace(log_second_moments=True)
        logarithmic.equation(name, logarithmic.coordinates(experiment.chain))
    except DriftaxError:
        return False
    return True


def _left_out(study: RungStudy, process: int, model: str) -> str:
    """What to do where a model alone has no member left: averages are over members finite in every process."""
    failed = study.failed.max(axis=0)
    if process == 0 or failed[process] < study.members or failed[0] == study.members:
        return ""
    return (
        f". Every member of it failed, and the averages of the others with it: leave {model} out of `models`"
    )


def _rounded_down(value: float) -> float:
    """The number of two digits below; at the bound itself a path does not converge."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return (math.ceil(value / unit - 1e-6) - 1) * unit
