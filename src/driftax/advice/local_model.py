r"""The measured surrogate: independent quadratics, one for each node of the measured spectrum.

In the coordinates `y = P^1/2 x` a step of an optimizer with a frozen second moment is one of SGD, and means of a
quadratic loss depend on noise and signal of every curvature alone. Another batch size changes the second moment:
with signal S and noise N of one example in those coordinates, P is multiplied by `sqrt((S + N/B') / (S + N/B))`.

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement import Measurement
from driftax.measurement.estimates import Estimate
from driftax.scaling.settings import ADAPTIVE, PLAIN, Number, Settings


@dataclass(frozen=True)
class LocalModel:
    """Curvature, noise of one example and squared gradient on nodes [node], and the batch size P belongs to.

    Negative curvature is taken for none: the gradient there goes on falling, and nothing grows.

    Args:
        curvature: of P^-1/2 H P^-1/2.
        noise: parts of the trace of P^-1/2 Sigma P^-1/2 of one example.
        signal: parts of |P^-1/2 grad|^2.
        batch: examples in a step where P was measured.
        preconditioned: whether P is the optimizer's, not 1.
    """

    curvature: np.ndarray
    noise: np.ndarray
    signal: np.ndarray
    batch: Number
    preconditioned: bool

    def growth(self, batch: Number) -> float:
        """By what steps grow at another batch size, at the same learning rate: the old P over the new one."""
        signal, noise = self.signal.sum(), self.noise.sum()
        if not self.preconditioned or signal + noise == 0:
            return 1.0
        return math.sqrt((signal + noise / self.batch) / (signal + noise / batch))

    def varied(self, curvature: float = 1.0, noise: float = 1.0, signal: float = 1.0) -> LocalModel:
        """With each of its parts multiplied by a number."""
        return replace(
            self, curvature=curvature * self.curvature, noise=noise * self.noise, signal=signal * self.signal
        )


def local_model(found: Measurement, settings: Settings) -> LocalModel:
    """The surrogate of a measurement, in the geometry of an optimizer.

    Raises:
        DriftaxError: if the measurement has no curvature, or that of another geometry; for signs, whose
            geometry depends on the batch alone.
    """
    asked = f"a forecast for {settings.optimizer}"
    if settings.optimizer not in (*ADAPTIVE, *PLAIN):
        known = ", ".join((*ADAPTIVE, *PLAIN))
        raise DriftaxError(
            asked, "no local model of signs", f"one of {known}, or driftax scale for the rules"
        )
    if "spectrum_noise" not in found.data:
        raise DriftaxError(
            asked,
            "a measurement without curvature",
            "one with it: NoiseProbe(..., curvature=True, optimizer=optimizer), or driftax measure --curvature",
        )
    preconditioned = bool(found.data["spectrum_preconditioned"])
    if settings.adaptive and not preconditioned:
        raise DriftaxError(
            asked,
            "curvature in the geometry of SGD: the second moment was not there",
            "NoiseProbe(..., optimizer=optimizer) after some steps, or measure(..., preconditioner=sqrt(nu) + eps)",
        )
    if preconditioned and not settings.adaptive:
        raise DriftaxError(
            asked,
            "curvature in the geometry of an adaptive optimizer",
            "a measurement without preconditioner, or of a run of SGD",
        )
    curvature, noise, signal = (
        found.data[f"spectrum_{name}"].values for name in ("curvature", "noise", "signal")
    )
    # Nodes come from half of the examples, whose largest curvature is larger than that of all.
    largest = max(_top(found, preconditioned).value, 0.0) / max(float(curvature.max()), 1e-300)
    batch = float(found.data.attrs["batch"])
    return LocalModel(largest * np.maximum(curvature, 0.0), noise, signal, batch, preconditioned)


def relative_errors(found: Measurement, model: LocalModel) -> dict[str, float]:
    """Relative standard errors of curvature, noise and signal; nan where one is not told from 0."""
    parts = {
        "curvature": _top(found, model.preconditioned),
        "noise": found.estimate("preconditioned_covariance_trace"),
        "signal": found.estimate("preconditioned_gradient_norm_squared"),
    }
    return {name: _relative(one) for name, one in parts.items()}


def _top(found: Measurement, preconditioned: bool) -> Estimate:
    return found.estimate("preconditioned_eigenvalue" if preconditioned else "eigenvalue", rank=0)


def _relative(one: Estimate) -> float:
    return one.standard_error / one.value if one.value > 0 else math.nan
