"""A measurement: a thin value around an xarray Dataset."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from driftax._errors import DriftaxError
from driftax.measurement.aggregation import Tail, farthest, verdict
from driftax.measurement.estimates import NORMAL, Estimate, Shape, interval, interval_by_inverse, reaches
from driftax.measurement.noise_scale import noise_scale
from driftax.measurement.phase_shares import LEFT_OUT

ERROR = "_standard_error"
_SHAPE = ("_skewness", "_kurtosis")
_FILE = "a file written by save, or by driftax measure --out"
_HIDDEN = ("norm_trace_covariance", "spectrum_")  # of use to other functions alone


class Measurement:
    """What was measured of a model at fixed params, or the mean of several measurements.

    Args:
        data: dims `group` (parameter groups, and `total`), `phase`, `block` (units averaged), `fraction` (of
            the largest values), `rank` (eigenvalues) and `node` (of the spectrum). Every quantity has a twin that
            ends in `_standard_error`; attrs say where it comes from.
    """

    def __init__(self, data: xr.Dataset):
        self.data = data

    @property
    def groups(self) -> list[str]:
        """The parameter groups, and `total`."""
        return [str(name) for name in self.data["group"].values]

    def estimate(self, quantity: str, group: str | None = "total", **place: Any) -> Estimate:
        """One number and its standard error.

        Args:
            quantity: such as noise_scale, gradient_norm_squared or signal_ratio_squared.
            group: a parameter group; of no use to quantities of the whole model.
            place: `phase`, `block`, `fraction` or `rank`, where the quantity has one.

        Raises:
            DriftaxError: for a quantity or place that was not measured.
        """
        asked = f"measurement.estimate({quantity!r}, {group!r})"
        known = [str(name) for name in self.data if f"{name}{ERROR}" in self.data]
        if quantity not in known:
            raise DriftaxError(asked, f"{quantity!r} was not measured", "one of " + ", ".join(known))
        rows = [self.data[quantity], self.data[quantity + ERROR]]
        if "group" in rows[0].dims:
            place = {**place, "group": group}
        try:
            value, error = (float(row.sel(place)) for row in rows)
        except (KeyError, TypeError, ValueError):
            axes = {dim: self.data[dim].values.tolist() for dim in map(str, rows[0].dims)}
            raise DriftaxError(asked, f"no single number at {place}", f"places of {axes}") from None
        return Estimate(value, error)

    def interval(self, quantity: str, group: str | None = "total", **place: Any) -> tuple[float, float]:
        """The 95 % interval of a number: Student's, or Fieller's for the noise scale.

        Its degrees of freedom are the units less one; for curvature the chunks of examples less one, for shares of
        phases the blocks of units less one. Intervals of norm, covariance trace, noise scale, signal ratio,
        tr(H Sigma) and Hill's index (by its inverse) allow for skewed units.

        Raises:
            DriftaxError: for a quantity or place that was not measured.
        """
        found = self.estimate(quantity, group, **place)
        if quantity == "noise_scale":
            return self.noise_scale_interval(str(group))
        chunked = "eigenvalue" in quantity or "hessian" in quantity or quantity == "edge_share"
        free = self.data.attrs["curvature_degrees_of_freedom" if chunked else "degrees_of_freedom"]
        if quantity == "phase_share":
            free = (LEFT_OUT - 1) * self.data.attrs["measurements"]
        row = self.data.sel(group=group) if "group" in self.data[quantity].dims else self.data
        if quantity == "hill":
            return interval_by_inverse(found, int(free) + 1, _shape(row.sel(place), quantity))
        return interval(found, max(int(free), 1) + 1, _shape(row, quantity))

    def noise_scale_interval(self, group: str = "total") -> tuple[float, float]:
        """The 95 % interval of the noise scale; its upper end is inf where the gradient is not told from 0."""
        self.estimate("noise_scale", group)
        row = self.data.sel(group=group)
        return float(row["noise_scale_low"]), float(row["noise_scale_high"])

    def tail(self, group: str = "total") -> Tail:
        """What the tails of a group's noise look like.

        Raises:
            DriftaxError: if no tails were measured.
        """
        self.estimate("inverse_dof", group)
        row = self.data.sel(group=group)
        found = zip(row["block_inverse_dof"].values, row["block_inverse_dof" + ERROR].values, strict=True)
        kept = [
            (int(m), Estimate(float(a), float(b)))
            for m, (a, b) in zip(row["block"].values, found, strict=True)
            if m == 1 or not math.isnan(a)
        ]
        pooled = self.estimate("pooled_inverse_dof", group)
        hills = zip(row["hill"].values, row["hill" + ERROR].values, strict=True)
        far = farthest([Estimate(float(a), float(b)) for a, b in hills])
        return verdict([m for m, _ in kept], [e for _, e in kept], pooled, far)

    def as_dict(self) -> dict[str, float]:
        """All numbers under flat names such as `noise_scale/total`, for any logger."""
        flat: dict[str, float] = {}
        for name, row in self.data.items():
            if str(name).startswith(_HIDDEN) or str(name).endswith(_SHAPE):
                continue
            for index in np.ndindex(row.shape):
                places = [
                    str(row[dim].values[i]) if dim in row.coords else str(i)
                    for dim, i in zip(row.dims, index, strict=True)
                ]
                flat["/".join([str(name), *places])] = float(row.values[index])
        return flat

    def table(self) -> str:
        """The main numbers as text, standard errors in parentheses."""
        from driftax.measurement.table import text

        return text(self)

    def save(self, path: str | Path) -> Path:
        """Writes a netCDF file (version 3), which `Measurement.load` and any netCDF reader take.

        Raises:
            OSError: if it cannot be written.
        """
        path = Path(path)
        begun = path.with_name(f"{path.name}.{os.getpid()}.part")
        begun.write_bytes(bytes(self.data.to_netcdf(engine="scipy")))
        os.replace(begun, path)  # a half-written file would be read as a whole one
        return path

    @staticmethod
    def load(path: str | Path) -> "Measurement":
        """Reads a file that `save` wrote.

        Raises:
            DriftaxError: if it is not one.
        """
        try:
            with xr.open_dataset(Path(path).read_bytes(), engine="scipy") as found:
                data = found.load()
        except Exception as error:
            words = "no netCDF file (version 3)"
            if isinstance(error, OSError) and error.strerror:
                words = error.strerror.lower()
            raise DriftaxError(f"a measurement from {path}", words, _FILE) from None
        if "gradient_norm_squared" not in data or "group" not in data:
            raise DriftaxError(f"a measurement from {path}", "a netCDF file of something else", _FILE)
        return Measurement(data.assign_coords(group=[str(name) for name in data["group"].values]))

    def __repr__(self) -> str:
        return self.table()


def _shape(row: xr.Dataset, quantity: str) -> Shape:
    """What a unit adds to a quantity; normal where that was not measured."""
    if f"{quantity}_skewness" not in row:
        return NORMAL
    return Shape(float(row[f"{quantity}_skewness"]), float(row[f"{quantity}_kurtosis"]))


def with_noise_scale(data: xr.Dataset) -> xr.Dataset:
    """Adds the noise scale of every group: the ratio of what is there, so that means come before ratios."""
    units = int(data.attrs["degrees_of_freedom"]) + 1
    rows = []
    for index in range(data.sizes["group"]):
        row = data.isel(group=index)
        shared = float(row["norm_trace_covariance"])
        variances = [float(row[name + ERROR]) ** 2 for name in ("gradient_norm_squared", "covariance_trace")]
        covariance = np.array([[variances[0], shared], [shared, variances[1]]])
        trace, norm = float(row["covariance_trace"]), float(row["gradient_norm_squared"])
        rows.append(noise_scale(trace, norm, covariance, reaches(units, _shape(row, "trace_over_norm"))))
    names = ("noise_scale", "noise_scale_standard_error", "noise_scale_low", "noise_scale_high")
    columns = {name: ("group", [row[i] for row in rows]) for i, name in enumerate(names)}
    return data.assign(columns)
