"""B3: the weak error of the order-2 equation end to end, in seconds times variance, beside the paper's pipeline."""

from __future__ import annotations

import math
import time

import jax
import numpy as np

from driftax.compare.weak_error import RungStudy, rung_key
from driftax.simulate.schemes import EulerMaruyama

from . import engine
from .interleave import Answer, Candidate, Measured, check_agreement, interleave, ratio
from .peers import paper_pipeline
from .peers.torch_threads import fastest
from .problem import Problem
from .row import Row

TITLE = "A weak error, end to end"
TEXT = """RMSprop on the quadratic with two parameters, t = 2: `E f(equation) - E f(optimizer)` for the order-2
equation, f = \\|params\\|^2 and \\|nu\\|^2. What counts is seconds times variance: the time to a given standard error.
driftax runs as `verify` runs it: coupled, two integrations extrapolated, mean-zero controls. The paper's pipeline
draws optimizer and equation apart and integrates by Euler with dt = learning_rate^2; its own bias is then often larger
than the weak error. The second column charges it the smaller dt at which its bias is a tenth of the weak error (the
time of its equation scaled in proportion; the bias measured by driftax, at Euler with two substeps)."""
COMPARES = "seconds times variance, over driftax's"

_OBSERVABLES = ("params_sq", "nu_sq")
_SHARE = 0.1  # of the weak error: the bias of an integrator that may stay
_TOLERANCE = 0.03  # of E f: equations of order 2 may differ by O(learning_rate^2)
_HORIZON = 2.0


def run(quick: bool) -> list[Row]:
    found: list[Row] = []
    rates = (1 / 4, 1 / 8) if quick else (1 / 4, 1 / 8, 1 / 16, 1 / 32)
    each_round: dict[str, list[np.ndarray]] = {name: [] for name in _OBSERVABLES}
    for rate in rates:
        problem = Problem("RMSprop", 2, round(_HORIZON / rate), rate, warm=True)
        for name, rows, rounds in _rung(problem, members=4096 if quick else 16384, rounds=3 if quick else 5):
            found += rows
            each_round[name].append(rounds)
    for name in _OBSERVABLES:  # beside the finest rung
        slopes = np.polyfit(np.log(1 / np.asarray(rates)), np.log(np.asarray(each_round[name])), 1)[0]
        last = [row for row in found if row.workload.startswith(name)][-1]
        low, middle, high = slopes.min(), np.median(slopes), slopes.max()
        last.note += f"; first column like learning_rate^-{middle:.2g} [{low:.2g}, {high:.2g}]"
    return sorted(found, key=lambda row: _OBSERVABLES.index(row.workload.split(",")[0]))


class _Driftax:
    """A study as `verify` makes it; keeps the estimates of its last run."""

    def __init__(self, problem: Problem, members: int):
        self.study = engine.study(
            engine.chain(problem),
            problem.start,
            (problem.steps,),
            ("derived-2",),
            _OBSERVABLES,
            precision="float64",
        )
        self.members = members

    def __call__(self, seed: int) -> Answer:
        of = self.study
        study = RungStudy(of.rung, rung_key(seed, 0), of.scale, of.start, of.record)
        study.grow(self.members)
        self.errors = [study.error(0, position) for position in range(len(_OBSERVABLES))]
        self.sizes = [study.means(None, position).mean[-1] for position in range(len(_OBSERVABLES))]
        return Answer(self.errors[0].weak_error, self.errors[0].standard_error)


class _Paper:
    """Optimizer and equation from independent draws; keeps the estimates and the equation's share of the time."""

    def __init__(self, problem: Problem, members: int):
        self.problem, self.members = problem, members

    def __call__(self, seed: int) -> Answer:
        begin = time.perf_counter()
        optimizer = paper_pipeline.discrete(self.problem, self.members, 2 * seed)
        middle = time.perf_counter()
        equation = paper_pipeline.sde(self.problem, 2, self.members, 2 * seed + 1)
        end = time.perf_counter()
        self.share = (end - middle) / (end - begin)
        self.answers = []
        for slot in range(len(_OBSERVABLES)):
            left, right = (paper_pipeline.squares(p, self.problem.dim, slot) for p in (equation, optimizer))
            error = math.hypot(left.standard_error, right.standard_error)
            self.answers.append(Answer(left.mean - right.mean, error))
        return self.answers[0]


def _euler_bias(of: RungStudy, substeps: int, members: int) -> list[float]:
    """What Euler-Maruyama with so many substeps per optimizer step adds to each mean (weak order 1)."""
    study = engine.integrated(of, EulerMaruyama(), (substeps, 2 * substeps))
    study.key = jax.random.key(1)
    study.grow(members)
    refined = [study.moments.mean[-1, int(study.columns.refinement[0, i])] for i in range(len(_OBSERVABLES))]
    return [-2 * float(value) for value in refined]


def _rung(problem: Problem, members: int, rounds: int):
    """Per observable: its name, its rows, and the first column in every round."""
    own, paper = _Driftax(problem, members), _Paper(problem, members)
    candidates = [Candidate("driftax", own, 1.0), Candidate("paper's pipeline", fastest(paper), 1.0)]
    measured = interleave(candidates, rounds)
    substeps = round(1 / problem.learning_rate)
    biases = _euler_bias(own.study, substeps, members)
    for position, name in enumerate(_OBSERVABLES):
        error, answer, bias = own.errors[position], paper.answers[position], biases[position]
        ours = _work(measured[0], error.weak_error, error.standard_error)
        theirs = _work(measured[1], answer.mean - bias, answer.standard_error)
        check_agreement([ours, theirs], _TOLERANCE * own.sizes[position] / abs(error.weak_error))
        finer = abs(bias) / (_SHARE * abs(error.weak_error))  # times more substeps
        longer = 1 + paper.share * (finer - 1)
        equal = theirs._replace(per_unit=theirs.per_unit * longer)
        workload = f"{name}, learning_rate = 1/{substeps}"
        note = (
            f"weak error {error.weak_error:.2e} ({error.standard_error:.0e}), bias below {error.bias:.0e}; "
            f"Euler's bias {bias:.1e}: {finer:.2g} times the substeps"
        )
        yield (
            name,
            [
                Row(workload, "driftax", ratio(ours, ours), ours.first_run),
                Row(workload, "paper's pipeline", ratio(theirs, ours), theirs.first_run),
                Row(workload, "paper's pipeline, at equal bias", ratio(equal, ours), None, note),
            ],
            theirs.per_unit / ours.per_unit,
        )


def _work(of: Measured, mean: float, standard_error: float) -> Measured:
    """Seconds times variance in place of seconds."""
    return of._replace(per_unit=of.per_unit * standard_error**2, answer=Answer(mean, standard_error))
