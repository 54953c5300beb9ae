"""RMSprop(W) and Adam(W) in compagnoni2025: tracked by their equations and by malladi2022's; stationary losses and the
batch-size rule.

The numbers stated are formulas of the paper (marked so) or measurements of the theory page.
"""

from __future__ import annotations

import math

import numpy as np

from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary
from driftax.reproduce._value import Experiment, Part, Results, Row
from driftax.reproduce.judge import beside, drawn, mean, order, rounding, tracking, weak_error
from driftax.reproduce.studies import DIAGONAL, compare, gaussian, records, study_text

_OURS, _MALLADI = "compagnoni-2025", "malladi-2022"
_SADDLE = 'name = "saddle"'
_ROSENBROCK = 'name = "rosenbrock"\ndim = 2\nsteepness = 5.0'


def _tracked(name: str, objective: str, optimizer: str, sigma: float, start: str, steps: int = 4000) -> Part:
    models = [_OURS, _MALLADI]
    return Part(
        name,
        "verify",
        study_text(
            objective,
            gaussian(sigma),
            optimizer,
            start,
            compare(steps, models, 1024, more="substeps = 1\n"),
        ),
    )


_RMSPROP = 'name = "rmsprop"\nlearning_rate = 1e-3\ndecay = 0.999\neps = 1e-8'
_ADAM = 'name = "adam"\nlearning_rate = 1e-3\nb1 = 0.99\nb2 = 0.999\neps = 1e-8\nbias_correction = false'


def _near(gradient: tuple[float, float], sigma: float) -> str:
    return "nu = [" + ", ".join(repr(g**2 + sigma**2) for g in gradient) + "]"


def _started(params: tuple[float, float], gradient: tuple[float, float], sigma: float, momentum: bool) -> str:
    mu = f"mu = {list(gradient)!r}\n" if momentum else ""
    return f"params = {list(params)!r}\n{mu}{_near(gradient, sigma)}"


_QUADRATIC_START = ((2.0, 2.0), (2.0, 4.0))
# The second moment of the escaping coordinate is not stated; at 1 both numbers come out. From (gradient)^2 + sigma^2 =
# 2e-4 the first steps are 70 times longer there, and the largest error is 0.20 %, of which 0.07 % without v_{k+1}.
_SADDLE_START = ((2.0, 0.01), (2.0, 1.0))
_ROSENBROCK_START = ((-1.0, 1.0), (-4.0, 0.0))
_GRID = 0.5  # the largest error depends on the times looked at: two tables of the theory page differ by 0.2
_TRACKED = (
    # name, objective, optimizer, sigma, start, steps, stated for compagnoni (%, slack), for malladi (%, slack)
    ("rmsprop-1", DIAGONAL, _RMSPROP, 1.0, _QUADRATIC_START, (0.047, 0.084), (6.86, _GRID)),
    ("rmsprop-0.3", DIAGONAL, _RMSPROP, 0.3, _QUADRATIC_START, (0.021, 0.01), (7.63, _GRID)),
    ("rmsprop-0.01", DIAGONAL, _RMSPROP, 0.01, _QUADRATIC_START, (0.0106, 0.0008), (7.734, _GRID)),
    ("adam-1", DIAGONAL, _ADAM, 1.0, _QUADRATIC_START, (0.052, 0.076), (6.89, _GRID)),
    ("adam-0.01", DIAGONAL, _ADAM, 0.01, _QUADRATIC_START, (0.011, 0.001), (7.70, _GRID)),
    ("rmsprop-saddle", _SADDLE, _RMSPROP, 0.01, _SADDLE_START, (0.010, 0.001), (7.02, _GRID)),
    ("rmsprop-rosenbrock", _ROSENBROCK, _RMSPROP, 0.1, _ROSENBROCK_START, (0.008, 0.004), (7.82, _GRID)),
)


def _tracking_parts() -> tuple[Part, ...]:
    parts = []
    for name, objective, optimizer, sigma, (params, gradient), *_ in _TRACKED:
        start = _started(params, gradient, sigma, momentum=optimizer is _ADAM)
        parts.append(_tracked(name, objective, optimizer, sigma, start))
    return tuple(parts)


def _tracking(found: Results) -> list[Row]:
    rows = []
    for name, _, _, _, _, (ours, own_slack), (theirs, slack) in _TRACKED:
        for model, stated, allowed in ((_OURS, ours, own_slack), (_MALLADI, theirs, slack)):
            ratio, error = tracking(found[name], model)
            words = f"{name}, {model}: largest error of E loss, % of its range"
            rows.append(beside(words, stated, 100 * ratio, 100 * error, slack=allowed))
    return rows


