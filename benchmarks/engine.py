"""driftax as the benchmarks run it. Everything that knows how the engine is set up stands in this file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from driftax import SGD, Adam, Chain, GaussianNoise, Quadratic, RMSprop, SignSGD
from driftax.compare.weak_error import RungStudy, rung_key
from driftax.equation import Method
from driftax.simulate.ensemble import run_leaves
from driftax.simulate.normals import Randomness
from driftax.simulate.schemes import AbstractScheme
from driftax.statistics.streaming import Moments, merge
from driftax.study.experiment import Experiment

from .interleave import Answer
from .problem import EPS, Problem


def chain(problem: Problem, learning_rate: float | None = None) -> Chain:
    """The optimizer of a problem as driftax's own."""
    rate = problem.learning_rate if learning_rate is None else learning_rate
    optimizer = {
        "RMSprop": lambda: RMSprop(rate, problem.decay, EPS),
        "Adam": lambda: Adam(rate, *problem.betas, EPS, bias_correction=not problem.warm),
        "SignSGD": lambda: SignSGD(rate),
        "SGD": lambda: SGD(rate),
    }[problem.optimizer]()
    return Chain(Quadratic(problem.hessian), GaussianNoise(problem.covariance), optimizer)


def study(
    of: Chain,
    start: np.ndarray,
    record: tuple[int, ...],
    models: tuple[str, ...] = (),
    observables: tuple[str, ...] = ("params_sq",),
    precision: str = "float32",
    randomness: Randomness = Randomness.FAST,
    seed: int = 0,
    method: Method = Method.FINITE_STEP,
) -> RungStudy:
    """The study of one rung, with the engine's own settings."""
    state = jnp.asarray(start, dtype=precision)
    experiment = Experiment(
        chain=of,
        start=state,
        step=0,
        handover=0,
        ladder=(1.0,),
        record=record,
        at_maximum=False,
        models=models,
        observables=observables,
        look_at=state,
        method=method,
        randomness=randomness,
    )
    return experiment.rung_study(0, seed)


def integrated(of: RungStudy, scheme: AbstractScheme, levels: tuple[int, ...]) -> RungStudy:
    """The same study with another scheme and other substeps of every equation, and without controls."""
    rung = of.rung
    driver = dataclasses.replace(rung.driver, parts=scheme.parts * max(levels))
    rung = dataclasses.replace(
        rung, scheme=scheme, driver=driver, levels=tuple(levels for _ in rung.equations), controls=False
    )
    return RungStudy(rung, of.key, of.scale, of.start, of.record)


def ensemble(of: RungStudy, members: int, model: int | None = None) -> Callable[[int], Answer]:
    """Runs members of a study in one go: the mean of its first observable at the last recorded step.

    Args:
        of: what runs.
        members: how many.
        model: whose mean; the optimizer's if left out.
    """
    leaf = of.rung.leaf
    sizes = np.full(-(-members // leaf), leaf)
    sizes[-1] = members - leaf * (len(sizes) - 1)
    segments = np.diff(np.asarray([0, *of.record]))
    columns = of.columns.optimizer if model is None else of.columns.model[model]
    column = int(columns[0])

    def run(seed: int) -> Answer:
        block = run_leaves(of.rung, rung_key(seed, 0), 0, sizes, of.start, segments).moments
        moments: Moments | None = None
        for number in range(len(sizes)):
            moments = merge(
                moments, Moments(block.members[number], block.mean[number], block.comoment[number])
            )
        assert moments is not None
        variance = moments.covariance[-1, column, column]
        return Answer(float(moments.mean[-1, column]), math.sqrt(variance / members))

    return run


def discrete(problem: Problem, members: int, precision: str = "float32") -> Callable[[int], Answer]:
    """The optimizer alone, with the mean and variance of |params|^2 after every step."""
    record = tuple(range(1, problem.steps + 1))
    return ensemble(study(chain(problem), problem.start, record, precision=precision), members)
