"""`driftax predict --measurement`: what is to be expected of a run, in words, tables, JSON or as a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftax._errors import DriftaxError
from driftax.cli.options import Output
from driftax.cli.show import Table, say, show_json, show_tables

if TYPE_CHECKING:
    from driftax.advice.outcomes import Outcome
    from driftax.advice.words import Answer
    from driftax.scaling.settings import Settings

_NUMBERS = ("speed", "descent", "pull", "noise", "floor", "edge_share")
_TAKEN = ("optimizer", "learning_rate", "batch", "b1", "b2", "eps", "weight_decay", "weight_decay_form")


def answer_forecast(
    measurement: Path, flags: dict[str, Any], steps: int | None, report: Path | None, output: Output
) -> None:
    """Prints forecast, changes and words, and writes the report that was asked for.

    Raises:
        DriftaxError: for flags of the closed forms, missing numbers, and measurements without curvature.
    """
    from driftax.advice.forecast import forecast
    from driftax.advice.outcomes import STEPS, after_changes, horizon
    from driftax.advice.tables import (
        FORECAST_COLUMNS,
        OUTCOME_COLUMNS,
        OUTCOME_NOTES,
        forecast_rows,
        outcome_rows,
    )
    from driftax.advice.words import answers
    from driftax.measurement import Measurement

    settings, steps = _settings(flags), steps or STEPS
    found = Measurement.load(measurement)
    forecasts, changes = forecast(found, settings, steps=steps), after_changes(found, settings, steps)
    if output.json:
        rows = [one._asdict() for one in forecasts]
        show_json({"optimizer": settings.optimizer, "forecast": rows, "changes": outcomes_json(changes)})
    else:
        title = f"Expected of {settings.optimizer}, learning rate {settings.learning_rate:g}, batch {settings.batch:g}"
        ahead = f"One number changed, over {horizon([one.settings for one in changes], steps):,.0f} examples"
        tables = [
            Table(title, FORECAST_COLUMNS, forecast_rows(forecasts)),
            Table(ahead, OUTCOME_COLUMNS, outcome_rows(changes), OUTCOME_NOTES),
        ]
        show_tables(tables, output)
        show_answers(answers(found, forecasts, changes), output)
    if report is not None:
        from driftax.advice.page import write_run_report

        say(str(write_run_report(report, found, settings, forecasts, changes, steps=steps)), output)


def show_answers(told: list[Answer], output: Output) -> None:
    """Questions and sentences, one line each."""
    for one in told:
        print(f"\n### {one.question}\n" if output.md else f"\n{one.question}")
        for sentence in one.sentences:
            print(f"- {sentence}" if output.md else f"  {sentence}")


def outcomes_table(outcomes: list[Outcome]) -> Table:
    """What the equation says of every rule, on the measured surrogate."""
    from driftax.advice.outcomes import STEPS, horizon
    from driftax.advice.tables import OUTCOME_COLUMNS, OUTCOME_NOTES, outcome_rows
    from driftax.advice.words import of_rules

    examples = horizon([one.settings for one in outcomes], STEPS)
    title = f"The equation at both batch sizes, on the measured curvature and noise, over {examples:,.0f} examples"
    return Table(title, OUTCOME_COLUMNS, outcome_rows(outcomes), [*of_rules(outcomes), *OUTCOME_NOTES])


def outcomes_json(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """Outcomes in the keys of the JSON: numbers with their standard errors."""
    return [
        {
            "name": one.name,
            "batch": one.settings.batch,
            "stable": one.stable,
            **{key: getattr(one, key)._asdict() for key in _NUMBERS},
        }
        for one in outcomes
    ]


def _settings(flags: dict[str, Any]) -> Settings:
    from driftax.scaling.settings import settings_of

    for name in flags:
        if name not in _TAKEN:
            flag = "--" + name.replace("_", "-")
            raise DriftaxError("a prediction from a measurement", flag, "no such flag: it was measured")
    for name in ("optimizer", "learning_rate", "batch"):
        if name not in flags:
            flag = "--" + name.replace("_", "-")
            raise DriftaxError("a prediction from a measurement", f"no {flag}", f"{flag} of the run")
    given = dict(flags)
    name, rate, batch = (given.pop(key) for key in ("optimizer", "learning_rate", "batch"))
    return settings_of(name, rate, batch, **given)
