"""S1: driftax's time against the number of members and the dimension."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from driftax import Chain, FunctionObjective, GaussianNoise, RMSprop
from driftax.compare.weak_error import RungStudy, rung_key

from . import engine
from .interleave import Answer, Candidate, Measured, interleave, ratio
from .problem import EPS, SIGMA, Problem
from .row import Row

TITLE = "Time against members and dimension"
TEXT = """RMSprop in float32, 16 steps, statistics at the end. Members: the dense quadratic with 6 parameters, grown in
blocks as a study grows. Dimension: a separable quadratic with independent noise, so that work is proportional to it;
2^20 numbers per vector of the state, but at least two leaves of members. Linear scaling is a constant line."""
COMPARES = "time per member, step and parameter, over that of the line marked 1"

_STEPS = 16
_RECORD = (_STEPS,)


def run(quick: bool) -> list[Row]:
    rounds = 3 if quick else 5
    members = [2**power for power in ((10, 13, 16) if quick else (10, 13, 16, 18, 20, 23))]
    candidates = [Candidate(f"N = {n}", _grown(_dense(), n), n * 6 * _STEPS) for n in members]
    found = _rows(interleave(candidates, rounds), reference=2, sizes=members)
    dims = (2, 16, 128) if quick else (2, 10, 100, 1000, 10_000)
    sizes = [max(2048, 2 ** (16 if quick else 20) // dim // 2048 * 2048) for dim in dims]
    candidates = [
        Candidate(f"d = {dim}, N = {n}", _grown(_separable(dim), n), n * dim * _STEPS)
        for dim, n in zip(dims, sizes, strict=True)
    ]
    work = [dim * n for dim, n in zip(dims, sizes, strict=True)]
    return found + _rows(interleave(candidates, rounds), reference=2, sizes=work)


def _rows(measured: list[Measured], reference: int, sizes: list[int]) -> list[Row]:
    """Rows, with the exponent of the straight line through log seconds against log size at the last."""
    seconds = [float(np.median(each.per_unit)) * size for each, size in zip(measured, sizes, strict=True)]
    found = []
    for each in measured:
        name = each.name + (" (1)" if each is measured[reference] else "")
        found.append(Row(name, "driftax ", ratio(each, measured[reference]), each.first_run))
    exponent, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    found[-1].note = f"seconds grow like work^{exponent:.2f}"
    return found


def _dense() -> RungStudy:
    problem = Problem("RMSprop", 6, _STEPS)
    return engine.study(engine.chain(problem), problem.start, _RECORD)


def _separable(dim: int) -> RungStudy:
    stiffness = jnp.linspace(0.5, 1.5, dim)
    objective = FunctionObjective(lambda x: 0.5 * jnp.sum(stiffness.astype(x.dtype) * x**2), dim)
    chain = Chain(objective, GaussianNoise(SIGMA**2), RMSprop(0.125, 0.9375, EPS))
    return engine.study(chain, np.stack([np.resize([1.5, -1.0], dim), np.zeros(dim)]), _RECORD)


def _grown(of: RungStudy, members: int):
    def run(seed: int) -> Answer:
        study = RungStudy(of.rung, rung_key(seed, 0), of.scale, of.start, of.record)
        while study.members < members:
            study.grow(min(members, study.members + 8 * of.rung.leaf))
        means = study.means(None, 0)
        return Answer(float(means.mean[-1]), float(means.standard_error[-1]))

    return run
