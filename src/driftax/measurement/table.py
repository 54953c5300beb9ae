"""A measurement as text for people."""

from __future__ import annotations

import math

from driftax.measurement._value import Measurement
from driftax.measurement.estimates import Estimate
from driftax.report.numbers import short, with_error

_SHOWN = 12  # groups


def rows(found: Measurement) -> tuple[list[str], list[list[str]]]:
    """Column names, and a row of words for every parameter group."""
    data = found.data
    columns = ["group", "parameters", "|gradient|^2", "tr Sigma", "noise scale", "95 %", "Y^2"]
    columns += ["phase 1/2/3"]
    tails, traces = "inverse_dof" in data, "hessian_trace" in data
    columns += (["1/dof"] if tails else []) + (["tr H"] if traces else [])
    lines = []
    names = found.groups
    shown = names if len(names) <= _SHOWN else [*names[: _SHOWN - 1], names[-1]]
    for name in shown:
        low, high = found.noise_scale_interval(name)
        scale = found.estimate("noise_scale", name)
        shares = [found.estimate("phase_share", name, phase=phase).value for phase in (1, 2, 3)]
        row = [
            name,
            f"{int(data['parameters'].sel(group=name)):,}",
            number(found.estimate("gradient_norm_squared", name)),
            number(found.estimate("covariance_trace", name)),
            number(scale) if math.isfinite(scale.standard_error) else "not resolved",
            f"{short(low)} to {'∞' if math.isinf(high) else short(high)}",
            number(found.estimate("signal_ratio_squared", name)),
            "/".join(f"{100 * share:.0f}" for share in shares) + " %",
        ]
        if tails:
            row.append(number(found.estimate("inverse_dof", name)))
        if traces:
            row.append(number(found.estimate("hessian_trace", name)))
        lines.append(row)
    return columns, lines


def notes(found: Measurement) -> list[str]:
    """What the table says in sentences, and the numbers of the whole model."""
    data, attrs = found.data, found.data.attrs
    unit = "examples" if attrs["unit_size"] == 1 else f"micro-batches of {attrs['unit_size']} examples"
    lines = [
        f"{attrs['units']} {unit}; {attrs['measurements']} measurement(s); steps of {attrs['batch']} examples"
    ]
    if len(found.groups) > _SHOWN:
        lines.append(f"{_SHOWN} of {len(found.groups)} groups; as_dict() has all")
    scale = found.estimate("noise_scale")
    if not math.isfinite(scale.standard_error):
        lines.append(
            "noise scale not resolved: the mean gradient is not told from 0; more units, or more measurements"
        )
    if "inverse_dof" in data:
        share = 100 * float(data["scaled_share"].sel(group="total"))
        lines.append(f"tails: {found.tail().value} (of the {share:.0f} % of coordinates without an atom)")
    names = {
        "eigenvalue": "largest eigenvalues of H",
        "preconditioned_eigenvalue": "largest eigenvalues of P^-1/2 H P^-1/2",
    }
    for name, words in names.items():
        if name in data:
            values = [found.estimate(name, rank=rank) for rank in range(data.sizes["rank"])]
            lines.append(f"{words}: " + ", ".join(number(value) for value in values))
    if "hessian_covariance_trace" in data:
        lines.append(f"tr(H Sigma): {number(found.estimate('hessian_covariance_trace'))}")
    if "edge_share" in data:
        edge = short(float(data["stability_edge"]))
        of_edge = number(found.estimate("edge_share"))
        lines.append(f"edge of stability: {of_edge} of {edge} (above 1: unstable on the quadratic)")
    return lines


def text(found: Measurement) -> str:
    """The table in columns of even width, then the notes."""
    columns, lines = rows(found)
    cells = [columns, *lines]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    out = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join([out[0], "-" * len(out[0]), *out[1:], *notes(found)])


def number(found: Estimate) -> str:
    """A number with its standard error in parentheses."""
    if math.isnan(found.value):
        return "—"
    return with_error(found.value, found.standard_error)
