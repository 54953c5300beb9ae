"""B2: one step of an equation for one member, of RMSprop and Adam, order 1 and 2."""

from __future__ import annotations

from collections.abc import Iterator

from driftax.equation import Method
from driftax.simulate.schemes import EulerMaruyama, NearlyAdditive, Splitting, WeakOrderTwo

from . import engine
from .interleave import Candidate, Measured, check_agreement, interleave
from .peers import diffrax_euler, paper_pipeline, torchsde_euler
from .peers.torch_threads import fastest
from .problem import Problem
from .row import Row, rows

TITLE = "One step of an equation"
TEXT = """Equations of RMSprop and Adam, `dt = learning_rate^2 = learning_rate / 8`. driftax finds its coefficients from
the optimizer by differentiation and runs the optimizer beside the equation (one of its steps per eight of the
equation; not counted as work), without the controls of a verification; the peers have closed forms and run the
equation alone. Euler-Maruyama everywhere but in the columns that name another scheme of driftax."""
COMPARES = "time per member and step, over driftax's Euler-Maruyama"

SUBSTEPS = 8
_TOLERANCE = 0.03  # equations of one order may differ by O(learning_rate^2)
_SCHEMES = {"Splitting": Splitting, "NearlyAdditive": NearlyAdditive, "WeakOrderTwo": WeakOrderTwo}


def run(quick: bool) -> Iterator[Row]:
    for optimizer in ("RMSprop", "Adam"):
        for dim in (2, 6):
            for order in (1, 2):
                steps = 8 if quick else 16
                problem = Problem(optimizer, dim, steps=steps, warm=True)
                yield from _workload(problem, order, quick)


def _workload(problem: Problem, order: int, quick: bool) -> list[Row]:
    size = 1 if quick else 4

    def candidate(name, members, run):
        return Candidate(name, run, members * problem.steps * SUBSTEPS)

    def torchsde_run(seed):
        return torchsde_euler.run(problem, order, SUBSTEPS, 4096 * size, seed)

    def paper_run(seed):
        return paper_pipeline.squares(paper_pipeline.sde(problem, order, 2048 * size, seed), problem.dim)

    def with_tree(tree, members):
        return diffrax_euler.run(problem, order, SUBSTEPS, members, tree)

    euler = EulerMaruyama()
    candidates = [
        candidate("driftax", 4096 * size, _driftax(problem, order, 4096 * size, euler)),
        candidate("driftax float64", 4096 * size, _driftax(problem, order, 4096 * size, euler, "float64")),
        candidate("torchsde", 4096 * size, fastest(torchsde_run)),
        candidate("diffrax, UnsafeBrownianPath", 1024 * size, with_tree(False, 1024 * size)),
        candidate("diffrax, VirtualBrownianTree", 256 * size, with_tree(True, 256 * size)),
        candidate("paper's pipeline", 2048 * size, fastest(paper_run)),
    ]
    for name, scheme in _SCHEMES.items() if order == 2 else ():
        candidates.append(candidate(f"driftax {name}", 2048, _driftax(problem, order, 2048, scheme())))
    measured = interleave(candidates, rounds=3 if quick else 5)
    check_agreement(_comparable(problem, order, measured), _TOLERANCE)
    return rows(f"{problem.name}, order {order}", measured)


def _comparable(problem, order, measured):
    """All of order 2; at order 1 the peers beside driftax's equation with the papers' coefficients, untimed.

    driftax's own equation of order 1 has the mean of one step as drift: another one, O(learning_rate) away.
    """
    if order == 2:
        return measured
    papers = _driftax(problem, order, 4096, EulerMaruyama(), method=Method.TAYLOR)
    peers = [each for each in measured if not each.name.startswith("driftax")]
    return [Measured("driftax, taylor", 0.0, peers[0].per_unit, papers(1)), *peers]


def _driftax(problem, order, members, scheme, precision="float32", method=Method.FINITE_STEP):
    models = (f"derived-{order}",)
    study = engine.study(
        engine.chain(problem), problem.start, (problem.steps,), models, precision=precision, method=method
    )
    return engine.ensemble(engine.integrated(study, scheme, (SUBSTEPS,)), members, model=0)
