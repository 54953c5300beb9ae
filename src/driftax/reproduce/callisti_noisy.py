"""The experiments of callisti2025 where noise dominates the gradient: setup E, and one of two parameters."""

from __future__ import annotations

from driftax.reproduce.callisti_cases import (
    CODE,
    EXTENDED,
    FIRST,
    PARAMS,
    SECOND,
    SECOND_MOMENT,
    Case,
    experiment,
)

_PARABOLA = 'name = "quadratic"\nhessian = [[1.0]]'
_COVARIANCE = "[[2.0]]               # 0.5 / h"


def _noisy(
    optimizer: str,
    models: list[str],
    params: str,
    start: str = "nu = [0.7]",
    denominator: str = "previous",
    eps: float = 0.0,
    decay: float = 0.0,
    objective: str = _PARABOLA,
    covariance: str = _COVARIANCE,
    more: str = "",
) -> str:
    """One parameter unless said otherwise; second moments and decay in the regime's own units times a power of h."""
    return f"""seed = 0

[objective]
{objective}

[noise]
name = "gaussian"
covariance = {covariance}

[optimizer]
{optimizer}
learning_rate = 0.5                # h = 0.25
eps = {eps!r}
weight_decay = {decay!r}
denominator = "{denominator}"

[start]
params = {params}
{start}

[regime]
name = "batch-equivalent"
ladder = [1.0, 0.5, 0.25, 0.125]

[compare]
steps = 4                          # t = 1
models = {models!r}
observables = ["params_sq", "nu_sq"]
{more}"""


_RMSPROP = 'name = "rmsprop"\ndecay = 0.875'
_SLOW_RMSPROP = 'name = "rmsprop"\ndecay = 0.99975'  # 1 - decay = 1e-3 h
_ADAM = 'name = "adam"\nb1 = 0.75\nb2 = 0.875\nbias_correction = false'
_SLOW_ADAM = 'name = "adam"\nb1 = 0.75\nb2 = 0.99975\nbias_correction = false'
_CORRECTED_ADAM = 'name = "adam"\nb1 = 0.75\nb2 = 0.875\nbias_correction = true'
_ADAM_START = "mu = [0.3]\nnu = [0.7]"
_NO_CUBE = f"{CODE}-no-cube"
_EPS = 0.2  # 0.1 in the regime's own units
_DECAY = 0.25  # 0.5 in the regime's own units

_NOISY = (
    Case(
        "rmsprop-far",
        _noisy(_RMSPROP, [FIRST, SECOND, EXTENDED], "[2.0]"),
        {FIRST: 1, SECOND: 2, EXTENDED: 2},
        {
            (FIRST, PARAMS): (-2.24e-2, -1.11e-2),
            (FIRST, SECOND_MOMENT): (5.7e-2, 2.7e-2),
            (SECOND, PARAMS): (4.14e-3, 2.21e-3),
            (SECOND, SECOND_MOMENT): (4.56e-3, 1.08e-3),
            (EXTENDED, PARAMS): (-2.69e-4, -7.19e-5),
        },
    ),
    Case(
        "rmsprop-near",
        _noisy(_RMSPROP, [SECOND, EXTENDED], "[0.3]"),
        {SECOND: 2, EXTENDED: 2},
        {(SECOND, PARAMS): (5.86e-3, 2.64e-3), (EXTENDED, PARAMS): (2.03e-3, 5.13e-4)},
    ),
    Case(
        "rmsprop-updated",
        _noisy(_RMSPROP, [SECOND], "[2.0]", denominator="updated"),
        {SECOND: 2},
        {(SECOND, PARAMS): (4.74e-3, 2.36e-3), (SECOND, SECOND_MOMENT): (4.7e-3, 1.1e-3)},
    ),
    Case(
        "rmsprop-authors-code",
        _noisy(_RMSPROP, [CODE], "[2.0]"),
        errors={(CODE, PARAMS): (1.45e-2, 7.57e-3)},
    ),
    Case(
        "adam",
        _noisy(_ADAM, [FIRST, SECOND], "[1.0]", _ADAM_START),
        {FIRST: 1, SECOND: 2},
        {
            (FIRST, PARAMS): (-5.6e-3, -2.8e-3),
            (SECOND, PARAMS): (-4.10e-3, -1.99e-3),
            (SECOND, SECOND_MOMENT): (1.1e-3, 2.8e-4),
        },
    ),
    Case(
        "adam-updated",
        _noisy(_ADAM, [SECOND], "[1.0]", _ADAM_START, "updated"),
        errors={(SECOND, PARAMS): (-3.9e-3, -1.9e-3)},
        slowed={(SECOND, PARAMS): 1},
    ),
    Case(
        "adam-bias-corrected",  # its horizon is not stated, so that the order alone is judged
        _noisy(_CORRECTED_ADAM, [SECOND], "[1.0]", f"{_ADAM_START}\nstep = 2", "updated", _EPS),
        slowed={(SECOND, PARAMS): 1},
    ),
)

