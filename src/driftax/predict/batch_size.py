"""What a rule for a new batch size does to the stationary loss of Adam(W) on a quadratic."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.predict._arguments import number, together
from driftax.predict._value import Numbers, Prediction, beside, judged
from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary


class BatchRule(NamedTuple):
    """Powers of the growth of the batch by which a rule moves the numbers of an optimizer.

    Args:
        learning_rate: 1/2 is the square-root rule, 1 the linear one.
        rates: power of 1 - b1 and 1 - b2.
        weight_decay: power of a decoupled decay.
    """

    learning_rate: float
    rates: float
    weight_decay: float


RULES = {
    "sqrt-decay": BatchRule(0.5, 1.0, 0.5),
    "sqrt": BatchRule(0.5, 1.0, 0.0),
    "linear": BatchRule(1.0, 1.0, 0.0),
    "linear, betas fixed": BatchRule(1.0, 0.0, 0.0),
    "sqrt-decay, betas fixed": BatchRule(0.5, 0.0, 0.5),
    "sqrt, betas fixed": BatchRule(0.5, 0.0, 0.0),
    "learning rate fixed, linear decay": BatchRule(0.0, 1.0, 1.0),
    "none": BatchRule(0.0, 0.0, 0.0),
}


def moved(rule: AdaptiveRule, growth: Numbers, by: BatchRule) -> AdaptiveRule:
    """The numbers of an optimizer at `growth` times the batch size.

    Raises:
        DriftaxError: if a beta leaves [0, 1).

    Source: compagnoni2025, Lemma 3.13 (`sqrt-decay`); malladi2022 (`sqrt`).
    """
    growth = number("growth", growth, "positive")
    numbers: dict[str, Any] = {**rule.__dict__}
    numbers["learning_rate"] = rule.learning_rate * growth**by.learning_rate
    numbers["weight_decay"] = rule.weight_decay * growth**by.weight_decay
    numbers["eps"] = rule.eps * growth**-0.5 if by.learning_rate == 0.5 else rule.eps
    for name in ("b1", "b2"):
        decay = getattr(rule, name)
        rate = (1 - decay) * growth**by.rates if decay else 1.0
        if rate > 1:
            found = f"{growth:g} * (1 - {name}) = {rate:.3g}"
            raise DriftaxError(f"{name} at {growth:g} times the batch size", found, f"{name} ** {growth:g}")
        numbers[name] = 1 - rate
    return AdaptiveRule(**numbers)


def loss_ratio(
    curvature: Numbers, noise: Numbers, rule: AdaptiveRule, growth: Numbers, by: BatchRule
) -> dict[str, Prediction]:
    """The stationary loss at `growth` times the batch size, over that at the base one: `paper` and `refined`.

    Args:
        curvature: eigenvalues of the Hessian [dim].
        noise: standard deviation of the gradient noise at the base batch size [dim].
        rule: the optimizer at the base batch size.
        growth: of the batch.
        by: how the numbers move.

    Source: compagnoni2025, Lemma 3.13; the refined ratio is re-derived.
    """
    h, s = together(curvature=(curvature, "positive"), noise=(noise, "positive"))
    new = moved(rule, growth, by)
    before = adaptive_stationary(h, s, rule)
    after = adaptive_stationary(h, s / math.sqrt(growth), new)
    ratio = {name: float(after[name].value.loss / before[name].value.loss) for name in ("paper", "refined")}
    rate = max(1 - rule.b2, 1 - new.b2)
    error = np.inf if not np.isfinite(ratio["refined"]) else rate
    refined = judged(ratio["refined"], error, f"largest 1 - b2 = {rate:.3g}", "re-derived")
    cause = (
        f"learning_rate * weight_decay * b1 / (1 - b1) = {rule.interaction:.3g}, then {new.interaction:.3g}"
    )
    paper = beside(ratio["paper"], ratio["refined"], "the refined ratio", cause, "compagnoni2025, Lemma 3.13")
    return {"paper": paper._replace(value=ratio["paper"]), "refined": refined}
