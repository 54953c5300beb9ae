"""The tables of stationary laws, recomputed, with the published or measured numbers beside ours.

Numbers that were measured by simulation come with their standard error. Relative deviations are in percent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from driftax.predict.adaptive import (
    AdaptiveRule,
    adaptive_stationary,
    equation_variance,
    frozen_variance,
    paper_variance,
)
from driftax.predict.batch_size import RULES, loss_ratio
from driftax.predict.stationary import Stationary, erf_equation_variance, signsgd_stationary

# learning rate, curvature, noise; exact variance; leading, paper, equation with erf, closure in percent of it.
_SIGN = [
    ((1e-3, 1.0, 1.0), 6.26853437747e-4, (-0.031, -0.071, -0.040, 2e-6)),
    ((1e-2, 1.0, 1.0), 6.28622514225e-3, (-0.313, -0.709, -0.399, 0.0002)),
    ((1e-2, 2.0, 0.5), 1.58635500667e-3, (-1.24, -2.79, -1.60, 0.003)),
    ((0.1, 1.0, 1.0), 6.46482409687e-2, (-3.07, -6.79, -3.98, 0.018)),
    ((0.1, 1.0, 0.1), 8.3828e-3, (-25.0, -47.0, -33.0, 1.8)),
]
# degrees of freedom; exact variance at learning rate 1e-2, curvature 1, scale 1; leading in percent of it.
_STUDENT = [
    (1.0, 7.915380908e-3, -0.78),
    (2.0, 7.108513145e-3, -0.53),
    (3.0, 6.832572925e-3, -0.45),
    (5.0, 6.611789832e-3, -0.39),
]
# curvature, noise, learning rate, b1, decay; discrete variance; paper formula, plain, paper, consistent in percent.
_ADAM = [
    ((1.0, 1.0, 1e-2, 0.9, 0.0), 5.001316136e-3, (-0.03, -0.03, -19.8, -0.92)),
    ((1.0, 1.0, 1e-2, 0.9, 1.0), 2.294791515e-3, (8.9, -0.96, -20.5, -1.66)),
    ((1.0, 0.3, 1e-2, 0.9, 1.0), 1.059788736e-3, (8.9, -1.0, -22.2, -3.5)),
    ((1.0, 1.0, 1e-3, 0.9, 1.0), 2.477831168e-4, (0.9, -0.10, -19.2, -0.18)),
    ((1.0, 1.0, 1e-2, 0.99, 1.0), 1.256344856e-3, (99.0, -0.51, -3.0, -0.98)),
    ((1.0, 1.0, 1e-2, 0.5, 1.0), 2.483553724e-3, (0.7, -1.3, -75.6, -1.3)),
    ((1.0, 1.0, 1e-3, 0.99, 0.1), 4.500908119e-4, (1.0, -0.01, -2.1, -0.11)),
]
# noise, learning rate, b1, b2, decay; measured loss and standard error; paper and refined in percent of it.
_LOSS = [
    ((1.0, 1e-3, 0.9, 0.999, 0.0), (4.991e-4, 1.5e-6), (0.18, 0.15)),
    ((1.0, 1e-3, 0.9, 0.999, 1.0), (2.891e-4, 9e-7), (0.88, -0.19)),
    ((1.0, 1e-2, 0.9, 0.999, 1.0), (2.6283e-3, 9e-6), (11.0, 0.15)),
    ((5.0, 1e-2, 0.9, 0.999, 1.0), (5.0757e-3, 2e-5), (11.4, 0.42)),
    ((0.1, 1e-2, 0.9, 0.999, 1.0), (4.089e-4, 2e-6), (13.8, 0.44)),
    ((1.0, 1e-2, 0.0, 0.999, 1.0), (2.8995e-3, 9e-6), (0.59, 0.13)),
    ((1.0, 1e-2, 0.99, 0.9995, 1.0), (1.4508e-3, 8e-6), (101.0, -0.55)),
    ((1.0, 1e-2, 0.9, 0.95, 1.0), (2.6065e-3, 9e-6), (11.9, 0.99)),
    ((100.0, 1e-2, 0.9, 0.999, 1.0), (6.613e-3, 3e-5), (11.6, 0.35)),
]
# rule; measured ratio at decay 0 (growth 4, 16), at decay 1 (4, 16); theory at decay 1 (4, 16).
_BATCH = [
    ("sqrt-decay", (0.999, 0.997, 0.993, 0.988), (1.0, 1.0)),
    ("sqrt", (0.999, 0.997, 1.417, 1.813), (1.40, 1.76)),
    ("linear", (1.994, 4.024, 2.776, 7.09), (2.80, 7.04)),
    ("linear, betas fixed", (1.988, 3.914, 2.50, 4.30), None),
    ("sqrt-decay, betas fixed", (1.000, 0.993, 0.894, 0.608), None),
    ("sqrt, betas fixed", (None, None, 1.342, 1.563), None),
    ("learning rate fixed, linear decay", (0.500, 0.249, 0.317, 0.091), (0.32, 0.093)),
    ("none", (0.502, 0.250, 0.703, 0.440), (0.70, 0.44)),
]
_CURVATURE = np.array([1.0, 2.0])


class RecomputedTable(NamedTuple):
    """A table with our numbers and the known ones.

    Args:
        title: what it shows.
        header: names of the columns; a known number follows ours in the column named `known: ...`.
        rows: numbers, words, or None where nothing is known.
    """

    title: str
    header: list[str]
    rows: list[list[str | float | None]]


def tables() -> list[RecomputedTable]:
    """The tables of SignSGD, of the equations of Adam, of the stationary loss of Adam(W), and of batch sizes.

    Source: compagnoni2025, Lemmas 3.7, C.52, C.57 and 3.13; the known numbers are measurements and exact laws.
    """
    return [sign_table(), student_table(), adam_table(), loss_table(), batch_table()]


def sign_table() -> RecomputedTable:
    """The stationary variance of SignSGD by formulas, in percent of the exact law of the chain."""
    header = ["learning rate", "curvature", "noise", "exact variance"]
    header += _pairs("leading %", "paper %", "erf equation %", "closure %")
    rows: list[list[str | float | None]] = []
    for (eta, h, s), exact, known in _SIGN:
        laws = signsgd_stationary(h, s, eta)
        found = [_variance(laws[name].value) for name in ("leading", "paper")]
        found += [erf_equation_variance(h, s, eta), _variance(laws["closure"].value)]
        rows.append([eta, h, s, exact, *_interleave([_percent(value, exact) for value in found], known)])
    return RecomputedTable("Stationary variance of SignSGD", header, rows)


def student_table() -> RecomputedTable:
    """The same under Student-t noise of scale 1."""
    rows: list[list[str | float | None]] = []
    for dof, exact, known in _STUDENT:
        laws = signsgd_stationary(1.0, 1.0, 1e-2, dof=dof)
        leading, closure = (_percent(_variance(laws[name].value), exact) for name in ("leading", "closure"))
        rows.append([dof, exact, leading, known, closure])
    header = ["dof", "exact variance", *_pairs("leading %"), "closure %"]
    return RecomputedTable("Stationary variance of SignSGD under Student-t noise", header, rows)


def adam_table() -> RecomputedTable:
    """The stationary variance of Adam(W) at a frozen second moment: the equations, in percent of the optimizer's."""
    header = ["curvature", "noise", "learning rate", "b1", "weight decay", *_pairs("exact variance")]
    header += _pairs("paper formula %", "plain %", "paper equation %", "consistent %")
    rows: list[list[str | float | None]] = []
    for (h, s, eta, b1, theta), exact, known in _ADAM:
        rule = AdaptiveRule(eta, b1, 0.999, theta)
        ours = float(frozen_variance(h, s, rule)[0])
        found = [paper_variance(h, s, rule)]
        found += [equation_variance(h, s, rule, name) for name in ("plain", "paper", "consistent")]
        percent = [_percent(float(value[0]), ours) for value in found]
        rows.append([h, s, eta, b1, theta, ours, exact, *_interleave(percent, known)])
    return RecomputedTable("Which equation of Adam(W) has the right stationary variance", header, rows)


