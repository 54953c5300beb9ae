"""What no local model is made of: measurements without curvature or of another geometry, and runs of another kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement import Measurement
from driftax.measurement.estimate import OF_SPECTRUM
from driftax.scaling.configuration import read_groups
from driftax.scaling.settings import ADAPTIVE, PLAIN, Number, Settings


def one_setting(optimizer: Any, batch: Number | None, asked: str = "a forecast") -> Settings:
    """The numbers of a run: those of all its parameter groups.

    Raises:
        DriftaxError: where groups differ, and for Nesterov's momentum.
    """
    groups = read_groups(optimizer, batch)
    if len(groups) > 1:
        raise DriftaxError(asked, "parameter groups with different numbers", "the numbers of one of them")
    given = [optimizer] if isinstance(optimizer, Mapping) else getattr(optimizer, "param_groups", [])
    _refuse_nesterov(any(group.get("nesterov") for group in given), asked)
    return groups[0]


def check_fits(found: Measurement, settings: Settings, asked: str) -> None:
    """Refuses measurements without curvature or of another geometry, and runs that have no local model."""
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
    _check_whole(found, asked)
    preconditioned = bool(found.data["spectrum_preconditioned"])
    if settings.adaptive and not preconditioned:
        raise DriftaxError(
            asked,
            "curvature in the geometry of SGD: the second moment was not there",
            "NoiseProbe(..., optimizer=optimizer) after some steps, or measure(..., preconditioner=sqrt(nu) + eps)",
        )
    if found.data.attrs.get("learning_rates", 1) > 1:
        raise DriftaxError(
            asked, "parameter groups whose learning rates differ", "a run with one learning rate for all"
        )
    _refuse_nesterov(found.data.attrs.get("nesterov"), asked)
    if settings.decoupled and settings.learning_rate * settings.weight_decay >= 1:
        product = settings.learning_rate * settings.weight_decay
        raise DriftaxError(
            asked, f"learning_rate * weight_decay = {product:.3g}", "a product below 1, such as 1e-4"
        )
    if preconditioned and not settings.adaptive:
        raise DriftaxError(
            asked,
            "curvature in the geometry of an adaptive optimizer",
            "a measurement without preconditioner, or of a run of SGD",
        )
    if settings.adaptive and settings.weight_decay and settings.weight_decay_form == "l2":
        raise DriftaxError(
            asked,
            f"weight_decay = {settings.weight_decay:g} inside the gradient: its part in the curvature was not measured",
            "--weight-decay 0, or --weight-decay-form decoupled if it stands beside the step",
        )


def _check_whole(found: Measurement, asked: str) -> None:
    names = [f"spectrum_{name}" for name in OF_SPECTRUM]
    missing = [name for name in names if name not in found.data] + [
        name for name in ("batch", "units") if name not in found.data.attrs
    ]
    broken = [name for name in names if not missing and not np.all(np.isfinite(found.data[name]))]
    if missing or broken:
        words = (
            f"no {missing[0]} in the measurement"
            if missing
            else f"{broken[0]} with entries that are not finite"
        )
        raise DriftaxError(asked, words, "a measurement of this version of driftax, as it was saved")


def _refuse_nesterov(found: Any, asked: str) -> None:
    if found:
        words = "nesterov=True, of which there is neither a local model nor a rule"
        raise DriftaxError(asked, words, "nesterov=False in the run")
