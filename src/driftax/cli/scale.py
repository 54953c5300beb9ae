"""`driftax scale`: learning rate, betas, eps and weight decay for another batch size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.forecast import outcomes_json, outcomes_table
from driftax.cli.options import OUTPUT, Output
from driftax.cli.scale_shown import as_json, ramp_table, rules_table
from driftax.cli.show import note, say, show_json, show_tables
from driftax.scaling.configuration import read
from driftax.scaling.ramp import ramp
from driftax.scaling.scale import scale as scaled_by
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Settings, settings_of
from driftax.scaling.snippets import ramp_snippet, snippet

if TYPE_CHECKING:
    from driftax.advice.outcomes import Outcome
    from driftax.measurement import Measurement

_Name = Literal["adam", "adamw", "rmsprop", "rmspropw", "sgd", "signsgd", "signum", "lion"]
_RuleName = Literal[
    "none", "linear", "sqrt", "sqrt-decay", "half-life", "half-life-b1", "time-scale", "noise-scale", "surge"
]


def scale(
    *,
    optimizer: _Name | None = None,
    learning_rate: float | None = None,
    batch: float | None = None,
    to: float | None = None,
    b1: Annotated[float | None, Parameter(name=["--b1", "--momentum"])] = None,
    b2: Annotated[float | None, Parameter(name=["--b2", "--decay"])] = None,
    eps: float | None = None,
    weight_decay: float | None = None,
    weight_decay_form: Literal["decoupled", "l2"] | None = None,
    rule: _RuleName | None = None,
    noise_scale: float | None = None,
    measurement: Path | None = None,
    config: Path | None = None,
    snippet: Literal["torch", "optax", "transformers"] | None = None,
    ramp: str | None = None,
    report: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """New learning rate, betas, eps and weight decay when the batch size changes.

    Every rule there is, with where it holds; or one of them by --rule, refused where it leaves its range. Training is
    compared at equal numbers of examples. Width, depth and length of training are not covered.

    Args:
        optimizer: The optimizer you train with.
        learning_rate: Of your run.
        batch: Examples in a step of your run, over all devices and accumulated micro-batches.
        to: The new batch size, a whole number of examples.
        b1: Decay of the first moment, or momentum (default: that of torch.optim).
        b2: Decay of the second moment; alpha of RMSprop (default: that of torch.optim).
        eps: Beside the square root (default: that of torch.optim).
        weight_decay: As in torch.optim (default: that of torch.optim).
        weight_decay_form: Beside the step or inside the gradient (default: as torch.optim has it).
        rule: One rule instead of all.
        noise_scale: Gradient noise scale of your run in examples: which rule holds then.
        measurement: A file of `driftax measure` or of a NoiseProbe instead: its noise scale, with its interval, and
            where it has curvature, the equation at both batch sizes.
        config: A JSON file instead of flags: keys of a torch parameter group and `optimizer`, or of TrainingArguments.
        snippet: Print code to paste, by --rule.
        ramp: A schedule of batch sizes and the steps they begin at, such as 256:0,1024:10000, by --rule.
        report: Directory in which to write report.html of the measured run (needs the extra `report`).
    """
    flags = {
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "weight_decay": weight_decay,
        "weight_decay_form": weight_decay_form,
    }
    settings = _settings(optimizer, learning_rate, batch, config, flags)
    _check_together(snippet, ramp, report, measurement, output)
    if ramp is not None:
        _answer_ramp(settings, ramp, rule, noise_scale, snippet, output)
        return 0
    if to is None:
        raise DriftaxError("a new batch size", "no --to", "--to 1024")
    loaded = _loaded(measurement, noise_scale)
    interval = None
    if loaded is not None:
        noise_scale, interval = _noise_scale(loaded)
    found = scaled_by(settings, to=to, rule=rule, noise_scale=noise_scale, interval=interval)
    if snippet is not None:
        print(_snippet(found, rule, snippet))
        return 0
    outcomes = [] if loaded is None else _outcomes(loaded, settings, found, report is not None, output)
    if output.json:
        answer: dict[str, Any] = {"rules": [as_json(one) for one in found]}
        show_json(answer | ({"outcomes": outcomes_json(outcomes)} if outcomes else {}))
    else:
        tables = [rules_table(settings, found, interval)]
        show_tables([*tables, *([outcomes_table(outcomes)] if outcomes else [])], output)
    if report is not None and loaded is not None:
        say(str(_report(report, loaded, settings, outcomes)), output)
    return 0


def _check_together(
    snippet: str | None, ramp: str | None, report: Path | None, measurement: Path | None, output: Output
) -> None:
    """Refuses flags that do not go together."""
    if snippet is not None and output.json:
        raise DriftaxError(f"--snippet {snippet}", "--json as well", "one of the two")
    if ramp is not None and measurement is not None:
        raise DriftaxError(f"--ramp {ramp}", "--measurement as well", "--noise-scale with the measured one")
    if report is None:
        return
    for flag, other in (("--ramp", ramp), ("--snippet", snippet)):
        if other is not None:
            raise DriftaxError(f"--report {report}", f"{flag}, which has no page", f"--report without {flag}")
    if measurement is None:
        words = "--measurement FILE of a run with curvature"
        raise DriftaxError(f"--report {report}", "no --measurement", words)


def _outcomes(
    loaded: Measurement, settings: Settings, found: list[Scaled], needed: bool, output: Output
) -> list[Outcome]:
    """What the equation says of every rule; none where the measurement has no curvature, unless they are needed.

    Raises:
        DriftaxError: where they are needed and cannot be had.
    """
    from driftax.advice.outcomes import after_rules

    try:
        return after_rules(loaded, settings, found)
    except DriftaxError as error:
        if needed:
            raise
        note(
            f"Speed and noise floor of each rule are left out: {error.found}. To have them: {error.instead}.",
            output,
        )
        return []


def _report(directory: Path, loaded: Measurement, settings: Settings, rules: list[Outcome]) -> Path:
    from driftax.advice.forecast import forecast
    from driftax.advice.outcomes import after_changes
    from driftax.advice.page import write_run_report

    changes = after_changes(loaded, settings)
    return write_run_report(directory, loaded, settings, forecast(loaded, settings), changes, rules)


def _loaded(measurement: Path | None, noise_scale: float | None) -> Measurement | None:
    """The measurement.

    Raises:
        DriftaxError: beside a noise scale, and for a file that is no measurement.
    """
    if measurement is None:
        return None
    if noise_scale is not None:
        raise DriftaxError("--noise-scale", "--measurement as well", "one of the two")
    from driftax.measurement import Measurement

    return Measurement.load(measurement)


def _noise_scale(found: Measurement) -> tuple[float | None, tuple[float, float]]:
    """The noise scale, or no number where it was not resolved, and its interval."""
    value = found.estimate("noise_scale").value
    return (None if math.isnan(value) else value), found.noise_scale_interval()


def _settings(
    name: str | None, rate: float | None, batch: float | None, config: Path | None, flags: dict[str, Any]
) -> Settings:
    """From a file or from flags.

    Raises:
        DriftaxError: for both or neither, and for a file that cannot be read.
    """
    given = {key for key, value in flags.items() if value is not None} | (
        {"learning_rate"} if rate else set()
    )
    if config is not None:
        if given:
            flag = "--" + sorted(given)[0].replace("_", "-")
            raise DriftaxError(
                f"--config {config}", f"{flag} as well", "the number in the file, or flags alone"
            )
        try:
            values = json.loads(config.read_text())
        except (ValueError, UnicodeDecodeError) as error:
            raise DriftaxError(
                f"--config {config}", f"no JSON: {error}", "an object of keys and numbers"
            ) from None
        if not isinstance(values, dict):
            raise DriftaxError(f"--config {config}", f"a {type(values).__name__}", "an object: {...}")
        return read({"optimizer": name, **values} if name else values, batch)
    for flag, value in (("optimizer", name), ("learning_rate", rate), ("batch", batch)):
        if value is None:
            option = "--" + flag.replace("_", "-")
            example = "--optimizer adamw --learning-rate 1e-3 --batch 256 --to 1024"
            raise DriftaxError("new settings", f"no {option}", example)
    assert name is not None and rate is not None and batch is not None
    return settings_of(name, rate, batch, **flags)


def _snippet(found: list[Scaled], rule: str | None, library: str) -> str:
    if rule is None:
        names = ", ".join(one.rule for one in found)
        raise DriftaxError(f"--snippet {library}", "no --rule", f"--rule with one of {names}")
    return snippet(library, found[0].settings)


def _answer_ramp(
    settings: Settings,
    text: str,
    rule: str | None,
    noise_scale: float | None,
    library: str | None,
    output: Output,
) -> None:
    """A schedule of batch sizes.

    Raises:
        DriftaxError: for words that are no schedule, and without a rule.
    """
    if rule is None:
        raise DriftaxError(f"--ramp {text}", "no --rule", "--rule sqrt, or another one")
    try:
        stages = [
            (float(batch), int(begin)) for batch, begin in (word.split(":") for word in text.split(","))
        ]
    except ValueError:
        raise DriftaxError(f"--ramp {text}", "no schedule", "batch:step, ...: 256:0,512:10000") from None
    found = ramp(settings, stages, rule, noise_scale)
    if library not in (None, "torch"):
        raise DriftaxError(
            f"--ramp with --snippet {library}", "code for torch alone", "--snippet torch, or the table"
        )
    if library:
        print(ramp_snippet(found))
    elif output.json:
        show_json(
            {"stages": [{"begin": s.begin, "examples": s.examples, **as_json(s.scaled)} for s in found]}
        )
    else:
        show_tables([ramp_table(settings, found)], output)
