"""Measurements beside statements: when they agree, and the figures every experiment shares."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from driftax.compare.distance import Distance
from driftax.report.figures import Figure, figures
from driftax.report.numbers import with_error
from driftax.report.of_results import content
from driftax.reproduce._value import Answer, Results, Row
from driftax.statistics.intervals import ratio_magnitude

_SIGMAS = 4.0  # a true statement is called wrong with probability 6e-5


def beside(statement: str, paper: float, measured: float, error: float, slack: float = 0.0) -> Row:
    """A number beside ours: they agree within four standard errors and the paper's own slack.

    Args:
        statement: in words.
        paper: the number stated.
        measured: ours.
        error: standard error of ours, the integrator's bias included.
        slack: of the number stated: its rounding, or its own standard errors.
    """
    gap, allowed = abs(measured - paper), _SIGMAS * error + slack
    if not math.isfinite(measured) or not math.isfinite(error):
        answer = Answer.INCONCLUSIVE
    elif gap > allowed:
        answer = Answer.DISAGREES
    else:  # what cannot tell the number from 0 or from twice itself says nothing
        answer = Answer.AGREES if allowed < abs(paper) else Answer.INCONCLUSIVE
    return Row(statement, f"{paper:.3g}", with_error(measured, error), answer)


def rounding(value: float, digits: int = 3) -> float:
    """Half a unit of the last of the digits a number is stated with."""
    return 0.0 if value == 0 else 0.5 * 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)


def weak_error(results: dict[str, Any], model: str, observable: str, scale: float) -> tuple[float, float]:
    """A weak error of `verify` on a rung, and its standard error with the bound on the integrator's bias."""
    row = next(r for r in results["results"] if (r["model"], r["observable"]) == (model, observable))
    rung = next(r for r in row["rungs"] if r["ladder"] == scale)
    return _number(rung["weak_error"]), math.hypot(_number(rung["standard_error"]), _number(rung["bias"]))


def order(results: dict[str, Any], model: str, observable: str, stated: int, words: str) -> Row:
    """The local order of the finest rungs beside the order stated."""
    row = next(r for r in results["results"] if (r["model"], r["observable"]) == (model, observable))
    measured = "none" if row["order"] is None else f"{row['order']:.2f}"
    if row["ci95"] is not None:
        low, high = ("-inf" if row["ci95"][0] is None else f"{row['ci95'][0]:.2f}"), row["ci95"][1]
        measured += f" [{low}, {'inf' if high is None else f'{high:.2f}'}]"
    same = {"consistent": Answer.AGREES, "refuted": Answer.DISAGREES, "inconclusive": Answer.INCONCLUSIVE}
    claims = row["claimed_order"] == stated
    answer = same[row["verdict"]] if claims else Answer.INCONCLUSIVE
    return Row(f"{words}: weak order in E {observable}", f"order {stated}", measured, answer)


def order_among(
    words: str,
    stated: float,
    others: tuple[float, float],
    coarse: tuple[float, float],
    fine: tuple[float, float],
) -> Row:
    """Whether the order between two rungs, one twice as fine as the other, is nearer to the one stated than to others.

    Args:
        words: of the statement.
        stated: the order stated.
        others: the orders it is told apart from, one below and one above (-inf: none below).
        coarse: weak error of the coarse rung and its standard error.
        fine: the same of the fine rung.
    """
    low, high = (_log2(end) for end in ratio_magnitude(*coarse, *fine, _SIGMAS))
    least, most = ((stated + other) / 2 for other in others)
    if coarse[0] * fine[0] <= 0 or (low <= least <= high) or (low <= most <= high):
        answer = Answer.INCONCLUSIVE
    else:
        answer = Answer.AGREES if least < low and high < most else Answer.DISAGREES
    centre = "none" if coarse[0] * fine[0] <= 0 else f"{math.log2(coarse[0] / fine[0]):.2f}"
    return Row(words, f"order {stated:g}, not {others[1]:g}", f"{centre} [{low:.2f}, {high:.2f}]", answer)


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else -math.inf


def mean(
    results: dict[str, Any], model: str, observable: str, step: int | None = None
) -> tuple[float, float]:
    """A mean of `simulate` and its standard error, at a recorded step (the last, if none is given)."""
    row = next(r for r in results["results"] if (r["model"], r["observable"]) == (model, observable))
    place = -1 if step is None else row["step"].index(step)
    return _number(row["mean"][place]), _number(row["standard_error"][place])


def distance(results: dict[str, Any], model: str, observable: str = "loss") -> Distance:
    """How far a model is from the optimizer on the coarsest rung of `verify`: nan where members are lost."""
    for row in results["distances"]:
        if (row["model"], row["observable"]) == (model, observable):
            return Distance(row["distance"], row["standard_error"], _number(row["doubled"]), row["step"])
    return Distance(math.nan, math.nan, math.nan, 0)


def tracking(results: dict[str, Any], model: str, observable: str = "loss") -> tuple[float, float]:
    """The distance of a model and its standard error."""
    found = distance(results, model, observable)
    return found.ratio, found.error


def drawn(found: Results) -> list[Figure]:
    """The figures a report would show, of every part."""
    return [
        replace(figure, name=f"{name}-{figure.name}")
        for name, results in found.items()
        for group in figures(content(name, results)).values()
        for figure in group
    ]


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
