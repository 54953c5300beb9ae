"""The goals of the engine beside what was measured, for the head of docs/performance.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import results
from .interleave import Ratio
from .row import Row


class Goal(NamedTuple):
    """A ratio that is to be reached on one workload.

    Args:
        name: of the goal.
        what: is compared.
        bound: asked.
        at_least: whether the ratio is to be at least the bound; at most if not.
        benchmark: that measures it.
        workload: its line; the worst line whose name begins with this counts.
        candidate: its column.
    """

    name: str
    what: str
    bound: float
    at_least: bool
    benchmark: str
    workload: str
    candidate: str


def _discrete(name: str, what: str, bound: float, candidate: str) -> list[Goal]:
    return [
        Goal(
            name,
            f"{optimizer} step, d = 6: {what}",
            bound,
            True,
            "b1",
            f"{optimizer}, d = 6, N = 65536",
            candidate,
        )
        for optimizer in ("RMSprop", "Adam")
    ]


def _equation(name: str, what: str, bound: float, workload: str, candidate: str) -> list[Goal]:
    return [
        Goal(name, f"{optimizer} {what}", bound, True, "b2", f"{optimizer}, {workload}", candidate)
        for optimizer in ("RMSprop", "Adam")
    ]


def _weak_error(observable: str) -> Goal:
    what = (
        f"weak error of {observable}, order 2, learning_rate 1/16: seconds x variance of the paper's pipeline"
    )
    workload, candidate = f"{observable}, learning_rate = 1/16", "paper's pipeline, at equal bias"
    return Goal("G5", what, 3e4, True, "b3", workload, candidate)


def _network(bound: float, candidate: str) -> Goal:
    return Goal("G7", f"{candidate}, over full-batch AdamW", bound, False, "b7", "", candidate)


_COMPILES = 1.5  # seconds
_LESS_MEMORY = 100
GOALS = [
    Goal(
        "G1",
        "RMSprop step, d = 6: the Numba kernel (1/3: three times its time)",
        1 / 3,
        True,
        "b1",
        "RMSprop, d = 6, N = 65536",
        "Numba kernel",
    ),
    *_discrete("G2", "NumPy loop", 30, "NumPy"),
    *_discrete("G2", "optax + scan + vmap", 25, "optax, vmap"),
    *_discrete("G2", "batched torch.optim", 30, "torch.optim"),
    *_equation("G3", "order 1, d = 6: torchsde", 150, "d = 6, order 1", "torchsde"),
    *_equation(
        "G3",
        "order 1, d = 6: diffrax, UnsafeBrownianPath",
        100,
        "d = 6, order 1",
        "diffrax, UnsafeBrownianPath",
    ),
    *_equation(
        "G3",
        "order 1, d = 6: diffrax, VirtualBrownianTree",
        1400,
        "d = 6, order 1",
        "diffrax, VirtualBrownianTree",
    ),
    *_equation("G3", "order 2, d = 2: the paper's pipeline", 250, "d = 2, order 2", "paper's pipeline"),
    Goal(
        "G4",
        "RMSprop step, d = 2: the paper's pipeline",
        800,
        True,
        "b1",
        "RMSprop, d = 2, N = 65536",
        "paper's pipeline",
    ),
    _weak_error("params_sq"),
    _weak_error("nu_sq"),
    Goal(
        "G6",
        "drift of order 2, quadratic: over the formula by hand",
        2.0,
        False,
        "b4",
        "quadratic",
        "driftax, taylor",
    ),
    Goal(
        "G6",
        "drift of order 2, Rosenbrock: over the formula by hand",
        2.0,
        False,
        "b4",
        "Rosenbrock",
        "driftax, taylor",
    ),
    Goal("G7", "noise of a neural net, over full-batch Adam", 1.3, False, "b5", "", "driftax"),
    Goal("G7", "the same, gradient and noise in one pullback", 1.3, False, "b5", "", "driftax, one pullback"),
    _network(1.3, "SGD, order 1, minibatches"),
    _network(1.3, "SignSGD, order 1, minibatches"),
    _network(1.3, "AdamW, order 1, minibatches"),
    _network(3, "AdamW, compagnoni-2025, minibatches"),
    _network(4, "AdamW, order 2, minibatches"),
]


def table() -> str:
    """Every goal with the ratio reached, in markdown."""
    lines = ["| | goal | asked | measured | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        found = _worst(goal)
        said = "at least" if goal.at_least else "at most"
        verdict = "" if found is None else "reached" if _reached(goal, found) else "missed"
        lines.append(
            f"| {goal.name} | {goal.what} | {said} {goal.bound:.3g} | {found or 'not measured'} | {verdict} |"
        )
    return "\n".join([*lines, *_ceiling(), *_memory(), *_first_runs()])


def _ceiling() -> list[str]:
    """What the Numba kernel itself reaches against the peers of G2: no engine on this machine gets further."""
    line = "RMSprop, d = 6, N = 65536"
    time = {row.candidate: row.ratio.value for row in _rows("b1") if row.workload == line}
    if "Numba kernel" not in time:
        return []
    over = {
        goal.candidate: time[goal.candidate] / time["Numba kernel"] for goal in GOALS if goal.name == "G2"
    }
    said = ", ".join(f"{ratio:.3g} times {name}" for name, ratio in over.items())
    return [
        f"| G2 | RMSprop step, d = 6: the ceiling, the Numba kernel against the same peers | | {said} | |"
    ]


def _memory() -> list[str]:
    """Bytes per member of the paper's pipeline over driftax's, from the slopes in members."""
    slopes = {row.candidate: max(row.ratio.value, 1.0) for row in _rows("s2")}
    own = slopes.get("driftax, in blocks")
    papers = [slope for name, slope in slopes.items() if name.startswith("paper")]
    if own is None or not papers:
        return []
    verdict = "reached" if min(papers) >= _LESS_MEMORY * own else "missed"
    what = "bytes per member, the paper's pipeline over driftax"
    return [f"| G4 | {what} | at least {_LESS_MEMORY} | {min(papers):.0f} over {own:.0f} | {verdict} |"]


def _first_runs() -> list[str]:
    """The longest first run of driftax, compilation included."""
    found = [
        row.first_run
        for row in (*_rows("b1"), *_rows("b2"))
        if row.candidate.startswith("driftax") and row.first_run
    ]
    if not found:
        return []
    verdict = "reached" if max(found) <= _COMPILES else "missed"
    what = "longest first run of B1 and B2, compilation included, seconds"
    return [f"| G8 | {what} | at most {_COMPILES} | {max(found):.2g} | {verdict} |"]


def _rows(benchmark: str) -> list[Row]:
    result = results.load(benchmark)
    return result.rows if result else []


def _worst(goal: Goal) -> Ratio | None:
    """The ratio furthest from the goal, of its lines."""
    fitting = [
        row.ratio
        for row in _rows(goal.benchmark)
        if row.workload.startswith(goal.workload) and row.candidate == goal.candidate
    ]
    pick: Callable[..., Ratio] = min if goal.at_least else max
    return pick(fitting, key=lambda ratio: ratio.value) if fitting else None


def _reached(goal: Goal, found: Ratio) -> bool:
    return found.value >= goal.bound if goal.at_least else found.value <= goal.bound
