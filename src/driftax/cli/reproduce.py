"""`driftax reproduce`: the papers' experiments, with our numbers beside the paper's."""

from __future__ import annotations

import difflib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.environment import prepare
from driftax.cli.options import OUTPUT, Budget, Output
from driftax.cli.show import Table, note, progress, say, show_json, show_tables

if TYPE_CHECKING:
    from driftax.reproduce._value import Experiment, Outcome

_BUDGET = 300.0  # seconds of one experiment

Word = Annotated[
    str, Parameter(help="`list`; `run` and the IDs of experiments; `run all` or `run networks`.")
]


def reproduce(
    *words: Word,
    budget: Budget = None,
    out: Path | None = None,
    full: bool = False,
    fresh: bool = False,
    output: Output = OUTPUT,
) -> int:
    """The papers' experiments: `reproduce list`, `reproduce run ID`, `reproduce run all`.

    `all` are the experiments on landscapes; those on networks are `run networks`: they take longer, and some need data
    sets (`driftax data list`). Every experiment gives figures (PNG, PDF), its data (netCDF) and a table: what the paper
    says, what is measured. The same command again goes on where time was too short.

    Args:
        budget: Time to spend in all, such as 90s, 5m or 1h (default 5m for each experiment).
        out: Directory for the results (default driftax-out/reproduce/).
        full: The papers' size, where ours is smaller.
        fresh: Compute again what is there.
    """
    prepare()  # before the experiments, which import JAX
    from driftax.reproduce.experiments import EXPERIMENTS

    chosen = _chosen(words, EXPERIMENTS)
    if full:
        chosen = [e._replace(id=f"{e.id}-full", parts=e.full) if e.full else e for e in chosen]
    if not chosen:
        rows = [[e.id, e.title, e.source] for e in EXPERIMENTS]
        if output.json:
            show_json(
                {"experiments": [{"id": e.id, "title": e.title, "source": e.source} for e in EXPERIMENTS]}
            )
        else:
            show_tables([Table("Experiments", ["id", "what", "source"], rows)], output)
        return 0
    outcomes = _run(
        chosen, budget or _BUDGET * len(chosen), out or Path("driftax-out") / "reproduce", fresh, output
    )
    if output.json:
        show_json({"experiments": [_json(outcome) for outcome in outcomes]})
    return 0


def _chosen(words: tuple[str, ...], known: tuple[Experiment, ...]) -> list[Experiment]:
    """The experiments to run; none for a list.

    Raises:
        DriftaxError: for words that name none.
    """
    asked = " ".join(("driftax reproduce", *words))
    if words in ((), ("list",)):
        return []
    if words[0] != "run" or len(words) == 1:
        raise DriftaxError(
            asked, "neither `list` nor `run ID`", f"driftax reproduce run {known[0].id}, or run all"
        )
    by_id = {experiment.id: experiment for experiment in known}
    from driftax.reproduce.experiments import LANDSCAPES, NETWORKS

    groups: dict[tuple[str, ...], tuple[Experiment, ...]] = {("all",): LANDSCAPES, ("networks",): NETWORKS}
    if words[1:] in groups:
        return list(groups[words[1:]])
    for word in words[1:]:
        if word not in by_id:
            near = difflib.get_close_matches(word, by_id, 1)
            raise DriftaxError(
                asked,
                f"no experiment {word!r}",
                f"driftax reproduce run {near[0]}" if near else "driftax reproduce list",
            )
    return [by_id[word] for word in dict.fromkeys(words[1:])]


def _run(
    chosen: list[Experiment], budget: float, directory: Path, fresh: bool, output: Output
) -> list[Outcome]:
    """Runs one after the other; each table as soon as it is there."""
    from driftax.reproduce.runner import reproduce as run

    outcomes, deadline = [], time.monotonic() + budget
    for left, experiment in zip(range(len(chosen), 0, -1), chosen, strict=True):
        share = max((deadline - time.monotonic()) / left, 1.0)
        with progress(output) as tell:
            outcome = run(
                experiment,
                directory / experiment.id,
                share,
                tell or _silent,
                lambda message: note(message, output),
                fresh,
            )
        outcomes.append(outcome)
        if not output.json:
            show_tables([_table(outcome)], output)
        for file in outcome.files:
            say(file, output)
    return outcomes


def _silent(fraction: float, message: str) -> None:
    pass


def _table(outcome: Outcome) -> Table:
    rows = [[row.statement, row.paper, row.measured, row.answer.value] for row in outcome.rows]
    experiment = outcome.experiment
    counts: dict[str, int] = {}
    for row in outcome.rows:
        counts[row.answer.value] = counts.get(row.answer.value, 0) + 1
    told = ", ".join(f"{count} {answer}" for answer, count in counts.items())
    notes = [f"{experiment.source}. {told}; {outcome.seconds:.0f} s."]
    return Table(
        f"{experiment.id}: {experiment.title}",
        ["statement", "paper says", "we measure", "verdict"],
        rows,
        notes,
    )


def _json(outcome: Outcome) -> dict[str, object]:
    rows = [{**row._asdict(), "answer": row.answer.value} for row in outcome.rows]
    return {"id": outcome.experiment.id, "rows": rows, "files": outcome.files, "seconds": outcome.seconds}