_LADDER = (1.0, 0.5, 0.25, 0.125)
_RANGE = 6.0  # of the loss: it starts there and falls to nearly 0
_ORDERS = {
    # part: the optimizer at learning rate 0.04; largest weak errors in percent of the range, along the ladder
    "rmsprop": (
        'name = "rmsprop"\nlearning_rate = 0.04\ndecay = 0.96\neps = 1e-8',
        {_OURS: (0.406, 0.204, 0.105, 0.054), _MALLADI: (7.46, 7.65, 7.73, 7.78)},
    ),
    "adam": (
        'name = "adam"\nlearning_rate = 0.04\nb1 = 0.6\nb2 = 0.96\neps = 1e-8\nbias_correction = false',
        {_OURS: (0.433, 0.224, 0.115, 0.059), _MALLADI: (8.39, 8.20, 8.10, 8.05)},
    ),
}


def _order_part(name: str, optimizer: str) -> Part:
    start = _started(*_QUADRATIC_START, 0.3, momentum=name == "adam")
    lines = (
        f'steps = 100\nrecord = {records(100, 50)}\nat = "max"\nmodels = {[_OURS, _MALLADI]!r}\n'
        'observables = ["loss"]\nmembers = 8192\nrandomness = "fast"\n'
    )
    ladder = f"{list(_LADDER)!r}"
    return Part(name, "verify", study_text(DIAGONAL, gaussian(0.3), optimizer, start, lines, ladder))


def _orders(found: Results) -> list[Row]:
    rows = []
    for name, (_, stated) in _ORDERS.items():
        rows.append(order(found[name], _OURS, "loss", 1, f"{name}, {_OURS}"))
        for model, percents in stated.items():
            for scale, percent in zip(_LADDER, percents, strict=True):
                value, error = weak_error(found[name], model, "loss", scale)
                words = f"{name}, {model}, learning rate {0.04 * scale:g}: largest weak error, % of the range"
                scaled = (100 / _RANGE * abs(value), 100 / _RANGE * error)
                # The numbers stated are of Euler's method with dt = eta/4, whose own bias is of that order.
                rows.append(beside(words, percent, *scaled, slack=0.15 * percent))
    return rows


_STATIONARY = (
    # sigma, learning rate, b1, b2, theta, measured loss (standard error), steps
    (1.0, 1e-3, 0.9, 0.999, 0.0, 4.991e-4, 1.5e-6, 8000),
    (1.0, 1e-3, 0.9, 0.999, 1.0, 2.891e-4, 9e-7, 6000),
    (1.0, 1e-2, 0.9, 0.999, 1.0, 2.6283e-3, 9e-6, 4000),
    (5.0, 1e-2, 0.9, 0.999, 1.0, 5.0757e-3, 2e-5, 4000),
    (0.1, 1e-2, 0.9, 0.999, 1.0, 4.089e-4, 2e-6, 4000),
    (1.0, 1e-2, 0.0, 0.999, 1.0, 2.8995e-3, 9e-6, 4000),
    (1.0, 1e-2, 0.99, 0.9995, 1.0, 1.4508e-3, 8e-6, 6000),
    (1.0, 1e-2, 0.9, 0.95, 1.0, 2.6065e-3, 9e-6, 4000),
    (100.0, 1e-2, 0.9, 0.999, 1.0, 6.613e-3, 3e-5, 6000),
)


def _adamw(rate: float, b1: float, b2: float, decay: float) -> str:
    if b1 == 0:
        return f'name = "rmsprop"\nlearning_rate = {rate!r}\ndecay = {b2!r}\neps = 1e-12\nweight_decay = {decay!r}'
    return (
        f'name = "adam"\nlearning_rate = {rate!r}\nb1 = {b1!r}\nb2 = {b2!r}\neps = 1e-12\n'
        f"weight_decay = {decay!r}\nbias_correction = false"
    )


def _settled(
    name: str, optimizer: str, sigma: float, rate: float, momentum: bool, steps: int, members: int
) -> Part:
    """A run from near the stationary law to its end, with means taken along its last tenth."""
    size = 0.7 * math.sqrt(rate * sigma)
    mu = "mu = [0.0, 0.0]\n" if momentum else ""
    start = f"params = [{size!r}, {size!r}]\n{mu}nu = [{sigma**2!r}, {sigma**2!r}]"
    return Part(
        name, "simulate", study_text(DIAGONAL, gaussian(sigma), optimizer, start, compare(steps, [], members))
    )