def loss_table() -> RecomputedTable:
    """The stationary loss of Adam(W), in percent of measured ones.

    They were measured with a decay that shrinks the params after the step; the last column is the refined
    formula for PyTorch's decay, which is beside the step.
    """
    header = ["noise", "learning rate", "b1", "b2", "weight decay", "measured loss", "standard error"]
    header += [*_pairs("paper %", "refined, decay after the step %"), "refined, decay beside the step %"]
    rows: list[list[str | float | None]] = []
    for (s, eta, b1, b2, theta), (loss, error), known in _LOSS:
        after = adaptive_stationary(_CURVATURE, s, AdaptiveRule(eta, b1, b2, theta, decay_after=True))
        beside = adaptive_stationary(_CURVATURE, s, AdaptiveRule(eta, b1, b2, theta))
        ours = [_percent(after[name].value.loss, loss) for name in ("paper", "refined")]
        last = _percent(beside["refined"].value.loss, loss)
        rows.append([s, eta, b1, b2, theta, loss, error, *_interleave(ours, known), last])
    return RecomputedTable("Stationary loss of RMSpropW and AdamW", header, rows)


def batch_table() -> RecomputedTable:
    """Stationary loss at 4 and 16 times the batch size over that at the base one, for rules of batch size."""
    header = ["rule", "weight decay", "batch x", *_pairs("paper ratio"), "measured ratio"]
    header += ["refined, decay after the step", "refined, decay beside the step"]
    rows: list[list[str | float | None]] = []
    for name, measured, theory in _BATCH:
        for place, (theta, growth) in enumerate([(0.0, 4.0), (0.0, 16.0), (1.0, 4.0), (1.0, 16.0)]):
            ratios = [
                loss_ratio(
                    _CURVATURE,
                    2.0,
                    AdaptiveRule(2e-3, 0.95, 0.999, theta, decay_after=after),
                    growth,
                    RULES[name],
                )
                for after in (True, False)
            ]
            known = theory[place - 2] if theory is not None and theta else None
            refined = [ratio["refined"].value for ratio in ratios]
            rows.append([name, theta, growth, ratios[0]["paper"].value, known, measured[place], *refined])
    return RecomputedTable("Stationary loss after a change of the batch size", header, rows)


def _variance(law: Stationary) -> float:
    return float(law.variance[0])


def _percent(value: float, exact: float) -> float:
    return 100 * (value / exact - 1)


def _pairs(*names: str) -> list[str]:
    return [word for name in names for word in (name, f"known: {name}")]


def _interleave(ours: list[float], known: tuple[float, ...]) -> list[float]:
    return [number for pair in zip(ours, known, strict=True) for number in pair]
