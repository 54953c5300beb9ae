"""B1: one optimizer step of one member, with E|x|^2 and E|x|^4 after every step."""

from __future__ import annotations

from collections.abc import Iterator

from . import engine
from .interleave import Candidate, check_agreement, interleave
from .peers import numba_kernel, numpy_loop, optax_vmap, paper_pipeline, torch_loop
from .peers.torch_threads import fastest
from .problem import Problem
from .row import Row, rows

TITLE = "Discrete optimizers"
TEXT = """80 steps on a dense quadratic with correlated Gaussian gradient noise; means of \\|x\\|^2 and \\|x\\|^4 after
every step. NumPy computes in float64, driftax as named, everyone else in float32. `torch.optim` holds all members in
one batched parameter; `optax` is `vmap` over members inside `scan` over steps. The Numba kernel is the ceiling: the
update written out by hand in one fused loop (`benchmarks/peers/numba_kernel.py`); its three-point column draws other
noise. The paper's pipeline stores paths. Sizes above 2^21 numbers per vector of the state are left out; all but RMSprop
run at the largest only."""
COMPARES = "time per member and step, over driftax's"

_LARGEST = 2**21  # members times dim: more would measure the peers' memory, and take hours
_FUSED = 6  # the largest dim of the ceiling, whose matrix product is a plain loop


def run(quick: bool) -> Iterator[Row]:
    for optimizer in ("RMSprop", "Adam", "SignSGD", "SGD"):
        for dim in (2, 6) if quick else (2, 6, 100, 1000):
            fitting = [power for power in (10, 13, 16) if dim * 2**power <= _LARGEST]
            for power in (13,) if quick else fitting if optimizer == "RMSprop" else fitting[-1:]:
                yield from _workload(Problem(optimizer, dim), 2**power, rounds=3 if quick else 5)


def _workload(problem: Problem, members: int, rounds: int) -> list[Row]:
    units = members * problem.steps
    runs = {
        "driftax float32": engine.discrete(problem, members),
        "driftax float64": engine.discrete(problem, members, precision="float64"),
        "NumPy": lambda seed: numpy_loop.discrete(problem, members, seed),
        "torch.optim": fastest(lambda seed: torch_loop.discrete(problem, members, seed)),
        "optax, vmap": optax_vmap.discrete(problem, members),
    }
    if problem.dim <= _FUSED:
        runs["Numba kernel"] = numba_kernel.discrete(problem, members)
        runs["Numba kernel, three-point"] = numba_kernel.discrete(problem, members, gaussian=False)
    if problem.dim == 2 and problem.optimizer == "RMSprop":
        runs["paper's pipeline"] = fastest(
            lambda seed: paper_pipeline.squares(paper_pipeline.discrete(problem, members, seed), problem.dim)
        )
    measured = interleave([Candidate(name, run, units) for name, run in runs.items()], rounds)
    # Another law of the noise is another mean for the sign.
    check_agreement([each for each in measured if "three-point" not in each.name])
    return rows(f"{problem.name}, N = {members}", measured)
