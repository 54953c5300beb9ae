"""The figures of a report."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from driftax.report import Curve, Difference, Judged, ReportContent
from driftax.report._matplotlib import figure_png
from driftax.report._plotly import figure_json
from driftax.report.figures import figures, styles
from unit.report_cases import LADDER, TIME_STEP, simulate_json, study_content, verify_json


@pytest.fixture(scope="module")
def content():
    return study_content()


def test_plotly_accepts_every_figure(content):
    from plotly.graph_objects import Figure as PlotlyFigure

    for found in figures(content).values():
        for figure in found:
            made = figure_json(figure)
            PlotlyFigure(made)
            json.dumps(made, allow_nan=False)


def test_a_model_looks_the_same_in_every_figure(content):
    style = styles(content.models)
    assert style == {"optimizer": 0, "derived-1": 1, "derived-2": 2}
    for found in figures(content).values():
        for figure in found:
            for panel in figure.panels:
                assert all(line.style == style[line.label.split(":")[0]] for line in panel.lines)
    many = styles([f"model-{i}" for i in range(20)])
    assert 0 not in many.values() and max(many.values()) == 7


def test_weak_errors_are_drawn_with_their_uncertainty_and_guides(content):
    figure = figures(content)["errors"][1]
    panel = figure.panels[0]
    first, second = panel.lines
    assert first.y[0] == pytest.approx(3.1e-2)  # the absolute value of a negative error
    assert second.hollow == (False, False, False, True)  # 7(4)e-5 is not distinguishable from 0
    assert second.low[3] == panel.y_range[0] > 0
    for guide, slope in zip(panel.guides, (1, 2), strict=True):
        exponent = math.log(guide.y[0] / guide.y[1]) / math.log(guide.x[0] / guide.x[1])
        assert exponent == pytest.approx(slope)


def test_a_change_of_sign_breaks_the_line():
    row = {**verify_json()["results"][0]}
    row["rungs"] = [
        {"ladder": s, "weak_error": e, "standard_error": 1e-5, "failed": 0}
        for s, e in zip(LADDER, (-4e-2, -3e-3, 2e-4, 6e-4), strict=True)
    ]
    content = ReportContent("t", "h", judged=(Judged.from_json(row, TIME_STEP),))
    figure = figures(content)["errors"][0]
    line = figure.panels[0].lines[0]
    assert [math.isnan(y) for y in line.y] == [False, False, True, False, False]
    assert 0.01 < line.x[2] < 0.02 and len(figure.ticks) == 4
    assert figure_json(figure)["data"][-1]["y"][2] is None and len(figure_png(figure)) > 20_000


def test_time_and_steps_agree_on_both_axes(content):
    figure = figures(content)["time"][0]
    for position, label in figure.top:
        assert position * TIME_STEP == pytest.approx(float(label))
    assert figure.top[-1][0] <= 48 < figure.top[-1][0] + 0.5 / TIME_STEP


def test_time_counts_from_where_the_optimizer_started():
    """A study that starts after 10 steps of h = 0.1: its step 0 is at t = 1."""
    row = {**simulate_json()["results"][0], "time": [1.0 + 0.1 * step for step in range(0, 49, 4)]}
    figure = figures(ReportContent("t", "h", time_step=0.1, curves=(Curve.from_json(row),)))["time"][0]
    assert figure.top[0] == (pytest.approx(0.0), "1")
    assert figure.top[-1] == (pytest.approx(40.0), "5")


def test_paired_differences_are_taken_as_they_are():
    row = {
        "model": "ode",
        "observable": "loss",
        "ladder": 1.0,
        "step": [1, 2],
        "weak_error": [0.5, None],
        "standard_error": [0.1, 0.1],
    }
    difference = Difference.from_json(row)
    assert difference.mean[0] == 0.5 and math.isnan(difference.mean[1])


def test_many_points_are_drawn_as_bands():
    step = tuple(float(s) for s in range(60))
    wave = tuple(math.sin(s) for s in step)
    flat = (0.1,) * 60
    content = ReportContent("t", "h", curves=(Curve("ode", "a$b", step, wave, flat, flat, 10),))
    figure = figures(content)["time"][0]
    fills = [trace for trace in figure_json(figure)["data"] if trace.get("fill") == "toself"]
    assert len(fills) == 2 and len(figure_png(figure)) > 20_000


def test_one_rung_has_no_figure_of_errors_against_the_time_step(content):
    alone = [replace(row, rungs=row.rungs[:1]) for row in content.judged]
    found = figures(replace(content, judged=tuple(alone)))
    assert found["errors"] == () and len(found["time"]) == len(figures(content)["time"])
