"""The answer to a request, in a directory of results: read where it is there, computed where it is not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from driftax.study import run
from driftax.study.executors import AbstractExecutor
from driftax.study.growth import Progress, Workshop
from driftax.study.lock import locked
from driftax.study.recipe import Recipe
from driftax.study.results import stored, write
from driftax.study.spec import Study
from driftax.study.store import ChunkStore


def answer(
    directory: Path,
    wanted: dict[str, Any],
    compute: Callable[[], dict[str, Any]],
    *,
    grows: bool,
    fresh: bool,
) -> tuple[dict[str, Any], bool]:
    """The results of a request, which the directory then has, and whether it had them before.

    Args:
        directory: of the results; no other process writes there meanwhile.
        wanted: the request.
        compute: makes the results.
        grows: whether the number of members is open, so that an undecided row may be decided next time.
        fresh: computes again what is there.
    """
    known = None if fresh else stored(directory, wanted, grows)
    if known is not None:
        return known, True
    with locked(directory):
        results = compute()
        write(directory, results, wanted)
    return results, False


def run_resumed(
    verb: str,
    study: Study,
    recipe: Recipe,
    executor: AbstractExecutor,
    store: ChunkStore,
    progress: Progress | None,
    **numbers: Any,
) -> dict[str, Any]:
    """Runs a verb on a study from the chunks a store has, and keeps every chunk that is finished.

    Args:
        verb: `simulate` or `verify`.
        study: as read.
        recipe: of its ensembles.
        executor: who computes.
        store: of the recipe's chunks.
        progress: told the fraction done and what is being done.
        numbers: what else the run is told.
    """
    runner: Callable[..., dict[str, Any]] = getattr(run, f"run_{verb}")
    workshop, obstructed = Workshop(executor, store), recipe.allow_obstructed
    return runner(study, progress=progress, workshop=workshop, allow_obstructed=obstructed, **numbers)
