"""The numbers of a study whose loss is a quadratic with independent coordinates, for closed-form predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from driftax._errors import DriftaxError
from driftax.study._value import Study
from driftax.study.build import build_chain, start_params
from driftax.study.sections.noise import GaussianSection, StudentTSection
from driftax.study.sections.objective import QuadraticSection
from driftax.study.sections.optimizer import (
    AdamSection,
    OptimizerSection,
    RMSpropSection,
    SGDSection,
    SignSGDSection,
)
from driftax.study.sections.schedule import SCHEDULE

_ASKED = "predictions for a study"


def quadratic_numbers(study: Study) -> dict[str, Any]:
    """Optimizer, curvature, noise, minimum and the gradient at the start, by the names of the predictions.

    Raises:
        DriftaxError: for a loss that is not a quadratic with a diagonal hessian, another noise than Gaussian
            or Student-t of constant independent coordinates, or an optimizer without closed forms.
    """
    chain = build_chain(study)
    if not isinstance(study.objective, QuadraticSection):
        raise DriftaxError(
            _ASKED, f'objective "{study.objective.name}"', '"quadratic" with a diagonal hessian'
        )
    objective: Any = chain.objective
    curvature = _diagonal("hessian", np.asarray(objective.hessian))
    minimum = np.asarray(objective.minimum)
    params = np.asarray(start_params(study))
    return {
        **_optimizer(study.optimizer),
        **_noise(study.noise, len(curvature)),
        "curvature": curvature,
        "minimum": minimum,
        "gradient": curvature * (params - minimum),
    }


def _optimizer(section: Any) -> dict[str, Any]:
    kinds = (SGDSection, SignSGDSection, RMSpropSection, AdamSection)
    if not isinstance(section, kinds):
        raise DriftaxError(
            _ASKED, f'optimizer "{section.name}": no closed forms', "sgd, signsgd, rmsprop or adam"
        )
    _check_constant(section)
    names = ["learning_rate", "weight_decay", "weight_decay_form"]
    numbers = {"optimizer": section.name, **{name: getattr(section, name) for name in names}}
    if isinstance(section, AdamSection | RMSpropSection):
        numbers["updated"] = section.denominator == "updated"
    if isinstance(section, AdamSection):
        return {**numbers, "b1": section.b1, "b2": section.b2, "eps": section.eps}
    if isinstance(section, RMSpropSection):
        return {**numbers, "b2": section.decay, "eps": section.eps}
    return numbers


def _check_constant(section: OptimizerSection) -> None:
    for name in type(section).model_fields:
        if name.endswith(SCHEDULE) and getattr(section, name) is not None:
            raise DriftaxError(_ASKED, f"a schedule: {name}", "a constant number: its law is stationary")


def _noise(section: Any, dim: int) -> dict[str, Any]:
    if isinstance(section, StudentTSection):
        return {"noise": np.broadcast_to(np.asarray(section.scale, dtype=float), (dim,)), "dof": section.dof}
    if isinstance(section, GaussianSection) and section.covariance_per_loss is None:
        covariance = np.asarray(section.covariance, dtype=float)
        variance = _diagonal("covariance", covariance) if covariance.ndim == 2 else covariance
        return {"noise": np.sqrt(np.broadcast_to(variance, (dim,))), "dof": math.inf}
    found = f'noise "{section.name}"'
    if isinstance(section, GaussianSection):
        found += " with a covariance_per_loss"
    raise DriftaxError(_ASKED, found, '"gaussian" of constant variances, or "student_t"')


def _diagonal(name: str, matrix: np.ndarray) -> np.ndarray:
    diagonal = np.diag(matrix)
    off = matrix - np.diag(diagonal)
    if np.any(off):
        found = f"a {name} with an entry {off.flat[np.argmax(np.abs(off))]:g} off its diagonal"
        raise DriftaxError(_ASKED, found, f"a diagonal {name}: predictions are per coordinate")
    return diagonal
