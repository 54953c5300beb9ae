"""A case of the callisti2025 experiments: a study and what is stated of it, turned into parts and rows.

The numbers stated are those of a deterministic backward solver of optimizer and equation (theory page, no Monte Carlo),
which has them as optimizer minus equation; a weak error is the other way round here. The orders are the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from driftax.reproduce._value import Experiment, Part, Results, Row
from driftax.reproduce.judge import beside, drawn, order, order_among, rounding, weak_error

FINE = (0.25, 0.125)  # the rungs whose errors are stated
FIRST, SECOND, CODE = "callisti-2025-1", "callisti-2025-2", "callisti-2025-code"
EXTENDED, PREVIOUS = "callisti-2025-extended", "callisti-2025-2-previous"
PARAMS, SECOND_MOMENT = "params_sq", "nu_sq"
_NOTHING: Mapping = MappingProxyType({})


class Case(NamedTuple):
    """A study, and what is stated of it.

    Attributes:
        name: of its folder.
        study: the text of its file.
        orders: the order a model claims, by model, for every observable.
        errors: by (model, observable), the weak errors on the two finest rungs of `FINE`, or on the first alone.
        slowed: by (model, observable), the order below its claim that an error is stated to fall with.
        files: what the study reads beside itself, by name.
    """

    name: str
    study: str
    orders: Mapping[str, int] = _NOTHING
    errors: Mapping[tuple[str, str], tuple[float, ...]] = _NOTHING
    slowed: Mapping[tuple[str, str], int] = _NOTHING
    files: Mapping[str, str] = _NOTHING


def _rows(case: Case, results: dict) -> list[Row]:
    said = []
    for model, stated in case.orders.items():
        observables = (PARAMS, SECOND_MOMENT)
        said += [order(results, model, each, stated, f"{case.name}, {model}") for each in observables]
    for (model, observable), slow in case.slowed.items():
        coarse, fine = (weak_error(results, model, observable, scale) for scale in FINE)
        words = f"{case.name}, {model}: order of E {observable}"
        said.append(order_among(words, slow, (slow - 1, slow + 1), coarse, fine))
    for (model, observable), numbers in case.errors.items():
        for scale, number in zip(FINE, numbers, strict=False):
            words = f"{case.name}, {model}, s = {scale:g}: weak error of E {observable}"
            measured = weak_error(results, model, observable, scale)
            said.append(beside(words, -number, *measured, slack=rounding(number, 2)))
    return said


def experiment(id: str, title: str, source: str, cases: tuple[Case, ...]) -> Experiment:
    """Every case a part of its own, judged by what is stated of it."""

    def judge(found: Results) -> list[Row]:
        return [row for case in cases for row in _rows(case, found[case.name])]

    parts = tuple(Part(case.name, "verify", case.study, files=case.files) for case in cases)
    return Experiment(id, title, source, parts, judge, drawn)
