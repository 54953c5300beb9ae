"""What the law of the gradient noise does to the order: skewness, kurtosis, correlation, a covariance that moves.

Every row is a one-step certificate (no Monte Carlo). In the ballistic regime the noise of a step is of the size of its
time step, and no law matters beyond its covariance. Where noise dominates, a third cumulant leaves order 1/2, a fourth
cumulant or a covariance that moves with the params order 1, and batches that shrink to less than an example order 0.

Source: theory of weak orders (milstein2004); the statements are re-derived.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp

from driftax.chain import Chain
from driftax.equation import derive, local_order
from driftax.noise import (
    AbstractGradientNoise,
    GaussianMixture,
    GaussianNoise,
    LinearRegressionNoise,
    SkewedNoise,
)
from driftax.objective import Quadratic
from driftax.optimizer import SGD, AbstractOptimizer, RMSprop
from driftax.regime import Regime
from driftax.reproduce._value import Answer, Experiment, Results, Row

_CLOSE = 0.05
_BALLISTIC, _BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT


class _Case(NamedTuple):
    law: str
    optimizer: str
    regime: Regime
    claimed: int
    order: float  # theory


_CASES = (
    *(
        _Case(law, "rmsprop", _BALLISTIC, 2, 2.0)
        for law in (
            "Gaussian",
            "correlated Gaussian",
            "kurtosis 8.3",
            "skewed",
            "state-dependent Gaussian",
        )
    ),
    _Case("one-pass regression", "rmsprop", _BALLISTIC, 2, 2.0),
    _Case("one-pass regression", "sgd", _BATCH, 1, 0.0),
    _Case("Gaussian", "sgd", _BATCH, 2, 2.0),
    _Case("correlated Gaussian", "sgd", _BATCH, 2, 2.0),
    _Case("kurtosis 8.3", "sgd", _BATCH, 2, 1.0),
    _Case("state-dependent Gaussian", "sgd", _BATCH, 2, 1.0),
    _Case("skewed", "sgd", _BATCH, 1, 0.5),
    _Case("Gaussian", "rmsprop", _BATCH, 2, 1.0),
    _Case("kurtosis 8.3", "rmsprop", _BATCH, 1, 1.0),
    _Case("skewed", "rmsprop", _BATCH, 1, 0.5),
)


def _law(name: str) -> AbstractGradientNoise:
    return {
        "Gaussian": lambda: GaussianNoise(0.5),
        "correlated Gaussian": lambda: GaussianNoise([[0.5, 0.2], [0.2, 0.4]]),
        "kurtosis 8.3": lambda: GaussianMixture((0.9, 0.1), None, (1.0, 3.0), scale=0.5),
        "skewed": lambda: SkewedNoise(0.5, 1.0),
        "one-pass regression": lambda: LinearRegressionNoise(0.3, 4),
        "state-dependent Gaussian": lambda: GaussianNoise(lambda x: 0.3 + 0.2 * x**2),
    }[name]()


def _optimizer(name: str) -> AbstractOptimizer:
    return SGD(0.2) if name == "sgd" else RMSprop(0.2, 0.9, 0.1)


def _certified(case: _Case) -> float | None:
    """The order of the compiled equation at one state, by its certificate."""
    dim = 2 if case.law.startswith("correlated") else 1
    chain = Chain(Quadratic(jnp.eye(dim)), _law(case.law), _optimizer(case.optimizer), case.regime)
    state = jnp.asarray([[0.8, -0.5], [0.7, 0.9]])[: len(chain.slots), :dim]
    equation = derive(chain, weak_order=case.claimed, at=state, allow_obstructed=True)
    return local_order(equation, state).order


def _rows(found: Results) -> list[Row]:
    said = []
    for case in _CASES:
        order = _certified(case)
        place = f"{case.law} noise, {case.optimizer}, {case.regime.value}"
        words = f"{place}: order of the equation of order {case.claimed}"
        close = order is not None and abs(order - case.order) <= _CLOSE
        answer = Answer.AGREES if close else Answer.DISAGREES
        said.append(Row(words, f"{case.order:g}", "none" if order is None else f"{order:.3f}", answer))
    return said


EXPERIMENTS = (
    Experiment(
        "noise-laws",
        "What the law of the noise does to the order",
        "milstein2004; re-derived",
        (),
        _rows,
        lambda found: [],
    ),
)
