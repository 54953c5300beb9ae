"""`simulate` and `verify` of a study file: from the file to the JSON of the results.

Both return the keys of the contract and, beside them, what a report shows: the setup, the equations, and the
means of every process at the recorded steps.
"""

from __future__ import annotations

import math
import time
from typing import Any

from driftax.compare.weak_error import RungStudy
from driftax.equation import Method
from driftax.simulate.normals import Randomness
from driftax.simulate.schemes import Integration
from driftax.study.accuracy import Accuracy
from driftax.study.build import build_chain, natural_start, state_to_look_at
from driftax.study.chunks import missing
from driftax.study.divergence import divergence
from driftax.study.experiment import Experiment
from driftax.study.growth import Progress, Workshop, grow, tell_of_stored
from driftax.study.rows import accuracy_rows, distance_rows, error_rows, mean_rows, verdict_row
from driftax.study.setup import description, provenance
from driftax.study.spec import Study
from driftax.study.verification import verify

SIMULATED_MEMBERS = {True: 256, False: 16384}  # by whether the law is a minibatch law


def experiment_of(
    study: Study, verb: str, allow_obstructed: bool = False, integration: Integration | None = None
) -> Experiment:
    """The experiment a study file describes, with another integration if one is given.

    Raises:
        DriftaxError: if the file has no [compare] section, or its parts do not fit.
    """
    compare = study.comparison(verb)
    chain = build_chain(study, natural=True)
    look_at, look_step = state_to_look_at(study, chain)
    return Experiment(
        chain=chain,
        start=natural_start(study, chain).astype(compare.precision),
        step=study.start.step,
        handover=study.start.handover or 0,
        ladder=tuple(study.regime.ladder),
        record=tuple(compare.record) or (compare.steps,),
        at_maximum=compare.at == "max",
        models=tuple(compare.models),
        observables=tuple(compare.observables),
        look_at=look_at,
        look_step=look_step,
        integration=integration
        or Integration(compare.scheme, compare.substeps, compare.extrapolate, compare.controls),
        method=Method(compare.method),
        log_second_moments=compare.coordinates == "log",
        allow_obstructed=allow_obstructed,
        randomness=Randomness(compare.randomness),
    )


def run_simulate(
    study: Study,
    *,
    seed: int | None = None,
    members: int | None = None,
    budget_seconds: float | None = None,
    progress: Progress | None = None,
    allow_obstructed: bool = False,
    workshop: Workshop | None = None,
) -> dict[str, Any]:
    """The optimizer and every model side by side on rung 1.

    Args:
        study: as read by `load_study`.
        seed: in place of the file's.
        members: in place of the file's.
        budget_seconds: stops adding members when it is spent.
        progress: told the fraction done and what is being done.
        allow_obstructed: runs an order-2 equation where order 2 does not exist.
        workshop: who computes, and where finished chunks are kept; left out, this process, and nowhere.

    Returns:
        The JSON of `driftax simulate`.
    """
    experiment = experiment_of(study, "simulate", allow_obstructed)
    experiment.check()
    seed = study.seed if seed is None else seed
    wanted = members or study.comparison("simulate").members or SIMULATED_MEMBERS[experiment.minibatch]
    tell, started = progress or _silent, time.monotonic()
    tell(0.0, "compiling")
    rung = experiment.rung_study(0, seed)
    workshop = workshop or Workshop.here()
    deadline = math.inf if budget_seconds is None else started + budget_seconds
    tell_of_stored(workshop.store, missing([rung], [wanted], bias=False))
    grow(workshop, [rung], [wanted], tell, bias=False, deadline=deadline)
    return {
        "results": mean_rows(experiment, rung, members=True),
        **_diverged(experiment, [rung]),
        "seconds": time.monotonic() - started,
        "provenance": provenance(
            study,
            experiment,
            seed,
            members=rung.members,
            complete=rung.members == wanted,
            executor=workshop.executor.words,
        ),
        **description(study, experiment),
    }


def run_verify(
    study: Study,
    *,
    seed: int | None = None,
    members: int | None = None,
    budget_seconds: float | None = None,
    alpha: float = 1e-3,
    progress: Progress | None = None,
    allow_obstructed: bool = False,
    workshop: Workshop | None = None,
    accuracy: Accuracy | None = None,
    integration: Integration | None = None,
) -> dict[str, Any]:
    """The weak order of every model along the ladder, with verdicts.

    Args:
        study: as read by `load_study`.
        seed: in place of the file's.
        members: per rung, in place of the file's; left out in both, grown until every verdict is decided.
        budget_seconds: stops adding members when it is spent; 300 by default where they grow.
        alpha: probability with which a true claim is refuted, per row.
        progress: told the fraction done and what is being done.
        allow_obstructed: runs an order-2 equation where order 2 does not exist.
        workshop: who computes, and where finished chunks are kept; left out, this process, and nowhere.
        accuracy: to which every weak error is wanted, in place of `members`.
        integration: of the equations, in place of the file's (see `study.plan`).

    Returns:
        The JSON of `driftax verify`.
    """
    experiment = experiment_of(study, "verify", allow_obstructed, integration)
    workshop = workshop or Workshop.here()
    seed = study.seed if seed is None else seed
    done = verify(
        experiment,
        seed=seed,
        members=members or study.comparison("verify").members,
        budget_seconds=budget_seconds,
        false_alarm=alpha,
        progress=progress or _silent,
        workshop=workshop,
        accuracy=accuracy,
    )
    return {
        "results": [verdict_row(row, experiment) for row in done.rows],
        **_diverged(experiment, done.studies),
        **({} if accuracy is None else {"accuracy": accuracy_rows(accuracy, done)}),
        "seconds": done.seconds,
        "provenance": provenance(
            study,
            experiment,
            seed,
            false_alarm=alpha,
            looks=done.looks,
            complete=done.complete,
            executor=workshop.executor.words,
            members={f"{s.scale:g}": s.members for s in done.studies},
        ),
        "means": [row for s in done.studies for row in mean_rows(experiment, s)],
        "errors": error_rows(experiment, done),
        "distances": distance_rows(experiment, done),
        **description(study, experiment),
    }


def _diverged(experiment: Experiment, studies: list[RungStudy]) -> dict[str, Any]:
    """The members that were lost, where some were."""
    rows = divergence(experiment, studies)
    return {"divergence": rows} if rows else {}


def _silent(fraction: float, message: str) -> None:
    pass
