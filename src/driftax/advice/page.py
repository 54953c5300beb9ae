"""The report of a run: questions, answers, and the tables and figures they rest on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from driftax.advice.forecast import Forecast
from driftax.advice.linear import after
from driftax.advice.local_model import LocalModel, local_model
from driftax.advice.outcomes import STEPS, Outcome, edge_share, horizon
from driftax.advice.tables import (
    FORECAST_COLUMNS,
    OUTCOME_COLUMNS,
    OUTCOME_NOTES,
    forecast_rows,
    outcome_rows,
)
from driftax.advice.words import Answer, answers
from driftax.measurement import Measurement
from driftax.report.answers_page import Answers, Part, Sheet, write_answers
from driftax.report.figures import Figure, Line, Panel
from driftax.scaling.settings import Settings

_DRAWN = 6  # configurations in a figure


def write_run_report(
    directory: Path,
    found: Measurement,
    settings: Settings,
    forecasts: list[Forecast],
    changes: list[Outcome],
    rules: list[Outcome] | None = None,
    steps: int = STEPS,
) -> Path:
    """Writes `report.html` of a run.

    Args:
        directory: made if it is not there.
        found: a measurement with curvature.
        settings: of the run.
        forecasts: from `forecast`.
        changes: from `after_changes`.
        rules: from `after_rules`, where another batch size was asked for.
        steps: ahead that are drawn.

    Raises:
        DriftaxError: if the extra `report` is not installed.
    """
    looks, limits, levers, sure = answers(found, forecasts, changes, rules)
    model = local_model(found, settings)
    shown = [Sheet(" ".join(["One number changed.", *OUTCOME_NOTES]), OUTCOME_COLUMNS, outcome_rows(changes))]
    if rules:
        title = f"Rules for a batch of {rules[-1].settings.batch:g}, over the same examples."
        shown.append(Sheet(title, OUTCOME_COLUMNS, outcome_rows(rules)))
    expected = Sheet("Expected of this run", FORECAST_COLUMNS, forecast_rows(forecasts))
    parts = [
        _part(looks, figures=(_spectrum(model, settings),)),
        _part(limits),
        _part(levers, shown, (_ahead(model, rules or changes, steps),)),
        _part(sure, [expected]),
    ]
    numbers = f"{settings.optimizer}, learning rate {settings.learning_rate:g}, batch {settings.batch:g}"
    return write_answers(directory, Answers(f"Your run: {numbers}", limits.sentences[-1], parts))


def _part(answer: Answer, tables: list[Sheet] | None = None, figures: tuple[Figure, ...] = ()) -> Part:
    return Part(answer.question, answer.sentences, tables or [], figures)


def _spectrum(model: LocalModel, settings: Settings) -> Figure:
    """Shares of noise and signal over curvature, in units of the edge of stability."""
    share = edge_share(model, settings)
    curved = model.curvature > 0
    place = np.log10(share * model.curvature[curved] / model.curvature.max())
    lines = []
    for style, (name, values) in enumerate((("noise", model.noise), ("signal", model.signal)), start=1):
        if values.sum() > 0:
            heights = 100 * values[curved] / values.sum()
            lines.append(Line(name, style, tuple(place.tolist()), tuple(heights.tolist())))
    flat = 100 * model.noise[~curved].sum() / model.noise.sum()
    caption = (
        "How the noise of a gradient and the mean gradient (squared) are spread over the curvatures of the loss. Noise "
        f"at sharp curvatures settles within a few steps, at flat ones late; {flat:.2g} % of it is at none or negative."
    )
    title, across = "Where noise and signal stand", "log10 of curvature over the edge of stability"
    return Figure("spectrum", title, caption, across, (Panel("share, %", tuple(lines)),))


def _ahead(model: LocalModel, outcomes: list[Outcome], steps: int) -> Figure:
    """The loss that noise keeps and the mean gradient takes off, over examples, for some configurations."""
    drawn = [one for one in outcomes if one.stable][:_DRAWN]
    examples = horizon([one.settings for one in outcomes], steps)
    looks = np.linspace(0, examples, 41)
    noise, descent = [], []
    for style, one in enumerate(drawn):
        found = [
            after(model, one.settings, round(at / one.settings.batch), outcomes[0].settings) for at in looks
        ]
        across = tuple(looks.tolist())
        noise.append(Line(one.name, style, across, tuple(value.noise for value in found)))
        descent.append(Line(one.name, style, across, tuple(value.descent + value.pull for value in found)))
    caption = (
        "On the measured surrogate, from the params that were measured, without errors of the measurement."
    )
    panels = [Panel("kept by noise", tuple(noise))]
    if any(one.descent.value > 2 * one.descent.standard_error for one in drawn):
        panels.append(Panel("taken off", tuple(descent)))
    return Figure("ahead", "The loss over the next examples", caption, "examples", tuple(panels))
