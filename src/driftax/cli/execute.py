"""What `simulate` and `verify` have in common: read, run or resume, write, tell."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from driftax._errors import DriftaxError
from driftax.cli.environment import prepare
from driftax.cli.options import Cluster, Ensemble, Output
from driftax.cli.show import Table, note, progress, say, show_json, show_tables

if TYPE_CHECKING:
    from driftax.study.accuracy import Accuracy
    from driftax.study.executors import AbstractExecutor
    from driftax.study.plan import Plan
    from driftax.study.recipe import Recipe
    from driftax.study.spec import Study


class _Job(NamedTuple):
    """One command: a verb on a study, and how it was asked for."""

    verb: str
    study: Study
    text: str
    directory: Path
    ensemble: Ensemble
    cluster: Cluster
    output: Output
    numbers: dict[str, Any]  # what the run is told


def execute(
    verb: str,
    study: Path,
    ensemble: Ensemble,
    cluster: Cluster,
    output: Output,
    tables: Callable[[dict[str, Any]], list[Table]],
    *,
    report: bool,
    **flags: Any,
) -> dict[str, Any]:
    """Runs a verb on a study file, unless its directory has the results of this very request.

    Args:
        verb: `simulate` or `verify`.
        study: the file.
        ensemble: how much to run, and where the results go.
        cluster: who computes.
        output: how to answer.
        tables: the results as tables.
        report: whether a page is written beside the results.
        flags: what else the verb takes; passed on to the run.

    Returns:
        The results: the JSON of the verb.
    """
    prepare()
    from driftax.study.answer import answer
    from driftax.study.results import directory_for, request
    from driftax.study.spec import read_study, read_text

    text = read_text(study)
    read = read_study(study, text)
    compare = read.comparison(verb)
    _check_flags(verb, report, ensemble, cluster, flags.get("accuracy"))
    directory = directory_for(verb, read.name, ensemble.out)
    numbers = {"seed": ensemble.seed, "members": ensemble.members, "budget_seconds": ensemble.budget, **flags}
    wanted = request(text, study.parent, verb=verb, **numbers)

    def compute() -> dict[str, Any]:
        results = _compute(_Job(verb, read, text, directory, ensemble, cluster, output, numbers))
        results.get("provenance", {})["command"] = _command(verb, study, ensemble, flags)
        return results

    grows = ensemble.members is None and compare.members is None
    results, reused = answer(directory, wanted, compute, grows=grows, fresh=ensemble.fresh)
    _show(results, tables, output)
    again = " (of an earlier run; --fresh runs again)" if reused else ""
    say(f"results: {directory / 'results.json'}{again}", output)
    if report:
        from driftax.cli.page import write_page

        say(f"report: {write_page(directory, read.name, results)}", output)
    return results


def _show(results: dict[str, Any], tables: Callable[[dict[str, Any]], list[Table]], output: Output) -> None:
    from driftax.study.divergence import told

    for line in told(results.get("divergence", [])):
        note(line, output)
    if output.json:
        show_json(results)
        return
    show_tables(tables(results), output)
    say(_origin(results), output)


def _compute(job: _Job) -> dict[str, Any]:
    """Plans the run where an accuracy is asked for, and runs it."""
    from driftax.study.accuracy import Accuracy
    from driftax.study.answer import run_resumed
    from driftax.study.recipe import Recipe
    from driftax.study.store import ChunkStore

    def tell_line(message: str) -> None:
        note(message, job.output)

    numbers, plan = dict(job.numbers), None
    seed = job.study.seed if job.ensemble.seed is None else job.ensemble.seed
    recipe = Recipe.of(job.study.path, job.text, seed, numbers.pop("allow_obstructed"))
    if numbers.get("accuracy") is not None:
        begun = time.monotonic()
        accuracy = Accuracy.read(numbers["accuracy"])
        plan = _plan(job, recipe, accuracy)
        recipe = recipe._replace(integration=plan.chosen.integration)
        numbers |= {"accuracy": accuracy, "integration": plan.chosen.integration}
        if numbers["budget_seconds"] is not None:
            numbers["budget_seconds"] = max(numbers["budget_seconds"] - (time.monotonic() - begun), 0.0)
    with _executor(job.cluster, recipe, tell_line) as executor, progress(job.output) as tell:
        identity = recipe.identity(executor.arithmetic)
        store = ChunkStore(job.directory, identity, tell_line, job.ensemble.fresh)
        try:
            results = run_resumed(job.verb, job.study, recipe, executor, store, tell, **numbers)
        except KeyboardInterrupt:
            kept = f"{len(store)} finished chunks are in {store.directory}"
            raise KeyboardInterrupt(f"interrupted: {kept}; the same command goes on from there") from None
    return {**results, "plan": plan.as_json()} if plan else results


def _plan(job: _Job, recipe: Recipe, accuracy: Accuracy) -> Plan:
    """How the accuracy is to be reached; says so, and what it will cost."""
    from driftax.study.plan import planned
    from driftax.study.verification import BUDGET_SECONDS

    with progress(job.output) as tell:
        plan = planned(job.study, recipe, accuracy, job.directory, job.ensemble.fresh, tell)
    for line in plan.lines(accuracy, job.ensemble.budget or BUDGET_SECONDS):
        note(line, job.output)
    return plan


@contextmanager
def _executor(cluster: Cluster, recipe: Recipe, tell: Callable[[str], None]) -> Iterator[AbstractExecutor]:
    from driftax.study.executors import LocalExecutor

    if cluster.executor == "local":
        yield LocalExecutor()
        return
    from driftax.study.cluster import dask_executor

    with dask_executor(recipe, cluster.scheduler, cluster.workers, tell) as executor:
        yield executor


def _check_flags(verb: str, report: bool, ensemble: Ensemble, cluster: Cluster, accuracy: str | None) -> None:
    """Refuses what cannot be done, and flags that would be passed over in silence, before anything runs."""
    if report:
        from driftax.cli.page import need_report

        need_report(f"`driftax {verb} --report`")
    for flag in ("scheduler", "workers"):
        value = getattr(cluster, flag)
        if value is not None and cluster.executor == "local":
            found = "--executor local, which has neither scheduler nor workers"
            raise DriftaxError(f"--{flag} {value}", found, f"--executor dask --{flag} {value}")
    if cluster.scheduler is not None and cluster.workers is not None:
        found = f"--scheduler {cluster.scheduler}, a cluster that has its workers already"
        raise DriftaxError(f"--workers {cluster.workers}", found, "one of the two flags")
    if accuracy is not None and ensemble.members is not None:
        found = f"--members {ensemble.members}, and the accuracy decides on members"
        raise DriftaxError(f"--accuracy {accuracy}", found, "one of the two flags")


def _command(verb: str, study: Path, ensemble: Ensemble, flags: dict[str, Any]) -> str:
    """The command line that gives these results again."""
    words = ["driftax", verb, str(study)]
    for name, value in {"seed": ensemble.seed, "members": ensemble.members, **flags}.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            words += [flag, f"{value:g}" if isinstance(value, float) else str(value)]
    if ensemble.budget is not None:
        words += ["--budget", f"{ensemble.budget:g}s"]
    return shlex.join(words)


def _origin(results: dict[str, Any]) -> str:
    """One line on where the numbers come from."""
    provenance = results.get("provenance", {})
    parts = [f"seed {provenance.get('seed')}"]
    parts += [f"{name} {provenance[name]}" for name in ("driftax", "jax", "precision") if name in provenance]
    if "seconds" in results:
        parts.append(f"{results['seconds']:.1f} s")
    return ", ".join(parts)
