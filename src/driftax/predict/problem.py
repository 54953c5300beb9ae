"""Everything that is predicted of one optimizer on one quadratic, gathered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict import student
from driftax.predict._arguments import degrees, number, together
from driftax.predict._value import Numbers, Prediction, judged
from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary
from driftax.predict.loss_bounds import adaptive_bound, phase_3_bound, secant_bound, sgd_bound
from driftax.predict.phases import phase_step
from driftax.predict.relaxation import adaptive_relaxation, memory, sgd_relaxation, signsgd_relaxation
from driftax.predict.sign_law import slope
from driftax.predict.stationary import is_l2, sgd_stationary, signsgd_stationary
from driftax.predict.tails import moments, sgd_keeps, signsgd_keeps

_ADAPTIVE = ("rmsprop", "adam")
_FAR = 4  # deviations of the stationary law that a bound of SignSGD reaches to
OPTIMIZERS = ("sgd", "signsgd", *_ADAPTIVE)


class Signal(NamedTuple):
    """The phase of every coordinate and its signal ratio Y, both [dim]."""

    phase: np.ndarray
    signal_ratio: np.ndarray


class Phases(NamedTuple):
    """The phase of every coordinate, and its drift by the formula of the phase and exactly, all [dim]."""

    phase: np.ndarray
    signal_ratio: np.ndarray
    sign_drift: np.ndarray
    exact_sign_drift: np.ndarray


@dataclass
class Problem:
    """An optimizer on a quadratic with noise that does not depend on the params.

    Args:
        optimizer: sgd, signsgd, rmsprop or adam; a trailing w is the same rule.
        learning_rate: above 0.
        curvature: eigenvalues of the Hessian [dim], above 0.
        noise: scale of the noise of ONE gradient [dim], above 0.
        batch: gradients averaged in a step, 1 or more.
        b1: decay of the first moment (adam: 0.9 where left out).
        b2: decay of the second moment (adam: 0.999, rmsprop: 0.99 where left out).
        eps: beside the square root.
        weight_decay: PyTorch's convention.
        weight_decay_form: "decoupled" or "l2".
        minimum: of the loss [dim].
        gradient: of the loss [dim], for the phases; None for that of the stationary law.
        dof: of Student-t noise.
        updated: whether v_{k+1} divides, as in PyTorch, or v_k.

    Raises:
        DriftaxError: for wrong numbers, an unknown optimizer, numbers it does not have, or a batch of
            Student-t gradients, whose mean is not of Student's law.
    """

    optimizer: str
    learning_rate: Numbers
    curvature: Numbers
    noise: Numbers
    batch: Numbers = 1
    b1: Numbers | None = None
    b2: Numbers | None = None
    eps: Numbers | None = None
    weight_decay: Numbers = 0.0
    weight_decay_form: str = "decoupled"
    minimum: Numbers = 0.0
    gradient: Numbers | None = None
    dof: Numbers = math.inf
    updated: bool = True

    def __post_init__(self) -> None:
        self.optimizer = self.optimizer.removesuffix("w")
        if self.optimizer not in OPTIMIZERS:
            raise DriftaxError(
                f"predictions for {self.optimizer}", "no closed forms", " or ".join(OPTIMIZERS)
            )
        self.learning_rate = number("learning_rate", self.learning_rate, "positive")
        self.weight_decay = number("weight_decay", self.weight_decay, "non-negative")
        self.dof, batch = degrees(self.dof), number("batch", self.batch, "positive")
        if batch < 1 or batch != round(batch):
            raise DriftaxError(
                "a prediction for a batch", f"batch = {batch:g}", "a whole number of 1 or more"
            )
        if batch != 1 and math.isfinite(self.dof):
            found = f"batch = {batch:g} with dof = {self.dof:g}: a mean of Student-t gradients is not of Student's law"
            raise DriftaxError("a prediction for a batch", found, "batch = 1, with the scale of one step")
        self._check_moments()
        is_l2(self.weight_decay_form)
        self.curvature, self.noise, self.minimum = together(
            curvature=(self.curvature, "positive"),
            noise=(self.noise, "positive"),
            minimum=(self.minimum, "finite"),
        )
        self.noise = self.noise / math.sqrt(batch)
        if self.gradient is not None:
            self.gradient = together(
                gradient=(self.gradient, "finite"), curvature=(self.curvature, "positive")
            )[0]
            if len(self.gradient) != self.dim:
                found = f"{len(self.gradient)} gradients for {self.dim} curvatures"
                raise DriftaxError("a prediction at a gradient", found, f"one gradient, or {self.dim}")

    def _check_moments(self) -> None:
        known = {"sgd": (), "signsgd": (), "rmsprop": ("b2", "eps"), "adam": ("b1", "b2", "eps")}[
            self.optimizer
        ]
        for name in ("b1", "b2", "eps"):
            if getattr(self, name) is not None and name not in known:
                instead = "one of " + ", ".join(known) if known else "no such number"
                raise DriftaxError(f"{name} of {self.optimizer}", f"{self.optimizer} has no {name}", instead)

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return len(self.curvature)

    @property
    def rule(self) -> AdaptiveRule:
        """The numbers of RMSprop or Adam."""
        adam = self.optimizer == "adam"
        b1 = (0.9 if self.b1 is None else self.b1) if adam else 0.0
        b2 = (0.999 if adam else 0.99) if self.b2 is None else self.b2
        eps = 1e-8 if self.eps is None else self.eps
        return AdaptiveRule(self.learning_rate, b1, b2, self.weight_decay, self.weight_decay_form, eps)


def predictions(problem: Problem) -> dict[str, dict[str, Prediction]]:
    """Predictions by part: phases, stationary, relaxation, bounds, tails; each by the name of its formula."""
    stationary = _stationary(problem)
    return {
        "phases": _phases(problem, next(iter(stationary.values()))),
        "stationary": stationary,
        "relaxation": _relaxation(problem),
        "bounds": _bounds(problem),
        "tails": _tails(problem),
    }


def _stationary(problem: Problem) -> dict[str, Prediction]:
    p = problem
    if p.optimizer == "sgd":
        return sgd_stationary(p.curvature, p.noise, p.learning_rate, p.weight_decay, p.minimum, p.dof)
    if p.optimizer == "signsgd":
        decay = (p.weight_decay, p.weight_decay_form)
        return signsgd_stationary(p.curvature, p.noise, p.learning_rate, *decay, p.minimum, p.dof)
    return adaptive_stationary(p.curvature, p.noise, p.rule, p.minimum, p.dof)


def _phases(problem: Problem, best: Prediction) -> dict[str, Prediction]:
    """The phases at the gradient asked for, else at the root mean square of the stationary one."""
    p, name = problem, "at the gradient"
    gradient = p.gradient
    if gradient is None:
        law, name = best.value, "in the stationary law"
        gradient = p.curvature * np.sqrt(law.variance + (law.mean - p.minimum) ** 2)
        if not np.all(np.isfinite(gradient)):
            return {}
    told = phase_step(gradient, p.noise, p.dof)
    step = told.value
    if p.optimizer != "signsgd":  # the ratio says how noisy a gradient is, whatever is done with it
        size = np.abs(step.ratio)
        reason = f"|Y| from {np.min(size):.3g} to {np.max(size):.3g}"
        return {name: judged(Signal(step.phase, step.ratio), 0.0, reason, told.source)}
    value = Phases(step.phase, step.ratio, 0.5 * (step.drift_low + step.drift_high), step.drift)
    return {name: told._replace(value=value)}


def _relaxation(problem: Problem) -> dict[str, Prediction]:
    p = problem
    if p.optimizer == "sgd":
        return {"exact": sgd_relaxation(p.curvature, p.learning_rate, p.weight_decay)}
    if p.optimizer == "signsgd":
        decay = (p.weight_decay, p.weight_decay_form)
        told = signsgd_relaxation(p.curvature, p.noise, p.learning_rate, *decay, p.dof, p.gradient)
        return {"phase 3": told}
    found = {}
    if p.dof > 2:
        deviation = p.noise * math.sqrt(student.variance(p.dof))
        found = adaptive_relaxation(p.curvature, deviation, p.rule, p.minimum)
    for name in ("b1", "b2"):
        if decay := getattr(p.rule, name):
            found[f"memory of {name}"] = judged(memory(decay), 0.0, f"{name} = {decay:g}", "textbook")
    return found


def _bounds(problem: Problem) -> dict[str, Prediction]:
    """Bounds at infinite time; those of SGD and SignSGD are for no decay, that of Adam for a minimum at 0."""
    p = problem
    low, high, trace = float(np.min(p.curvature)), float(np.max(p.curvature)), float(np.sum(p.curvature))
    scale = float(np.max(p.noise))
    if p.optimizer == "signsgd" and not p.weight_decay:
        asked = (math.inf, 0.0, low, trace, scale, p.learning_rate)
        far = _FAR * math.sqrt(p.learning_rate * high / (2 * slope(p.dof) * 2 * float(np.min(p.noise))))
        secant = secant_bound(*asked, far, p.dof)
        return {"phase 3": phase_3_bound(*asked, p.dof), f"secant to {_FAR} deviations": secant}
    if p.dof <= 2:
        return {}
    deviation = scale * math.sqrt(student.variance(p.dof))
    if p.optimizer == "sgd" and not p.weight_decay:
        return {"order 1": sgd_bound(math.inf, 0.0, low, trace, deviation, p.learning_rate)}
    decoupled = not is_l2(p.weight_decay_form) or not p.weight_decay
    if p.optimizer in _ADAPTIVE and decoupled and not (p.weight_decay and np.any(p.minimum)):
        rates = (p.learning_rate, p.rule.b1, p.weight_decay)
        return {"paper": adaptive_bound(low, high, trace, deviation, *rates)}
    return {}


def _tails(problem: Problem) -> dict[str, Prediction]:
    p = problem
    b1, b2 = (p.rule.b1, p.rule.b2) if p.optimizer in _ADAPTIVE else (0.0, 0.0)
    law = moments(p.optimizer, p.dof, b1, b2, p.updated)
    reason = f"dof = {p.dof:g}" if math.isfinite(p.dof) else "Gaussian noise"
    bounded = (
        f"a step is at most {law.step:.3g} learning rates"
        if math.isfinite(law.step)
        else "steps are not bounded"
    )
    source = "re-derived"
    found = {
        "gradient: moments exist below order": judged(law.gradient, 0.0, reason, source),
        "params: moments exist below order": judged(law.params, 0.0, bounded, source),
    }
    if p.optimizer == "sgd":
        found["variance over that of Gaussian noise"] = sgd_keeps(p.dof)
    if p.optimizer == "signsgd":
        found["variance over that of Gaussian noise"] = signsgd_keeps(p.dof)
    return found
