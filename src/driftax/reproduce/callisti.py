"""The weak-error experiments of callisti2025 on the quadratic, beside deterministic solutions of the same cases.

The numbers stated are those of a deterministic backward solver of optimizer and equation (theory page, no Monte Carlo),
which has them as optimizer minus equation; a weak error is the other way round here. The orders are the paper's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from driftax.reproduce._value import Experiment, Part, Results, Row
from driftax.reproduce.judge import beside, drawn, order, rounding, weak_error

_FINE = (0.25, 0.125)  # the rungs whose errors are stated


class _Case(NamedTuple):
    """A study, and what is stated of it.

    `orders`: model and the order stated, for every observable. `errors`: by (model, observable), the weak errors on the
    two finest rungs.
    """

    name: str
    study: str
    orders: dict[str, int]
    errors: dict[tuple[str, str], tuple[float, float]]


def _quadratic(optimizer: str, models: list[str], eps: float = 0.1, start: str = "", dim: int = 2) -> str:
    """A dense Hessian with eigenvalues 0.5 and 1.5, and noise in proportion to it: setup B for two parameters."""
    hessian = 0.5 * np.eye(dim) + np.ones((dim, dim)) / dim
    return f"""seed = 0

[objective]
name = "quadratic"
hessian = {hessian.tolist()}

[noise]
name = "gaussian"
covariance = {(hessian @ hessian / 4).tolist()}

[optimizer]
{optimizer}
eps = {eps!r}

[start]
params = {np.resize([1.5, -1.0], dim).tolist()}
nu = {np.ones(dim).tolist()}
{start}
[regime]
name = "ballistic"
ladder = [1.0, 0.5, 0.25, 0.125]

