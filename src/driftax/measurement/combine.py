"""The mean of several measurements: of a run's course, or of fresh examples at the same params."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from driftax._errors import DriftaxError
from driftax.measurement._value import ERROR, Measurement, with_noise_scale

_NUMBERS = ("unit_size", "batch")


def combine(measurements: Sequence[Measurement]) -> Measurement:
    """Averages measurements whose examples were drawn independently.

    Norms and traces are averaged, and the noise scale is the ratio of their means: the mean of the ratios has
    no expectation. Quantities that not all of them have are left out.

    Args:
        measurements: of the same parameter groups, unit size and batch.

    Raises:
        DriftaxError: if there are none, or they do not belong together.

    Source: mccandlish2018, Appendix A.
    """
    if not measurements:
        raise DriftaxError("combine(measurements)", "no measurements", "a list of one or more")
    first = measurements[0].data
    for other in measurements[1:]:
        _check(first, other.data)
    shared = [str(name) for name in first if all(name in one.data for one in measurements)]
    names = [name for name in shared if not name.startswith("noise_scale")]
    count = len(measurements)
    joined = xr.concat([one.data[names] for one in measurements], "measurement", combine_attrs="drop")
    variables = {}
    for name in names:
        values = joined[name].values
        if name.endswith(ERROR):
            result = np.sqrt((values**2).sum(axis=0)) / count
        elif name == "norm_trace_covariance":
            result = values.sum(axis=0) / count**2
        else:
            result = values.mean(axis=0)
        variables[name] = (first[name].dims, result)
    attrs = {**first.attrs}
    for key in ("measurements", "degrees_of_freedom", "curvature_degrees_of_freedom"):
        attrs[key] = sum(int(one.data.attrs[key]) for one in measurements)
    attrs["until"] = measurements[-1].data.attrs.get("until", measurements[-1].data.attrs["time"])
    return Measurement(with_noise_scale(xr.Dataset(variables, first.coords, attrs)))


def _check(first: xr.Dataset, other: xr.Dataset) -> None:
    pairs: dict[str, tuple[object, object]] = {
        "groups": (list(first["group"].values), list(other["group"].values))
    }
    pairs |= {name: (first.attrs[name], other.attrs[name]) for name in _NUMBERS}
    if "spectrum_preconditioned" in first and "spectrum_preconditioned" in other:
        names = ("plain", "preconditioned")
        one, two = (names[int(data["spectrum_preconditioned"])] for data in (first, other))
        pairs["geometry of curvature"] = one, two
    for name, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise DriftaxError(
                "combine(measurements)", f"{name} {ours} and {theirs}", f"measurements of the same {name}"
            )
