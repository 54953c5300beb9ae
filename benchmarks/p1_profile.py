"""P1: what a discrete step spends its time on."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from driftax.compare.weak_error import RungStudy
from driftax.simulate.normals import AbstractNormals, CounterNormals, FastNormals, Randomness
from driftax.simulate.schemes import EulerMaruyama

from . import engine
from .interleave import Answer, Candidate, interleave
from .peers import numba_kernel
from .problem import Problem
from .row import Row, rows

TITLE = "Where a step spends its time"
TEXT = """RMSprop with 6 parameters, 80 steps, float32. What a step costs in all, with means and variances of an
observable after every step (1); the same with statistics after the last step only; and the same with a carried stream
replaced by counters. `normals alone` are drawn leaf by leaf in the same loop on every core, and summed. The rest of a
step is arithmetic of the optimizer and what XLA spends on a loop of small operations. The second line is a step of the
order-1 equation by Euler's method, eight of them per step of the optimizer: its coefficients are the mean and the noise
channels of a step at three nodes of the gradient noise."""
COMPARES = "time per member and step, over that of the first candidate"

_SUBSTEPS = 8


def run(quick: bool) -> list[Row]:
    return [*_discrete(quick), *_equation(quick)]


def _discrete(quick: bool) -> list[Row]:
    problem, members = Problem("RMSprop", 6), 2 ** (13 if quick else 16)
    last = (problem.steps,)
    of = engine.chain(problem)
    fast = engine.study(of, problem.start, last)
    counter = engine.study(of, problem.start, last, randomness=Randomness.COUNTER)
    runs = {
        "statistics after every step": engine.discrete(problem, members),
        "statistics at the end": engine.ensemble(fast, members),
        "counters, statistics at the end": engine.ensemble(counter, members),
        "normals alone": _normals(problem, members, FastNormals((False,)), fast),
        "normals alone, counters": _normals(problem, members, CounterNormals(), counter),
        "Numba kernel": numba_kernel.discrete(problem, members),
    }
    units = members * problem.steps
    measured = interleave([Candidate(name, run, units) for name, run in runs.items()], 3 if quick else 7)
    return rows(f"{problem.name}, N = {members}", measured)


def _equation(quick: bool) -> list[Row]:
    """An Euler step of the order-1 equation, eight per step of the optimizer, which runs beside."""
    problem, members = Problem("RMSprop", 6, steps=16, warm=True), 2 ** (13 if quick else 15)
    of = engine.study(engine.chain(problem), problem.start, (problem.steps,), ("derived-1",))
    euler = engine.integrated(of, EulerMaruyama(), (_SUBSTEPS,))
    runs = {
        "optimizer and equation": engine.ensemble(euler, members, model=0),
        "optimizer alone": engine.ensemble(
            engine.study(engine.chain(problem), problem.start, (problem.steps,)), members
        ),
        "normals alone": _normals(problem, members, FastNormals((False, True)), euler, _SUBSTEPS),
        "Numba kernel, one optimizer step": numba_kernel.discrete(problem, members),
    }
    units = members * problem.steps * _SUBSTEPS
    measured = interleave([Candidate(name, run, units) for name, run in runs.items()], 3 if quick else 7)
    return rows(f"{problem.name}, {_SUBSTEPS} Euler steps of the order-1 equation", measured)


def _normals(problem: Problem, members: int, stream: AbstractNormals, of: RungStudy, parts: int = 1):
    """The sum of all normals of a run, drawn as a study draws them: leaf by leaf, on every core."""
    devices, shape, width = jax.local_device_count(), (parts, _channels(stream), problem.dim), of.rung.leaf
    leaves = members // width // devices

    def leaf(key):
        def step(carry, index):
            state, total = carry
            drawn, state = stream.draw(state, index, shape, width, jnp.float32)
            return (state, total + drawn), None

        start = stream.start(key, shape, width), jnp.zeros((*shape, width), jnp.float32)
        (_, total), _ = jax.lax.scan(step, start, jnp.arange(problem.steps))
        return total.sum()

    on_all = jax.pmap(lambda keys: jax.lax.map(leaf, keys).sum())

    def run(seed: int) -> Answer:
        keys = jax.random.split(jax.random.key(seed), (devices, leaves))
        return Answer(float(on_all(keys).sum()), float("inf"))

    return run


def _channels(stream: AbstractNormals) -> int:
    return len(stream.three_point) if isinstance(stream, FastNormals) else 1
