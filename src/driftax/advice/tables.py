"""Forecasts and outcomes as rows of words."""

from __future__ import annotations

import math

from driftax.advice.forecast import Forecast
from driftax.advice.outcomes import Outcome
from driftax.advice.words import ranged
from driftax.measurement.estimates import Estimate
from driftax.report.numbers import short, with_error

FORECAST_COLUMNS = ["", "expected, 95 %", "validity", "because"]
OUTCOME_COLUMNS = ["", "speed", "taken off", "noise left", "noise floor", "of the edge"]
OUTCOME_NOTES = [
    "speed: along flat directions, per example, over that of now.",
    "taken off: loss that mean gradient and weight decay remove over the same examples, beyond the jitter (what the "
    "gradient of a settled run is by noise alone).",
    "noise left, noise floor: loss that noise keeps above the minimum after those examples, and in the end.",
    "of the edge: the largest curvature over the edge of stability; unstable above 1.",
]


def forecast_rows(forecasts: list[Forecast]) -> list[list[str]]:
    """One row per forecast."""
    return [[one.name, _expected(one), one.validity, one.reason] for one in forecasts]


def outcome_rows(outcomes: list[Outcome]) -> list[list[str]]:
    """One row per configuration; beyond the edge of stability there is nothing to be expected."""
    rows = []
    for one in outcomes:
        levels = [one.speed, one.descent, one.noise, one.floor] if one.stable else []
        cells = [number(found) for found in levels] or ["unstable"] * 4
        if one.stable and abs(one.descent.value) < 2 * one.descent.standard_error:
            cells[1] = "not resolved"
        rows.append([one.name, *cells, number(one.edge_share)])
    return rows


def number(found: Estimate) -> str:
    """A number with its standard error."""
    return with_error(found.value, found.standard_error)


def _expected(one: Forecast) -> str:
    return short(one.value) if math.isnan(one.low) else ranged(one)
