"""Runs the studies of an experiment, resumes what was begun, and writes figures, data and the table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from driftax.report._matplotlib import figure_bytes
from driftax.reproduce._value import Experiment, Outcome, Part, Results
from driftax.study.answer import answer, run_resumed
from driftax.study.executors import LocalExecutor
from driftax.study.files import write_whole
from driftax.study.growth import Progress
from driftax.study.recipe import Recipe
from driftax.study.results import plain, request
from driftax.study.spec import read_study
from driftax.study.store import ChunkStore

Tell = Callable[[str], None]


def reproduce(
    experiment: Experiment,
    directory: Path,
    budget: float,
    progress: Progress,
    tell: Tell,
    fresh: bool = False,
) -> Outcome:
    """Runs an experiment within a time and writes what came of it to a directory.

    Args:
        experiment: which one.
        directory: of its results; every part has a folder there with its study file and its store.
        budget: seconds; a part that is short of them runs on when the command is given again.
        progress: told the fraction done and what is being done.
        tell: told lines on how the run goes.
        fresh: computes again what is there.
    """
    begun, total = time.monotonic(), sum(part.share for part in experiment.parts) or 1.0
    found: dict[str, dict[str, Any]] = {}
    done = 0.0
    for part in experiment.parts:
        place, share = done / total, part.share / total

        def within(fraction: float, message: str, place=place, share=share, part=part) -> None:
            progress(place + share * fraction, f"{experiment.id}, {part.name}: {message}")

        found[part.name] = _part(part, directory / part.name, budget * share, within, tell, fresh)
        done += part.share
    rows = experiment.judge(found)
    directory.mkdir(parents=True, exist_ok=True)
    files = _figures(experiment, found, directory)
    if found:
        files.append(_data(found, directory / "data.nc"))
    table = [{**row._asdict(), "answer": row.answer.value} for row in rows]
    summary = {"id": experiment.id, "title": experiment.title, "source": experiment.source, "rows": table}
    write_whole(directory / "summary.json", (json.dumps(plain(summary), indent=1) + "\n").encode())
    return Outcome(experiment, rows, files, time.monotonic() - begun)


def _part(
    part: Part, directory: Path, budget: float, progress: Progress, tell: Tell, fresh: bool
) -> dict[str, Any]:
    """The results of one study: those that are there, or computed with all that the store has."""
    path = lay_out(part, directory)
    study = read_study(path, part.study)
    members = study.comparison(part.verb).members
    wanted = request(part.study, directory, verb=part.verb, members=members)

    def compute() -> dict[str, Any]:
        recipe = Recipe.of(path, part.study, study.seed, allow_obstructed=True)
        executor = LocalExecutor()
        store = ChunkStore(directory, recipe.identity(executor.arithmetic), tell, fresh)
        return run_resumed(part.verb, study, recipe, executor, store, progress, budget_seconds=budget)

    return plain(answer(directory, wanted, compute, grows=members is None, fresh=fresh)[0])


def lay_out(part: Part, directory: Path) -> Path:
    """Writes the study of a part, and what it reads, to a directory; returns the study's path."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in {**part.files, "study.toml": part.study}.items():
        write_whole(directory / name, text.encode())
    return directory / "study.toml"


def _figures(experiment: Experiment, found: Results, directory: Path) -> list[str]:
    """Every figure as PNG and PDF."""
    files = []
    for figure in experiment.draw(found):
        for form in ("png", "pdf"):
            path = directory / f"{figure.name}.{form}"
            write_whole(path, figure_bytes(figure, form))
            files.append(str(path))
    return files


def _data(found: Results, path: Path) -> str:
    """Means and weak errors of all parts as one netCDF file, a variable per part, model and observable."""
    import xarray as xr

    variables: dict[str, Any] = {}
    for name, results in found.items():
        for row in [*_curves(results), *results.get("errors", [])]:
            rung = f"_rung_{row['ladder']:g}" if "ladder" in row else ""
            stem = f"{name}_{row['model']}_{row['observable']}{rung}".replace("-", "_")
            for key in ("mean", "standard_error", "weak_error"):
                if key in row:
                    kind = "error_" if "weak_error" in row else ""
                    variables[f"{stem}_{kind}{key}"] = (f"step_{stem}", _numbers(row[key]))
                    variables[f"step_{stem}"] = (f"step_{stem}", _numbers(row["step"]))
    dataset = xr.Dataset(variables)
    write_whole(path, bytes(dataset.to_netcdf(engine="scipy")))
    return str(path)


def _curves(results: dict[str, Any]) -> list[dict[str, Any]]:
    return results.get("means") or [row for row in results["results"] if "mean" in row]


def _numbers(values: list[Any]) -> np.ndarray:
    return np.asarray([np.nan if value is None else value for value in values], dtype=float)
