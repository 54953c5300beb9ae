"""What may never get worse, checked by `make check`: compilations, and memory that grows with members.

Seconds are reported by `make bench` and never gated.
"""

from __future__ import annotations

import sys

from driftax.cli.environment import prepare

prepare()  # before JAX is imported

import jax  # noqa: E402

from . import engine  # noqa: E402
from .problem import Problem  # noqa: E402

_COMPILED = "/jax/core/compile/backend_compile_duration"
_PROBLEM = Problem("RMSprop", dim=2, warm=True)
_MODELS = ("derived-2",)
_BLOCK = 4 * 1024  # members of the blocks in which an ensemble grows (a study's own are twice that)


class _Compilations:
    """Counts what XLA compiles."""

    def __init__(self):
        self.count = 0
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration: float, **_) -> None:
        self.count += event == _COMPILED


def _grown(members: int, seed: int = 0, learning_rate: float = 0.125, record: tuple[int, ...] = (8,)) -> None:
    study = engine.study(
        engine.chain(_PROBLEM, learning_rate), _PROBLEM.start, record, _MODELS, precision="float64", seed=seed
    )
    while study.members < members:
        study.grow(min(members, study.members + _BLOCK))
    study.error(0, 0)


def compilations() -> dict[str, int]:
    """Compilations of a second study that differs from a first only as said."""
    counter = _Compilations()
    _grown(2 * _BLOCK)
    changes = {
        "another seed": {"members": 2 * _BLOCK, "seed": 1},
        "another learning rate": {"members": 2 * _BLOCK, "learning_rate": 0.0625},
        "other recorded steps": {"members": 2 * _BLOCK, "record": (16,)},
        "more members": {"members": 3 * _BLOCK},
        "fewer members, the last leaf in part": {"members": _BLOCK - 100},
    }
    found = {}
    for name, change in changes.items():
        before = counter.count
        _grown(**change)
        found[name] = counter.count - before
    return found


def live_bytes() -> tuple[int, int]:
    """Bytes of all JAX arrays alive after an ensemble, and after one of eight times as many members."""
    found = []
    for members in (_BLOCK, 8 * _BLOCK):
        _grown(members)
        found.append(sum(array.nbytes for array in jax.live_arrays()))
    return found[0], found[1]


def main() -> int:
    problems = [f"{count} compilations for {name}" for name, count in compilations().items() if count]
    few, many = live_bytes()
    if many > few:
        problems.append(f"{few} bytes of arrays are alive after {_BLOCK} members, {many} after {8 * _BLOCK}")
    for problem in problems:
        print(f"benchmarks/gates.py: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
