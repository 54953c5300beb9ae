r"""The measured surrogate: independent quadratics, one for each node of the measured spectrum.

In the coordinates `y = P^1/2 x` a step of an optimizer with a frozen second moment is one of SGD, and means of a
quadratic loss depend on noise and signal of every curvature alone. Another batch size B' changes the second moment: P
of a coordinate whose second moment is noise to a share q is multiplied by `sqrt(1 - q (1 - B/B'))`. Noise and signal
stand at different coordinates, so each has a mean of its own of what that does to steps.

Source: re-derived.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from driftax._errors import DriftaxError
from driftax.advice.refusals import check_fits
from driftax.measurement import Measurement
from driftax.measurement.estimates import Estimate
from driftax.scaling.settings import Number, Settings

_FLAT = 1e-4  # of the largest curvature
_MOST = 0.9  # of a relative error that is carried to first order


@dataclass(frozen=True)
class LocalModel:
    """Curvature, noise of one example and squared gradient on nodes [node], and the batch size P belongs to.

    Negative curvature, and what is too small to tell its sign, is taken for none: the gradient there goes on falling,
    nothing grows, and noise there is in no floor.

    Args:
        curvature: of P^-1/2 H P^-1/2.
        noise: parts of the trace of P^-1/2 Sigma P^-1/2 of one example.
        signal: parts of |P^-1/2 grad|^2, unbiased.
        batch: examples in a step where P was measured.
        shares: of noise in second moments, with the parts of noise and of signal there [3, share]; None for P = 1.
        pull: params . grad, what a unit of weight decay takes off the loss; nan where it was not measured.
    """

    curvature: np.ndarray
    noise: np.ndarray
    signal: np.ndarray
    batch: Number
    shares: np.ndarray | None = None
    pull: float = math.nan

    @property
    def preconditioned(self) -> bool:
        """Whether P is the optimizer's, not 1."""
        return self.shares is not None

    def growth(self, batch: Number) -> float:
        """By what the steps of noise grow at another batch size and the same learning rate: old P over new."""
        return self._growth(batch, 1)

    def signal_growth(self, batch: Number) -> float:
        """By what the steps along the gradient grow."""
        return self._growth(batch, 2)

    def _growth(self, batch: Number, row: int) -> float:
        if self.shares is None:
            return 1.0
        known = np.minimum(self.shares[0], 1 - 1e-12)
        ratios = 1 / np.sqrt(1 - known * (1 - self.batch / batch))
        return float(np.clip(self.shares[row] @ ratios, ratios.min(), ratios.max()))

    def varied(
        self, curvature: float = 0.0, noise: float = 0.0, signal: float = 0.0, pull: float = 0.0
    ) -> LocalModel:
        """Curvature and noise changed by shares of themselves, the signal by a number that stands where noise does."""
        return replace(
            self,
            curvature=(1 + curvature) * self.curvature,
            noise=(1 + noise) * self.noise,
            signal=self.signal + signal * self.noise / (self.noise.sum() or 1.0),
            pull=self.pull + pull,
        )


def local_model(found: Measurement, settings: Settings) -> LocalModel:
    """The surrogate of a measurement, in the geometry of an optimizer.

    Raises:
        DriftaxError: if the measurement has no curvature, or that of another geometry; for signs, whose
            geometry depends on the batch alone.
    """
    asked = f"a forecast for {settings.optimizer}"
    check_fits(found, settings, asked)
    preconditioned = bool(found.data["spectrum_preconditioned"])
    data = found.data
    curvature: np.ndarray = data["spectrum_curvature"].values
    top = _top(found, preconditioned).value
    if min(top, float(curvature.max())) <= 0:
        words = (
            "a measurement at params where the loss curves upwards, with more examples or later in training"
        )
        raise DriftaxError(asked, f"no curvature above 0 (the largest is {top:.3g})", words)
    # Nodes come from half of the examples, whose largest curvature is larger than that of all.
    curved = np.where(curvature > _FLAT * curvature.max(), curvature, 0.0)
    scaled = curved * (top / float(curvature.max()))
    shares = None
    if preconditioned:
        of_signal = data["spectrum_signal_at_share"].values.mean(axis=0)
        shares = _shares(found, of_signal if _resolved(found) else data["spectrum_noise_at_share"].values)
    noise, signal = data["spectrum_noise"].values.mean(axis=0), data["spectrum_signal"].values
    return LocalModel(scaled, noise, signal, float(data.attrs["batch"]), shares, _pull(found).value)


def alternatives(found: Measurement, model: LocalModel) -> list[LocalModel]:
    """The surrogate with the noise of every mixture but one: their spread is its error of sampling."""
    noise = found.data["spectrum_noise"].values
    return [replace(model, noise=np.delete(noise, left, axis=0).mean(axis=0)) for left in range(len(noise))]


def by_halves(found: Measurement, model: LocalModel) -> list[LocalModel]:
    """The surrogate with the signal where either half of the units has it: their distance is its error."""
    if model.shares is None:
        return [model, model]
    return [
        replace(model, shares=_shares(found, one)) for one in found.data["spectrum_signal_at_share"].values
    ]


def _shares(found: Measurement, signal: np.ndarray) -> np.ndarray:
    parts = found.data["spectrum_noise_at_share"].values, signal
    return np.stack([found.data["spectrum_share"].values, *(part / (part.sum() or 1.0) for part in parts)])


def _resolved(found: Measurement) -> bool:
    """Whether the gradient is told from 0, so that it is known where it stands."""
    one = found.estimate("preconditioned_gradient_norm_squared")
    return one.value > 2 * one.standard_error


def errors_of(found: Measurement, model: LocalModel) -> dict[str, float]:
    """Standard errors in the terms of `LocalModel.varied`."""
    top, noise = _top(found, model.preconditioned), found.estimate("preconditioned_covariance_trace")
    signal = found.estimate("preconditioned_gradient_norm_squared")
    errors = {"curvature": _relative(top), "noise": _relative(noise), "signal": signal.standard_error}
    return {**errors, "pull": _pull(found).standard_error}


def _pull(found: Measurement) -> Estimate:
    unknown = "params_gradient" not in found.data
    return Estimate(math.nan, math.nan) if unknown else found.estimate("params_gradient")


def _top(found: Measurement, preconditioned: bool) -> Estimate:
    return found.estimate("preconditioned_eigenvalue" if preconditioned else "eigenvalue", rank=0)


def _relative(one: Estimate) -> float:
    return min(one.standard_error / one.value, _MOST) if one.value > 0 else math.nan
