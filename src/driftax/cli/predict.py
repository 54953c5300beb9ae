"""`driftax predict`: closed-form predictions on a quadratic, each with its validity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.forecast import answer_forecast
from driftax.cli.options import OUTPUT, Output, between, whole
from driftax.cli.show import Table, show_json, show_tables

if TYPE_CHECKING:
    from driftax.predict import Prediction
    from driftax.predict.problem import Problem

_SHOWN = 8  # coordinates in a table; all of them are in the JSON
_STUDY = Annotated[Path | None, Parameter(name="STUDY", help="Study file (TOML) instead of the flags.")]


def predict(
    study: _STUDY = None,
    /,
    *,
    optimizer: Literal["sgd", "signsgd", "rmsprop", "rmspropw", "adam", "adamw"] | None = None,
    learning_rate: float | None = None,
    curvature: list[float] | None = None,
    noise: list[float] | None = None,
    batch: float | None = None,
    b1: float | None = None,
    b2: float | None = None,
    eps: float | None = None,
    weight_decay: float | None = None,
    weight_decay_form: Literal["decoupled", "l2"] | None = None,
    minimum: list[float] | None = None,
    gradient: list[float] | None = None,
    dof: float | None = None,
    measurement: Path | None = None,
    steps: Annotated[
        int | None, Parameter(converter=whole, validator=between(1.0, 1e9, "a whole number of 1 or more"))
    ] = None,
    report: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """Phases, stationary mean, variance and loss, relaxation times, bounds and tails on a quadratic, or on your model.

    A flag that takes one number per coordinate is repeated: --curvature 1 --curvature 2. From a study file are
    taken the optimizer, a quadratic with a diagonal hessian, the noise, and the gradient at the start. From a
    --measurement with curvature (driftax measure, NoiseProbe) comes what is to be expected of your run: what limits it,
    how long it takes to settle, whether its equations are valid, and what a change of one number would do.

    Args:
        optimizer: The update rule; a trailing w is the same rule.
        learning_rate: Above 0.
        curvature: Eigenvalue of the Hessian, once per coordinate.
        noise: Scale of the noise of ONE gradient (the standard deviation, if Gaussian): one, or one per coordinate.
        batch: Gradients averaged in a step (default 1); not with --dof.
        b1: Decay of the first moment (Adam; default 0.9).
        b2: Decay of the second moment (Adam: default 0.999; RMSprop: 0.99).
        eps: Beside the square root (default 1e-8).
        weight_decay: PyTorch's convention (default 0).
        weight_decay_form: Beside the step, or inside the gradient (default decoupled).
        minimum: Of the loss: one, or one per coordinate (default 0).
        gradient: Of the loss, for the phases: one, or one per coordinate (default: that of the stationary law).
        dof: Degrees of freedom of Student-t noise (default: Gaussian).
        measurement: A file of driftax measure or of a NoiseProbe, instead of curvature and noise.
        steps: Ahead of the measurement (default 100).
        report: Directory in which to write report.html of the measured run (needs the extra `report`).
    """
    given: dict[str, Any] = {
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "curvature": curvature,
        "noise": noise,
        "batch": batch,
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "weight_decay": weight_decay,
        "weight_decay_form": weight_decay_form,
        "minimum": minimum,
        "dof": dof,
    }
    flags = {name: value for name, value in given.items() if value is not None}
    if measurement is not None:
        if study is not None:
            raise DriftaxError("a prediction", "both a study file and --measurement", "one of the two")
        flags = flags if gradient is None else {**flags, "gradient": gradient}
        answer_forecast(measurement, flags, steps, report, output)
        return 0
    for flag, value in (("--steps", steps), ("--report", report)):
        if value is not None:
            raise DriftaxError(f"a prediction with {flag}", "no --measurement", f"{flag} with a measured run")
    if study is not None:
        flags = _from_study(study, flags)
    _answer(flags if gradient is None else {**flags, "gradient": gradient}, output)
    return 0


def _answer(flags: dict[str, Any], output: Output) -> None:
    """Predicts and prints.

    Raises:
        DriftaxError: where a number that is needed is not there.
    """
    from driftax.predict.problem import Problem, predictions

    for name in ("optimizer", "learning_rate", "curvature", "noise"):
        if name not in flags:
            flag = "--" + name.replace("_", "-")
            raise DriftaxError("a prediction", f"no {flag}", f"{flag} with a value, or a study file")
    problem = Problem(**flags)
    found = predictions(problem)
    if output.json:
        show_json({"optimizer": problem.optimizer, **{part: _rows(found[part]) for part in found}})
    else:
        show_tables([_table(part, found[part], problem) for part in found if found[part]], output)


def _from_study(path: Path, flags: dict[str, Any]) -> dict[str, Any]:
    """The problem of a study file.

    Raises:
        DriftaxError: if flags are given too, or the study has no closed-form prediction.
    """
    if flags:
        flag = "--" + next(iter(flags)).replace("_", "-")
        raise DriftaxError(
            "a prediction", f"both a study file and {flag}", "one of the two (--gradient may go with both)"
        )
    from driftax.cli.environment import prepare

    prepare()
    from driftax.study.quadratic import quadratic_numbers
    from driftax.study.spec import load_study

    return quadratic_numbers(load_study(path))


# --- how it is shown ---------------------------------------------------------------------------------------


def _rows(found: dict[str, Prediction]) -> list[dict[str, Any]]:
    """Predictions in the keys of the JSON; a value of several parts is spread over its names."""
    rows = []
    for name, told in found.items():
        parts = told.value._asdict() if hasattr(told.value, "_asdict") else {"value": told.value}
        verdict = {"validity": told.validity.value, "reason": told.reason, "source": told.source}
        rows.append({"name": name, **parts, **verdict})
    return rows


def _table(part: str, found: dict[str, Prediction], problem: Problem) -> Table:
    rows = _rows(found)
    keys = [key for key in rows[0] if key not in ("name", "validity", "reason", "source")] if rows else []
    cells = [
        [row["name"], *(_cell(row[key]) for key in keys), row["validity"], row["reason"]] for row in rows
    ]
    notes = [] if problem.dim <= _SHOWN else [f"{_SHOWN} of {problem.dim} coordinates; --json has all"]
    if part == "stationary":
        notes.append("ok: an estimated error of 5 % at most; doubtful: of 25 % at most.")
    titles = {
        "phases": "Phases (1: signal, 3: noise), per unit of step * learning rate",
        "stationary": "Stationary law, and expected loss above the minimum",
        "relaxation": "Steps in which the mean falls by e",
        "bounds": "Bounds on the loss as time goes on",
        "tails": "Tails",
    }
    return Table(
        titles[part], ["", *(key.replace("_", " ") for key in keys), "validity", "because"], cells, notes
    )


def _cell(value: Any) -> str:
    import numpy as np

    from driftax.report.numbers import short

    numbers = np.atleast_1d(np.asarray(value, dtype=float))
    words = ["∞" if number == np.inf else short(float(number)) for number in numbers[:_SHOWN]]
    if len(set(words)) == 1:
        words = words[:1]
    return " ".join(words) + (" …" if len(numbers) > _SHOWN and len(words) > 1 else "")
