"""SignSGD in compagnoni2025: phases, weak order, noise levels and heavy tails.

The numbers stated are formulas of the paper (marked so), measurements of the theory page, or exact lattice laws.
"""

from __future__ import annotations

import math

from driftax.reproduce._value import Experiment, Part, Results, Row
from driftax.reproduce.judge import beside, drawn, mean, order, weak_error
from driftax.reproduce.studies import DIAGONAL, compare, gaussian, records, study_text

_OURS = "compagnoni-2025"


def _sign(rate: float) -> str:
    return f'name = "signsgd"\nlearning_rate = {rate!r}'


_PHASE_1, _PHASE_3 = "phase-1", "phase-3"
_PHASES = (
    Part(
        _PHASE_1,
        "simulate",
        study_text(
            DIAGONAL,
            gaussian(0.05),
            _sign(1e-3),
            "params = [1.0, 1.0]",
            compare(900, [_OURS], 4096),
        ),
    ),
    Part(
        _PHASE_3,
        "simulate",
        study_text(
            DIAGONAL,
            gaussian(2.0),
            _sign(1e-2),
            "params = [0.5, 0.5]",
            f"steps = 1200\nrecord = {sorted({120, 360, 720, *records(1200)})}\nmodels = ['{_OURS}']\n"
            'observables = ["loss"]\nmembers = 20480\nrandomness = "fast"\n',
        ),
    ),
)
_PHASE_3_LOSS = {120: (0.09480, 3e-4), 360: (0.02027, 1e-4), 720: (0.01309, 9e-5), 1200: (0.01254, 9e-5)}


def _phases(found: Results) -> list[Row]:
    rows = [
        beside(
            "phase 1 (signal dominates), t = 0.9: loss, and that of the sign flow",
            0.5 * (1 + 2) * 0.1**2,
            *mean(found[_PHASE_1], "optimizer", "loss"),
            slack=1e-4,
        )
    ]
    for step, (stated, error) in _PHASE_3_LOSS.items():
        words = f"phase 3 (noise dominates), t = {step / 100:g}: loss"
        measured = mean(found[_PHASE_3], "optimizer", "loss", step)
        rows.append(beside(words, stated, *measured, slack=4 * error))
    linear = sum(_linear_phase_3(curvature, 12.0) for curvature in (1.0, 2.0))
    measured = mean(found[_PHASE_3], "optimizer", "loss")
    rows.append(beside("phase 3, t = 12: the paper's linear formula", linear, *measured))
    return rows


def _linear_phase_3(
    curvature: float, t: float, start: float = 0.5, sigma: float = 2.0, rate: float = 0.01
) -> float:
    """Loss of one coordinate by the paper's phase-3 equation: `dx = -a x dt + sqrt(eta (1 - a^2 x^2)) dW`."""
    a = math.sqrt(2 / math.pi) * curvature / sigma
    pull = 2 * a + rate * a**2
    square = start**2 * math.exp(-pull * t) + rate / pull * -math.expm1(-pull * t)
    return 0.5 * curvature * square


_WEAK = (
    Part(
        "order",
        "verify",
        study_text(
            'name = "quadratic"\nhessian = [[1.0]]',
            gaussian(0.5),
            _sign(0.04),
            "params = [1.0]",
            f'steps = 100\nrecord = {records(100, 20)}\nat = "max"\nmodels = ["{_OURS}"]\n'
            'observables = ["params[0]", "loss"]\nrandomness = "fast"\n',
            ladder="[1.0, 0.5, 0.25]",
        ),
    ),
    Part(
        "order-cauchy",
        "verify",
        study_text(
            'name = "quadratic"\nhessian = [[1.0]]',
            'name = "student_t"\nscale = 0.5\ndof = 1.0',
            _sign(0.04),
            "params = [1.0]",
            f'steps = 100\nrecord = {records(100, 20)}\nat = "max"\nmodels = ["{_OURS}"]\n'
            'observables = ["loss"]\nrandomness = "fast"\n',
            ladder="[1.0, 0.5, 0.25]",
        ),
    ),
)


