"""Adam with bias correction from a start within the layer at t = 0: the equation of order 2 has order 3/2 there.

Which step a start is at moves with the learning rate, so that every rung is a study of its own. The page leaves the
problem open: this one is setup B in one parameter, and orders alone are judged.
"""

from __future__ import annotations

import math

from driftax.reproduce._value import Experiment, Part, Results, Row
from driftax.reproduce.callisti_cases import PARAMS, SECOND, SECOND_MOMENT
from driftax.reproduce.judge import drawn, order_among, weak_error
from driftax.reproduce.studies import study_text

_STEPS = (64, 128)  # per unit of time
_STARTS = {"zero": ("updated", 0, "t = 0"), "two-steps": ("previous", 2, "t = 2 h")}


def _study(denominator: str, step: int, steps: int) -> str:
    return study_text(
        'name = "quadratic"\nhessian = [[1.0]]',
        'name = "gaussian"\ncovariance = [[0.25]]',
        f'name = "adam"\nlearning_rate = {1 / steps!r}\nb1 = {1 - 1 / steps!r}\nb2 = {1 - 0.5 / steps!r}\n'
        f'eps = 0.1\ndenominator = "{denominator}"\nbias_correction = true',
        f"params = [1.5]\nmu = [0.0]\nnu = [1.0]\nstep = {step}",
        f'steps = {steps - step}\nmodels = ["{SECOND}"]\nobservables = ["{PARAMS}", "{SECOND_MOMENT}"]\n'
        'members = 32768\nrandomness = "fast"\n'
        "substeps = 4                       # the coefficients change within the first steps",
    )


def _judge(found: Results) -> list[Row]:
    said = []
    for name, (denominator, _, words) in _STARTS.items():
        for observable, below in ((PARAMS, 1.0), (SECOND_MOMENT, -math.inf)):
            coarse, fine = (weak_error(found[f"{name}-{steps}"], SECOND, observable, 1.0) for steps in _STEPS)
            told = f"from {words}, denominator {denominator}, h = 1/64 and 1/128: order of E {observable}"
            said.append(order_among(told, 1.5, (below, 2.0), coarse, fine))
    return said


EXPERIMENTS = (
    Experiment(
        "callisti-starts",
        "Adam with bias correction, started within the layer at t = 0",
        "callisti2025, ballistic Adam and the protocol of the public code; order 3/2 is of the theory page",
        tuple(
            Part(f"{name}-{steps}", "verify", _study(denominator, step, steps))
            for name, (denominator, step, _) in _STARTS.items()
            for steps in _STEPS
        ),
        _judge,
        drawn,
    ),
)