def _stationary_parts() -> tuple[Part, ...]:
    return tuple(
        _settled(f"row-{i + 1}", _adamw(rate, b1, b2, decay), sigma, rate, b1 > 0, steps, 32768)
        for i, (sigma, rate, b1, b2, decay, _, _, steps) in enumerate(_STATIONARY)
    )


def _stationary(found: Results) -> list[Row]:
    rows = []
    for i, (sigma, rate, b1, b2, decay, loss, error, _) in enumerate(_STATIONARY):
        words = (
            f"sigma = {sigma:g}, lr = {rate:g}, b1 = {b1:g}, b2 = {b2:g}, theta = {decay:g}: stationary loss"
        )
        measured = mean(found[f"row-{i + 1}"], "optimizer", "loss")
        law = adaptive_stationary(np.array([1.0, 2.0]), sigma, AdaptiveRule(rate, b1, b2, decay))
        refined, formula = (float(law[name].value.loss) for name in ("refined", "paper"))
        rows.append(beside(f"{words}, the refined law", refined, *measured, slack=0.01 * refined))
        rows.append(beside(f"{words}, the paper's formula", formula, *measured))
        rows.append(
            beside(f"{words}, measured with the decay after the step", loss, *measured, slack=4 * error)
        )
    return rows


_BASE_RATE, _BASE_SIGMA = 2e-3, 2.0
_RULES = {
    # factors on learning rate, decay, 1 - betas for a batch delta times as large; stated ratios for theta = 1
    "sqrt-decay": (0.5, 0.5, 1.0, {4: 0.993, 16: 0.988}, 0.02),
    "sqrt, decay kept": (0.5, 0.0, 1.0, {4: 1.417, 16: 1.813}, 0.04),
    "linear": (1.0, 0.0, 1.0, {4: 2.776, 16: 7.09}, 0.15),
    "sqrt-decay, betas kept": (0.5, 0.5, 0.0, {4: 0.894, 16: 0.608}, 0.02),
    "nothing": (0.0, 0.0, 0.0, {4: 0.703, 16: 0.440}, 0.02),
}


def _batch_part(name: str, delta: int, powers: tuple[float, float, float]) -> Part:
    rate, decay, memory = (delta**power for power in powers)
    optimizer = _adamw(_BASE_RATE * rate, 1 - 0.05 * memory, 1 - 0.001 * memory, decay)
    steps = max(1000, round(8000 / max(memory, rate)))
    sigma = _BASE_SIGMA / math.sqrt(delta)
    return _settled(name, optimizer, sigma, _BASE_RATE * rate, True, steps, 16384)


def _batch_parts() -> tuple[Part, ...]:
    parts = [_batch_part("base", 1, (0.0, 0.0, 0.0))]
    for rule, (rate, decay, memory, stated, _) in _RULES.items():
        name = rule.replace(", ", "-").replace(" ", "-")
        parts += [_batch_part(f"{name}-{delta}", delta, (rate, decay, memory)) for delta in stated]
    return tuple(parts)


def _batch_rule(found: Results) -> list[Row]:
    base, base_error = mean(found["base"], "optimizer", "loss")
    rows = []
    for rule, (*_, stated, slack) in _RULES.items():
        name = rule.replace(", ", "-").replace(" ", "-")
        for delta, ratio in stated.items():
            loss, error = mean(found[f"{name}-{delta}"], "optimizer", "loss")
            spread = loss / base * math.hypot(error / loss, base_error / base)
            words = f"batch times {delta}, rule {rule}: stationary loss over that of the base"
            rows.append(beside(words, ratio, loss / base, spread, slack=slack + rounding(ratio)))
    return rows


EXPERIMENTS = (
    Experiment(
        "compagnoni-tracking",
        "RMSprop and Adam tracked by their equations and by Malladi's: quadratic, saddle, Rosenbrock",
        "compagnoni2025, appendices F.3 and F.5",
        _tracking_parts(),
        _tracking,
        drawn,
    ),
    Experiment(
        "compagnoni-order",
        "RMSprop and Adam: weak errors of their equations and of Malladi's along a ladder",
        "compagnoni2025, appendices F.3 and F.5",
        tuple(_order_part(name, optimizer) for name, (optimizer, _) in _ORDERS.items()),
        _orders,
        drawn,
    ),
    Experiment(
        "compagnoni-stationary",
        "RMSpropW and AdamW: stationary loss against noise and decay",
        "compagnoni2025, Lemma C.57",
        _stationary_parts(),
        _stationary,
        drawn,
    ),
    Experiment(
        "compagnoni-batch-rule",
        "AdamW: the batch-size rule at matched samples",
        "compagnoni2025, Lemma 3.13",
        _batch_parts(),
        _batch_rule,
        drawn,
    ),
)