_QUARTIC = {
    "quartic.py": '"""The loss x^2/2 + 0.075 x^4."""\n\n\ndef loss(params):\n'
    "    x = params[0]\n    return x**2 / 2 + 0.075 * x**4\n"
}
_SLOW = (  # the second moment hardly moves, and with it the obstruction
    Case(
        "adam",
        _noisy(_SLOW_ADAM, [SECOND, _NO_CUBE], "[1.0]", _ADAM_START),
        {SECOND: 2},
        {(SECOND, PARAMS): (-3.94e-4, -1.09e-4), (_NO_CUBE, PARAMS): (5.6e-3, 2.9e-3)},
    ),
    Case(
        "adam-decay",
        _noisy(_SLOW_ADAM, [SECOND], "[1.0]", _ADAM_START, "updated", decay=_DECAY),
        {SECOND: 2},
        {(SECOND, PARAMS): (-6.0e-5, -2.7e-5)},
    ),
    Case(
        "rmsprop-quartic",
        _noisy(
            _SLOW_RMSPROP,
            [SECOND, CODE],
            "[1.0]",
            "nu = [1.0]",
            objective='name = "python"\nentry = "quartic.py:loss"\ndim = 1',
        ),
        {SECOND: 2},
        {(SECOND, PARAMS): (3.6e-5, 8.1e-6), (CODE, PARAMS): (2.66e-2, 1.39e-2)},
        slowed={(CODE, PARAMS): 1},
        files=_QUARTIC,
    ),
    Case(
        "rmsprop-decay",
        _noisy(_SLOW_RMSPROP, [SECOND], "[1.0]", "nu = [1.0]", decay=_DECAY),
        {SECOND: 2},
        {(SECOND, PARAMS): (1.1e-6, -4.5e-6)},
    ),
)


def _two_parameters(optimizer: str, models: list[str], more: str = "") -> str:
    """The Hessian and noise of setup B."""
    return _noisy(
        optimizer,
        models,
        "[1.5, -1.0]",
        "nu = [0.5, 0.5]",
        eps=_EPS,
        objective='name = "quadratic"\nhessian = [[1.0, 0.5], [0.5, 1.0]]',
        covariance="[[1.25, 1.0], [1.0, 1.25]]   # hessian^2 / 4, over h",
        more=more,
    )


_PLANE = (
    Case(
        "rmsprop",
        _two_parameters(_RMSPROP, [FIRST, SECOND], "members = 131072\n"),
        {FIRST: 1},
        {(SECOND, PARAMS): (5.9e-3,), (SECOND, SECOND_MOMENT): (1.1e-3,)},
        slowed={(SECOND, PARAMS): 1},
    ),
    Case(
        "rmsprop-slow",
        _two_parameters(_SLOW_RMSPROP, [SECOND, CODE]),
        {SECOND: 2},
        {(SECOND, PARAMS): (2.6e-4,), (CODE, PARAMS): (2.8e-2,)},
        slowed={(CODE, PARAMS): 1},
    ),
)

EXPERIMENTS = (
    experiment(
        "callisti-noisy",
        "RMSprop and Adam where noise dominates: the obstruction, and the extended equation",
        "callisti2025, batch-equivalent regime; the obstruction is re-derived",
        _NOISY,
    ),
    experiment(
        "callisti-slow",
        "RMSprop and Adam where noise dominates and the second moment hardly moves: order 2",
        "callisti2025, batch-equivalent regime and public code",
        _SLOW,
    ),
    experiment(
        "callisti-plane",
        "RMSprop of two parameters where noise dominates",
        "callisti2025, batch-equivalent regime and public code",
        _PLANE,
    ),
)
