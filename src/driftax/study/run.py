"""`simulate` and `verify` of a study file: from the file to the JSON of the results.

Both return the keys of the contract and, beside them, what a report shows: the setup, the equations, and the
means of every process at the recorded steps.
"""

from __future__ import annotations

import math
import time
from typing import Any

from driftax import __version__
from driftax.compare.distance import distance
from driftax.compare.weak_error import RungStudy
from driftax.equation import Method
from driftax.equation.extended import NAME as EXTENDED
from driftax.equation.extended import as_latex_lines, obstruction_sentence, record_rows, title
from driftax.objective import FiniteSum
from driftax.simulate.normals import Randomness
from driftax.simulate.schemes import Integration, NearlyAdditive
from driftax.study.accuracy import Accuracy, half_width
from driftax.study.build import build_chain, natural_start, state_to_look_at
from driftax.study.chunks import missing
from driftax.study.divergence import divergence
from driftax.study.experiment import Experiment
from driftax.study.growth import Progress, Workshop, grow, tell_of_stored
from driftax.study.spec import Study
from driftax.study.verification import Verification, verify

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
        "results": _means(experiment, rung, members=True),
        **_diverged(experiment, [rung]),
        "seconds": time.monotonic() - started,
        "provenance": _provenance(
            study,
            experiment,
            seed,
            members=rung.members,
            complete=rung.members == wanted,
            executor=workshop.executor.words,
        ),
        **_description(study, experiment),
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
        "results": [_row(row, experiment) for row in done.rows],
        **_diverged(experiment, done.studies),
        **({} if accuracy is None else {"accuracy": _accuracy_reached(accuracy, done)}),
        "seconds": done.seconds,
        "provenance": _provenance(
            study,
            experiment,
            seed,
            false_alarm=alpha,
            looks=done.looks,
            complete=done.complete,
            executor=workshop.executor.words,
            members={f"{s.scale:g}": s.members for s in done.studies},
        ),
        "means": [row for s in done.studies for row in _means(experiment, s)],
        "errors": _errors_in_time(experiment, done),
        "distances": _distances(experiment, done),
        **_description(study, experiment),
    }


def _accuracy_reached(accuracy: Accuracy, done: Verification) -> dict[str, Any]:
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


def _diverged(experiment: Experiment, studies: list[RungStudy]) -> dict[str, Any]:
    """The members that were lost, where some were."""
    rows = divergence(experiment, studies)
    return {"divergence": rows} if rows else {}


def _silent(fraction: float, message: str) -> None:
    pass


def _row(row, experiment: Experiment) -> dict[str, Any]:
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


def finite(value: float) -> float | None:
    """A number JSON can hold; None for an infinite or undefined one."""
    return float(value) if math.isfinite(value) else None


def _means(experiment: Experiment, study: RungStudy, members: bool = False) -> list[dict[str, Any]]:
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


def _errors_in_time(experiment: Experiment, done: Verification) -> list[dict[str, Any]]:
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


def _distances(experiment: Experiment, done: Verification) -> list[dict[str, Any]]:
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


def _description(study: Study, experiment: Experiment) -> dict[str, Any]:
    """The setup and the equations, in the words of a report."""
    optimizer = study.optimizer.model_dump(exclude_none=True)
    numbers = ", ".join(f"{key} = {value}" for key, value in optimizer.items() if key != "name")
    regime = experiment.chain.regime
    setup = {
        "optimizer": f"{optimizer['name']}: {numbers}",
        "objective": f"{study.objective.name}, {experiment.start.shape[1]} parameters"
        + _examples(experiment),
        "gradient law": ", ".join(f"{k} = {v}" for k, v in study.noise.model_dump(exclude_none=True).items()),
        "regime": f"{regime.value}, ladder {', '.join(f'{s:g}' for s in experiment.ladder)}",
        "steps": f"{experiment.record[-1]} at rung 1"
        + (f", the first {experiment.handover} by the optimizer alone" if experiment.handover else ""),
        "integrator": experiment.integrator + _coloured_integrator(experiment),
    }
    equations = []
    for model in experiment.models:
        shown = experiment.judged(model)
        equations.append(
            {
                "model": model,
                "title": title(shown),
                "latex": [list(line) for line in as_latex_lines(shown)],
                "record": [list(row) for row in record_rows(shown)],
                "obstruction": obstruction_sentence(shown),
            }
        )
    return {"name": study.name, "setup": setup, "equations": equations}


def _examples(experiment: Experiment) -> str:
    """How many examples a loss is the mean over, where it is."""
    objective = experiment.chain.objective
    return f", {objective.size} examples" if isinstance(objective, FiniteSum) else ""


def _coloured_integrator(experiment: Experiment) -> str:
    """What integrates an equation whose noise is coloured, where there is one."""
    if EXTENDED not in experiment.models:
        return ""
    coarse, fine = experiment.levels_of(EXTENDED)
    return f"; {EXTENDED}: {NearlyAdditive.__name__}, {coarse} and {fine}"


def _provenance(study: Study, experiment: Experiment, seed: int, **more: Any) -> dict[str, Any]:
    import platform

    import equinox
    import jax
    import numpy
    import optax

    return {
        "driftax": __version__,
        "study": study.name,
        "seed": seed,
        "regime": experiment.chain.regime.value,
        "method": experiment.method.value,
        "coordinates": "log second moments" if experiment.log_second_moments else "natural",
        "precision": jax.numpy.dtype(experiment.precision).name,
        "randomness": experiment.randomness.value,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "equinox": equinox.__version__,
        "optax": optax.__version__,
        "numpy": numpy.__version__,
        "devices": len(jax.devices()),
        **more,
    }