[compare]
steps = 8                          # t = 2
record = [1, 2, 3, 4, 5, 6, 7, 8]
models = {models!r}
observables = ["params_sq", "nu_sq"]
"""


_RMSPROP = """name = "rmsprop"
learning_rate = 0.25
decay = 0.875                      # 1 - 0.5 * learning_rate
denominator = "{denominator}"
weight_decay = {decay}"""
_ADAM = """name = "adam"
learning_rate = 0.25
b1 = 0.75
b2 = 0.875
denominator = "{denominator}"
bias_correction = true"""
_ADAM_START = "mu = [0.6, -0.2]\nstep = 2                           # t = 0.5\n"
_ONE, _TWO, _CODE = "callisti-2025-1", "callisti-2025-2", "callisti-2025-code"
_EXTENDED = "callisti-2025-extended"
_X, _V = "params_sq", "nu_sq"


def _rmsprop(denominator: str, decay: float = 0.0) -> str:
    return _RMSPROP.format(denominator=denominator, decay=decay)


def _adam(denominator: str) -> str:
    return _ADAM.format(denominator=denominator)


_BALLISTIC_RMSPROP = (
    _Case(
        "previous",
        _quadratic(_rmsprop("previous"), [_ONE, _TWO]),
        {_ONE: 1, _TWO: 2},
        {
            (_ONE, _X): (-1.84e-2, -9.34e-3),
            (_ONE, _V): (8.9e-4, 3.5e-5),
            (_TWO, _X): (1.09e-3, 2.74e-4),
            (_TWO, _V): (8.41e-4, 1.88e-4),
        },
    ),
    _Case(
        "updated",
        _quadratic(_rmsprop("updated"), [_TWO]),
        {_TWO: 2},
        {(_TWO, _X): (6.97e-4, 1.74e-4), (_TWO, _V): (4.04e-4, 8.65e-5)},
    ),
    _Case(
        "weight-decay",
        _quadratic(_rmsprop("updated", 0.3), [_TWO]),
        {_TWO: 2},
        {(_TWO, _X): (9.22e-4, 2.28e-4), (_TWO, _V): (5.87e-4, 1.29e-4)},
    ),
    _Case("six-parameters", _quadratic(_rmsprop("previous"), [_ONE, _TWO], dim=6), {_ONE: 1, _TWO: 2}, {}),
    _Case(
        "authors-code",
        _quadratic(_rmsprop("previous"), [_CODE], eps=1e-6),
        {},
        {(_CODE, _X): (9.6e-4, 1.2e-4), (_CODE, _V): (6.19e-3, 2.86e-3)},
    ),
)
_BALLISTIC_ADAM = (
    _Case(
        "previous",
        _quadratic(_adam("previous"), [_ONE, _TWO], start=_ADAM_START),
        {_ONE: 1, _TWO: 2},
        {
            (_ONE, _X): (-8.64e-3, -4.58e-3),
            (_ONE, _V): (2.61e-3, 8.9e-4),
            (_TWO, _X): (2.78e-4, 7.59e-5),
            (_TWO, _V): (1.50e-3, 3.82e-4),
        },
    ),
    _Case(
        "updated",
        _quadratic(_adam("updated"), [_TWO], start=_ADAM_START),
        {_TWO: 2},
        {(_TWO, _X): (7.89e-4, 1.97e-4), (_TWO, _V): (1.64e-3, 4.10e-4)},
    ),
    _Case(
        "authors-code",
        _quadratic(_adam("previous"), [_CODE], eps=1e-6, start=_ADAM_START),
        {},
        {(_CODE, _X): (-6.29e-3, -3.43e-3), (_CODE, _V): (-1.83e-2, -9.26e-3)},
    ),
)


_SIGN, _CLOCK, _FORCE, _NO_NOISE, _NO_CUBE = (
    f"{_CODE}-{slip}" for slip in ("cross-sign", "clock-slope", "force-for-mu", "no-nu-noise", "no-cube")
)
_SLIPS = (
    _Case(
        "adam",
        _quadratic(_adam("previous"), [_SIGN, _CLOCK, _FORCE], eps=1e-6, start=_ADAM_START),
        {},
        {
            (_SIGN, _X): (3.6e-4, -1.4e-4),
            (_SIGN, _V): (-1.35e-2, -7.4e-3),
            (_CLOCK, _X): (-5.76e-3, -2.96e-3),
            (_CLOCK, _V): (-6.2e-4, -6.9e-4),
            (_FORCE, _X): (-4.5e-5, -9.9e-5),
            (_FORCE, _V): (5.1e-4, 1.8e-5),
        },
    ),
    _Case(
        "rmsprop",
        _quadratic(_rmsprop("previous"), [_NO_NOISE], eps=1e-6),
        {},
        {(_NO_NOISE, _V): (6.14e-3, 2.85e-3)},
    ),
)


def _noisy(optimizer: str, start: str, models: list[str], x: float, denominator: str = "previous") -> str:
    """One parameter and noise that dominates the gradient: setup E."""
    return f"""seed = 0

[objective]
name = "quadratic"
hessian = [[1.0]]

[noise]
name = "gaussian"
covariance = [[2.0]]               # 0.5 / h

[optimizer]
{optimizer}
learning_rate = 0.5                # h = 0.25
eps = 0.0
denominator = "{denominator}"

[start]
params = [{x}]
nu = [0.7]                         # in the regime's own units, h * nu
{start}
[regime]
name = "batch-equivalent"
ladder = [1.0, 0.5, 0.25, 0.125]

