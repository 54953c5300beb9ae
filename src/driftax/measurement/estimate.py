"""Everything that can be said of units and curvature, as one `Measurement`."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from driftax import __version__
from driftax.measurement._value import Measurement, with_noise_scale
from driftax.measurement.aggregation import BLOCKS, aggregation
from driftax.measurement.curvature_result import Curvature
from driftax.measurement.estimates import Estimate, Shape
from driftax.measurement.gradient_moments import gradient_moments
from driftax.measurement.hill import FRACTIONS, hill
from driftax.measurement.noise_deviation import noise_deviation_sum
from driftax.measurement.phase_shares import phase_shares
from driftax.measurement.signal_to_noise import loud, mean_signal_ratio_squared
from driftax.measurement.standardised import standardised
from driftax.measurement.units import TOTAL, GroupUnits, Units

_TAIL_COLUMNS = 512  # coordinates that tails are fitted to
OF_SPECTRUM: dict[str, tuple[str, ...]] = {
    "curvature": ("node",),
    "noise": ("mixture", "node"),
    "signal": ("node",),
    "share": ("share",),
    "noise_at_share": ("share",),
    "signal_at_share": ("half", "share"),
}
Columns = dict[str, list[Any]]


def estimate(
    units: Units,
    *,
    batch: int | None = None,
    tails: bool = True,
    curvature: Curvature | None = None,
    provenance: Mapping[str, str | int | float] | None = None,
) -> Measurement:
    """Estimates of every quantity, per parameter group and in total, each with a standard error.

    Args:
        units: from `units_of`.
        batch: examples in a step of the optimizer, for signal ratios and phases; those of a unit if left out.
        tails: fit the tails.
        curvature: what was measured of the Hessian.
        provenance: lines to keep with the result.

    Example:
        >>> from driftax.measurement import units_of
        >>> gradients = np.random.default_rng(0).normal(size=(64, 5)) + 1.0
        >>> found = estimate(units_of({"layer": gradients}), batch=8)
        >>> sorted(found.groups)
        ['layer', 'total']
    """
    batch = units.unit_size if batch is None else batch
    groups = {**units.groups, TOTAL: units.total()}
    columns: Columns = {}
    row: dict[str, Any] = {}
    for name, group in groups.items():
        if not (name == TOTAL and len(units.groups) == 1):  # then the total is that group
            row = {
                **_moments(group, units),
                **_signal(group, units, batch),
                **(_tails(group) if tails else {}),
            }
        _add(columns, row)
    variables = {name: (_dims(name), np.array(values)) for name, values in columns.items()}
    data = xr.Dataset(
        {**variables, **_curvature(curvature, list(groups))},
        {"group": list(groups), "phase": [1, 2, 3]},
        {
            "driftax_version": __version__,
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "units": units.size,
            "unit_size": units.unit_size,
            "data_size": units.data_size or 0,
            "batch": batch,
            "measurements": 1,
            "degrees_of_freedom": units.size - 1,
            "curvature_degrees_of_freedom": curvature.chunks - 1 if curvature else 0,
            **(provenance or {}),
        },
    )
    if tails:
        data = data.assign_coords(fraction=list(FRACTIONS), block=list(BLOCKS))
    return Measurement(with_noise_scale(data))


def _add(columns: Columns, row: Mapping[str, Any]) -> None:
    for name, value in row.items():
        columns.setdefault(name, []).append(value)


def _dims(name: str) -> tuple[str, ...]:
    for part, dim in (("phase_share", "phase"), ("hill", "fraction"), ("block_inverse_dof", "block")):
        if name.startswith(part):
            return ("group", dim)
    return ("group",)


def _pair(name: str, found: Estimate) -> dict[str, float]:
    return {name: found.value, f"{name}_standard_error": found.standard_error}


def _shape(name: str, found: Shape) -> dict[str, float]:
    return {f"{name}_skewness": found.skewness, f"{name}_kurtosis": found.kurtosis}


def _shapes(name: str, found: Sequence[Shape]) -> dict[str, list[float]]:
    return {
        f"{name}_skewness": [one.skewness for one in found],
        f"{name}_kurtosis": [one.kurtosis for one in found],
    }


def _pairs(name: str, found: Sequence[Estimate]) -> dict[str, list[float]]:
    return {
        name: [one.value for one in found],
        f"{name}_standard_error": [one.standard_error for one in found],
    }


def _moments(group: GroupUnits, units: Units) -> dict[str, Any]:
    given = units.unit_size, units.unseen
    found = gradient_moments(group.gram, units.unit_size, units.data_size, units.unseen)
    return {
        "parameters": group.dim,
        **_pair("gradient_norm_squared", found.norm_squared),
        **_pair("covariance_trace", found.covariance_trace),
        **_shape("gradient_norm_squared", found.norm_shape),
        **_shape("covariance_trace", found.trace_shape),
        **_shape("trace_over_norm", found.ratio_shape),
        "norm_trace_covariance": float(found.covariance[0, 1]),
        **(_pair("params_gradient", _along(group.along, units)) if group.along is not None else {}),
        **_pair("noise_deviation_sum", noise_deviation_sum(group.columns, group.dim, *given)),
    }


def _along(values: np.ndarray, units: Units) -> Estimate:
    """Params . grad, the derivative of the loss by the logarithm of the size of the params, which a decay changes."""
    error = math.sqrt(max(units.unseen, 0.0) / len(values)) * float(values.std(ddof=1))
    return Estimate(float(values.mean()), error)


def _signal(group: GroupUnits, units: Units, batch: int) -> dict[str, Any]:
    given = (group.columns, group.dim, units.unit_size, batch, units.unseen)
    ratio = mean_signal_ratio_squared(*given)
    return {
        "silent_share": 1 - float(loud(group.columns).mean()),
        **_pair("signal_ratio_squared", ratio.estimate),
        **_shape("signal_ratio_squared", ratio.shape),
        **_pairs("phase_share", phase_shares(*given)),
    }


def _tails(group: GroupUnits) -> dict[str, Any]:
    columns = group.columns[:, :_TAIL_COLUMNS]
    noise = standardised(columns)
    found = aggregation(columns)
    missing = [Estimate(math.nan, math.nan)] * (len(BLOCKS) - len(found.blocks))
    hills = hill(noise)
    return {
        "scaled_share": noise.shape[1] / columns.shape[1],
        **_pair("inverse_dof", found.inverse_dof[0]),
        **_pairs("block_inverse_dof", [*found.inverse_dof, *missing]),
        **_pair("pooled_inverse_dof", found.pooled),
        **_pairs("hill", [one.estimate for one in hills]),
        **_shapes("hill", [one.shape for one in hills]),
    }


def _curvature(curvature: Curvature | None, groups: list[str]) -> dict[str, Any]:
    if curvature is None:
        return {}
    found: dict[str, Any] = {}
    if curvature.trace:
        unknown = Estimate(math.nan, math.nan)
        rows = _pairs("hessian_trace", [curvature.trace.get(name, unknown) for name in groups])
        found |= {name: ("group", values) for name, values in rows.items()}
    for name, values in (
        ("eigenvalue", curvature.eigenvalues),
        ("preconditioned_eigenvalue", curvature.preconditioned),
    ):
        if values is not None:
            found |= {key: ("rank", row) for key, row in _pairs(name, values.values).items()}
            found[f"{name}_residual"] = ("rank", values.residuals)
            found[f"{name}_of_sample"] = ("rank", values.of_sample)
    if (spread := curvature.spectrum) is not None:
        found |= {f"spectrum_{name}": (dims, getattr(spread, name)) for name, dims in OF_SPECTRUM.items()}
        found["spectrum_preconditioned"] = ((), float(spread.preconditioned))
        for name in ("gradient_norm_squared", "covariance_trace"):
            found |= {k: ((), v) for k, v in _pair(f"preconditioned_{name}", getattr(spread, name)).items()}
    scalars: dict[str, float] = {}
    if (noise := curvature.hessian_covariance_trace) is not None:
        scalars |= _pair("hessian_covariance_trace", noise.estimate)
        scalars |= _shape("hessian_covariance_trace", noise.shape)
    if (share := curvature.edge_share()) is not None:
        scalars |= _pair("edge_share", share)
    found |= {name: ((), value) for name, value in scalars.items()}
    if curvature.edge is not None:
        found["stability_edge"] = ((), curvature.edge)
    return found
