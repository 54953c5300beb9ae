"""The polynomial experiments of callisti2025: batches of fair picks of two gradients, on one parameter.

The noise is the real one (batches are drawn), so the equations beside the optimizer are the compiled ones. The paper
shows densities; here means and standard deviations of the members over time stand for them.
"""

from __future__ import annotations

import math

from driftax.report.numbers import with_error
from driftax.reproduce._value import Answer, Experiment, Part, Results, Row
from driftax.reproduce.judge import drawn, mean, tracking

_SIGMAS = 4.0
_KEPT = 5.0  # percent of the range below which two runs are called the same
_MODELS = ["derived-1", "derived-2"]


def _study(
    batch: int,
    alpha: float,
    start: float,
    steps: int,
    models: list[str],
    regime: str = "ballistic",
    scale: float = 1.0,
    members: int = 256,
) -> str:
    """RMSprop with learning rate 0.02 at scale 1; `scale` moves it along the batch-equivalent ladder."""
    records = sorted({max(1, round(steps * i / 20)) for i in range(1, 21)})
    rate, forget, nu = 0.02, 0.01, 1.0
    if regime == "batch-equivalent":
        rate, forget = 0.02**0.5 * scale**0.5, 0.01 * scale
    return f"""seed = 0

[objective]
name = "polynomial"
alpha = {alpha!r}

[noise]
name = "minibatch"
batch_size = {batch}

[optimizer]
name = "rmsprop"
learning_rate = {rate!r}
decay = {1 - forget!r}
eps = 0.1
denominator = "previous"

[start]
params = [{start!r}]
nu = [{nu!r}]

[regime]
name = "{regime}"
ladder = [1.0]

[compare]
steps = {steps}
record = {records}
models = {models!r}
observables = ["params[0]", "loss"]
members = {members}
"""


_ONE = {f"alpha-{alpha:g}": _study(8, alpha, -1.2, 200, _MODELS) for alpha in (0.0, 0.5, 1.0)}
_TWO = {f"alpha-{alpha:g}": _study(32, alpha, 1.5, 500, _MODELS) for alpha in (0.0, 2.0, 4.0)}
_SCALES = (1, 2, 4, 8)
_THREE = {
    f"alpha-{alpha:g}-k-{k}": _study(8 // k, alpha, 1.5, 200 * k, [], "batch-equivalent", 1 / k, 16384)
    for alpha in (0.0, 1.0)
    for k in _SCALES
}


def _tracked(names: list[str]):
    """Which equation is closer to the optimizer: the largest error of E params, over its range."""

    def rows(found: Results) -> list[Row]:
        said = []
        for name in names:
            (one, error), (two, own) = (tracking(found[name], model, "params[0]") for model in _MODELS)
            apart = one - two
            noise = _SIGMAS * math.hypot(error, own)
            answer = (
                Answer.INCONCLUSIVE
                if abs(apart) < noise
                else Answer.AGREES
                if apart > 0
                else Answer.DISAGREES
            )
            told = f"{with_error(100 * two, 100 * own)} % against {with_error(100 * one, 100 * error)} % of the range"
            words = f"{name}: order 2 is closer than order 1, largest error of E params"
            said.append(Row(words, "closer", told, answer))
        return said

    return rows


def _scaled(found: Results) -> list[Row]:
    """The batch-equivalent rule keeps E params at a time: the distance from k = 8 is a small part of its range."""
    said = []
    for alpha in (0.0, 1.0):
        finest, own = mean(found[f"alpha-{alpha:g}-k-8"], "optimizer", "params[0]")
        over_time = next(
            row["mean"]
            for row in found[f"alpha-{alpha:g}-k-8"]["results"]
            if (row["model"], row["observable"]) == ("optimizer", "params[0]")
        )
        span = max(over_time) - min(over_time)
        gaps = []
        for k in _SCALES[:-1]:
            value, error = mean(found[f"alpha-{alpha:g}-k-{k}"], "optimizer", "params[0]")
            gaps.append((100 * abs(value - finest) / span, 100 * math.hypot(error, own) / span))
        told = ", ".join(f"k = {k}: {with_error(*gap)} %" for k, gap in zip(_SCALES, gaps, strict=False))
        most, least = (max(gap + sign * _SIGMAS * error for gap, error in gaps) for sign in (1, -1))
        answer = Answer.AGREES if most < _KEPT else Answer.DISAGREES if least > _KEPT else Answer.INCONCLUSIVE
        words = f"alpha = {alpha:g}: E params at t = 4 beside that of k = 8 (batch 8/k, time step 0.02/k), of its range"
        said.append(Row(words, f"kept (below {_KEPT:g} %)", told, answer))
    return said


def _experiment(id: str, title: str, studies: dict[str, str], verb: str, judge) -> Experiment:
    parts = tuple(Part(name, verb, study) for name, study in studies.items())
    return Experiment(id, title, f"callisti2025, polynomial experiment {id[-1]}", parts, judge, drawn)


EXPERIMENTS = (
    _experiment(
        "callisti-poly-1",
        "RMSprop on the polynomial pair from -1.2, batches of 8, three levels of noise",
        _ONE,
        "verify",
        _tracked(list(_ONE)),
    ),
    _experiment(
        "callisti-poly-2",
        "RMSprop on the polynomial pair from 1.5, batches of 32, three levels of noise",
        _TWO,
        "verify",
        _tracked(list(_TWO)),
    ),
    _experiment(
        "callisti-poly-3",
        "RMSprop on the polynomial pair: the batch-size rule",
        _THREE,
        "simulate",
        _scaled,
    ),
)
