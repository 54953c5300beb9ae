"""`driftax measure`: what the gradients of a user's model say of its noise."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.environment import prepare
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, progress, show_json, show_tables

_ENTRY = Annotated[str, Parameter(name="ENTRY", help="Your function, as `train.py:probe`.")]


def measure(
    entry: _ENTRY,
    /,
    *,
    batch: int | None = None,
    unit_size: int | None = None,
    data_size: int | None = None,
    curvature: bool = False,
    learning_rate: float | None = None,
    momentum: float | None = None,
    out: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """Gradient noise, noise scale, tails, signal-to-noise and curvature of a model of your own (JAX).

    The function returns `(loss_fn, params, examples)`, with `loss_fn(params, example)` the scalar loss of one
    example and the first axis of every array of `examples` counting them; or a dict of these and of other
    arguments of `driftax.measure`, such as `preconditioner` for the geometry of Adam. For
    PyTorch there is `driftax.torch.NoiseProbe`.

    Args:
        batch: Examples in a step of the optimizer, for signal ratios and phases.
        unit_size: Examples whose gradients are averaged in a unit.
        data_size: Size of the data set the examples were drawn from without replacement.
        curvature: Measure the Hessian, too.
        learning_rate: Of the optimizer, for the edge of stability.
        momentum: Its decay of the first moment.
        out: netCDF file to write.
    """
    flags = {
        "batch": batch,
        "unit_size": unit_size,
        "data_size": data_size,
        "curvature": curvature or None,
        "learning_rate": learning_rate,
        "momentum": momentum,
    }
    _check_out(out)
    prepare()
    from driftax.measurement.of_jax import measure as measured
    from driftax.measurement.table import notes, rows
    from driftax.study.entry import load_entry

    given = _given(entry, load_entry(entry, Path.cwd()))
    given |= {name: value for name, value in flags.items() if value is not None}
    with progress(output) as tell:
        found = measured(**given, progress=tell)
    if out is not None:
        found.save(out)
    if output.json:
        show_json(found.as_dict())
        return 0
    columns, lines = rows(found)
    more = [] if out is None else [str(out)]
    show_tables([Table(f"Gradient noise of {entry}", columns, lines, [*notes(found), *more])], output)
    return 0


def _check_out(out: Path | None) -> None:
    """Refuses a place that cannot be written before the measurement is made."""
    if out is None:
        return
    if out.is_dir() or not out.absolute().parent.is_dir():
        found = "a directory" if out.is_dir() else f"no directory {out.absolute().parent}"
        raise DriftaxError(f"--out {out}", found, "--out FILE.nc in a directory that exists")


def _given(entry: str, function: Any) -> dict[str, Any]:
    """The arguments of `driftax.measure` that a user's function returns."""
    from driftax.measurement.of_jax import measure as measured

    shape = "return loss_fn, params, examples"
    with contextlib.redirect_stdout(sys.stderr):
        try:
            answer = function()
        except Exception as error:
            words = " ".join(str(error).split())[:200]
            raise DriftaxError(
                f"driftax measure {entry}",
                f"{type(error).__name__} in it: {words}",
                f"a function that ends with: {shape}",
            ) from error
    if isinstance(answer, tuple) and len(answer) == 3:
        answer = dict(zip(("loss_fn", "params", "batches"), answer, strict=True))
    if not isinstance(answer, Mapping):
        found = f"a {type(answer).__name__}" + (f" of {len(answer)}" if isinstance(answer, tuple) else "")
        raise DriftaxError(f"driftax measure {entry}", f"{found} returned", shape)
    answer = {("batches" if name == "examples" else name): value for name, value in answer.items()}
    known = [name for name in inspect.signature(measured).parameters if name != "progress"]
    for name in answer:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            instead = f"{near[0]!r}" if near else "one of " + ", ".join(known)
            raise DriftaxError(f"driftax measure {entry}", f"a key {name!r} in the dict it returned", instead)
    missing = [name for name in ("loss_fn", "params", "batches") if name not in answer]
    if missing:
        words = "examples" if missing[0] == "batches" else missing[0]
        raise DriftaxError(f"driftax measure {entry}", f"no {words!r} in the dict it returned", shape)
    if not callable(answer["loss_fn"]):
        found = f"loss_fn of type {type(answer['loss_fn']).__name__}"
        raise DriftaxError(f"driftax measure {entry}", found, "def loss_fn(params, example): ... a scalar")
    return answer