[compare]
steps = 4                          # t = 1
models = {models!r}
observables = ["params_sq", "nu_sq"]
"""


_NOISY_RMSPROP = 'name = "rmsprop"\ndecay = 0.875'
_NOISY_ADAM = 'name = "adam"\nb1 = 0.75\nb2 = 0.875\nbias_correction = false'
_SLOW_ADAM = 'name = "adam"\nb1 = 0.75\nb2 = 0.99975\nbias_correction = false'
_NOISY = (
    _Case(
        "rmsprop-far",
        _noisy(_NOISY_RMSPROP, "", [_ONE, _TWO, _EXTENDED], 2.0),
        {_ONE: 1, _TWO: 2, _EXTENDED: 2},
        {
            (_ONE, _X): (-2.24e-2, -1.11e-2),
            (_ONE, _V): (5.7e-2, 2.7e-2),
            (_TWO, _X): (4.14e-3, 2.21e-3),
            (_TWO, _V): (4.56e-3, 1.08e-3),
            (_EXTENDED, _X): (-2.69e-4, -7.19e-5),
        },
    ),
    _Case(
        "rmsprop-near",
        _noisy(_NOISY_RMSPROP, "", [_TWO, _EXTENDED], 0.3),
        {_TWO: 2, _EXTENDED: 2},
        {(_TWO, _X): (5.86e-3, 2.64e-3), (_EXTENDED, _X): (2.03e-3, 5.13e-4)},
    ),
    _Case(
        "rmsprop-updated",
        _noisy(_NOISY_RMSPROP, "", [_TWO], 2.0, "updated"),
        {_TWO: 2},
        {(_TWO, _X): (4.74e-3, 2.36e-3), (_TWO, _V): (4.7e-3, 1.1e-3)},
    ),
    _Case(
        "adam-slow",  # 1 - b2 = 1e-3 h: the second moment hardly moves, and with it the obstruction
        _noisy(_SLOW_ADAM, "mu = [0.3]\n", [_TWO, _NO_CUBE], 1.0),
        {_TWO: 2},
        {(_TWO, _X): (-3.94e-4, -1.09e-4), (_NO_CUBE, _X): (5.6e-3, 2.9e-3)},
    ),
    _Case(
        "rmsprop-authors-code",
        _noisy(_NOISY_RMSPROP, "", [_CODE], 2.0),
        {},
        {(_CODE, _X): (1.45e-2, 7.57e-3)},
    ),
    _Case(
        "adam",
        _noisy(_NOISY_ADAM, "mu = [0.3]\n", [_ONE, _TWO], 1.0),
        {_ONE: 1, _TWO: 2},
        {
            (_ONE, _X): (-5.6e-3, -2.8e-3),
            (_TWO, _X): (-4.10e-3, -1.99e-3),
            (_TWO, _V): (1.1e-3, 2.8e-4),
        },
    ),
)


def _judge(cases: tuple[_Case, ...]):
    def rows(found: Results) -> list[Row]:
        said = []
        for case in cases:
            results = found[case.name]
            for model, stated in case.orders.items():
                said += [order(results, model, each, stated, f"{case.name}, {model}") for each in (_X, _V)]
            for (model, observable), numbers in case.errors.items():
                for scale, number in zip(_FINE, numbers, strict=True):
                    words = f"{case.name}, {model}, s = {scale:g}: weak error of E {observable}"
                    measured = weak_error(results, model, observable, scale)
                    said.append(beside(words, -number, *measured, slack=rounding(number, 2)))
        return said

    return rows


def _experiment(id: str, title: str, source: str, cases: tuple[_Case, ...]) -> Experiment:
    parts = tuple(Part(case.name, "verify", case.study) for case in cases)
    return Experiment(id, title, source, parts, _judge(cases), drawn)


EXPERIMENTS = (
    _experiment(
        "callisti-rmsprop",
        "RMSprop on the quadratic: weak error against the learning rate",
        "callisti2025, Theorem 2.4 and Table 1 (d = 2 as in the public code)",
        _BALLISTIC_RMSPROP,
    ),
    _experiment(
        "callisti-adam",
        "Adam on the quadratic: weak error against the learning rate",
        "callisti2025, ballistic Adam",
        _BALLISTIC_ADAM,
    ),
    _experiment(
        "callisti-slips",
        "What single departures of the authors' code do to the weak error",
        "callisti2025, public code",
        _SLIPS,
    ),
    _experiment(
        "callisti-noisy",
        "RMSprop and Adam where noise dominates: the obstruction, and the extended equation",
        "callisti2025, batch-equivalent regime; the obstruction is re-derived",
        _NOISY,
    ),
)