def _weak_order(found: Results) -> list[Row]:
    rows = [
        order(found["order"], _OURS, "loss", 1, "Gaussian noise"),
        order(found["order-cauchy"], _OURS, "loss", 1, "Cauchy noise"),
    ]
    stated = {
        ("order", "params[0]"): (6.96e-3, 3.46e-3, 1.73e-3),
        ("order", "loss"): (2.12e-3, 1.07e-3, 5.31e-4),
        ("order-cauchy", "loss"): (1.52e-3, 8.10e-4, 4.17e-4),
    }
    for (part, observable), numbers in stated.items():
        for scale, number in zip((1.0, 0.5, 0.25), numbers, strict=True):
            value, error = weak_error(found[part], _OURS, observable, scale)
            words = f"{part}: largest weak error of E {observable}, learning rate {0.04 * scale:g}"
            rows.append(beside(words, number, abs(value), error, slack=0.02 * number))
    return rows


_LEVELS = (0.5, 1.0, 2.0, 4.0)


def _level(optimizer: str, sigma: float) -> Part:
    steps = 2000 if optimizer == "signsgd" else 1200
    name = f"{optimizer}-{sigma:g}"
    text = f'name = "{optimizer}"\nlearning_rate = 0.01'
    return Part(
        name,
        "simulate",
        study_text(
            DIAGONAL,
            gaussian(sigma),
            text,
            "params = [0.1, 0.1]",
            compare(steps, [], 16384),
        ),
    )


def _noise_levels(found: Results) -> list[Row]:
    """Stationary losses: SGD's grows like sigma^2, SignSGD's like sigma (leading terms, per coordinate)."""
    rows = []
    for sigma in _LEVELS:
        sgd = 0.01 * sigma**2 / 4 * (1 / (1 - 0.005) + 1 / (1 - 0.01))
        sign = 0.01 * sigma / 4 * math.sqrt(math.pi / 2) * 2
        for name, level, slack in (("sgd", sgd, 0.0), ("signsgd", sign, 0.02 * sign)):
            measured = mean(found[f"{name}-{sigma:g}"], "optimizer", "loss")
            words = f"{name}, sigma = {sigma:g}: stationary loss"
            rows.append(beside(words, level, *measured, slack=slack))
    return rows


_TAILS = {1.0: 7.915380908e-3, 2.0: 7.108513145e-3, 3.0: 6.832572925e-3, 5.0: 6.611789832e-3}


def _tail(dof: float) -> Part:
    return Part(
        f"signsgd-{dof:g}",
        "simulate",
        study_text(
            'name = "quadratic"\nhessian = [[1.0]]',
            f'name = "student_t"\nscale = 1.0\ndof = {dof}',
            _sign(0.01),
            "params = [0.1]",
            compare(2000, [], 65536, ("params_sq",)),
        ),
    )


def _tails(found: Results) -> list[Row]:
    rows = []
    for dof, exact in _TAILS.items():
        measured = mean(found[f"signsgd-{dof:g}"], "optimizer", "params_sq")
        words = f"SignSGD, Student-t noise, dof = {dof:g}: stationary E x^2 (exact lattice law)"
        rows.append(beside(words, exact, *measured))
    return rows


EXPERIMENTS = (
    Experiment(
        "compagnoni-phases",
        "SignSGD's phases: the trajectory beside its equation and the phase-wise formulas",
        "compagnoni2025, Lemma 3.4",
        _PHASES,
        _phases,
        drawn,
    ),
    Experiment(
        "compagnoni-sign-order",
        "SignSGD: weak order of its equation, Gaussian and Cauchy noise",
        "compagnoni2025, Theorem 3.2",
        _WEAK,
        _weak_order,
        drawn,
    ),
    Experiment(
        "compagnoni-noise-level",
        "SGD and SignSGD as the noise grows: stationary loss",
        "compagnoni2025, Lemmas 3.7 and 3.8",
        tuple(_level(name, sigma) for sigma in _LEVELS for name in ("sgd", "signsgd")),
        _noise_levels,
        drawn,
    ),
    Experiment(
        "compagnoni-heavy-tails",
        "SignSGD under Student-t noise: the stationary variance that SGD does not have",
        "compagnoni2025, Corollary 3.4",
        tuple(_tail(dof) for dof in _TAILS),
        _tails,
        drawn,
    ),
)
