"""`driftax scale`: learning rate, betas, eps and weight decay for another batch size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, show_json, show_tables
from driftax.scaling.configuration import read
from driftax.scaling.ramp import Stage, ramp
from driftax.scaling.scale import scale as scaled_by
from driftax.scaling.scaled import Scaled
from driftax.scaling.settings import Settings, settings_of
from driftax.scaling.snippets import ramp_snippet, snippet

_KEYS = ("learning_rate", "b1", "b2", "eps", "weight_decay")
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
        measurement: A file of `driftax measure` or of a NoiseProbe instead: its noise scale, with its interval.
        config: A JSON file instead of flags: keys of a torch parameter group and `optimizer`, or of TrainingArguments.
        snippet: Print code to paste, by --rule.
        ramp: A schedule of batch sizes and the steps they begin at, such as 256:0,1024:10000, by --rule.
    """
    flags = {
        "b1": b1,
        "b2": b2,
        "eps": eps,
        "weight_decay": weight_decay,
        "weight_decay_form": weight_decay_form,
    }
    settings = _settings(optimizer, learning_rate, batch, config, flags)
    if ramp is not None:
        _answer_ramp(settings, ramp, rule, noise_scale, snippet, output)
        return 0
    if to is None:
        raise DriftaxError("a new batch size", "no --to", "--to 1024")
    noise_scale, interval = _noise_scale(noise_scale, measurement)
    found = scaled_by(settings, to=to, rule=rule, noise_scale=noise_scale, interval=interval)
    if snippet is not None:
        print(_snippet(found, rule, snippet))
    elif output.json:
        show_json({"rules": [_json(one) for one in found]})
    else:
        show_tables([_table(settings, found, interval)], output)
    return 0


def _noise_scale(
    given: float | None, measurement: Path | None
) -> tuple[float | None, tuple[float, float] | None]:
    """The noise scale and its interval, of a measurement if there is one; no number where that did not resolve it.

    Raises:
        DriftaxError: for both, and for a file that is no measurement.
    """
    if measurement is None:
        return given, None
    if given is not None:
        raise DriftaxError("--noise-scale", "--measurement as well", "one of the two")
    from driftax.measurement import Measurement

    found = Measurement.load(measurement)
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


def _json(one: Scaled) -> dict[str, Any]:
    numbers = {key: getattr(one.settings, key) for key in _KEYS}
    told = {"validity": one.validity, "reason": one.reason, "source": one.source}
    return {"rule": one.rule, "kappa": one.kappa, **numbers, **told}


def _table(old: Settings, found: list[Scaled], interval: tuple[float, float] | None) -> Table:
    kappa = found[0].kappa
    shown = [key for key in _KEYS if getattr(old, key) is not None]
    rows = [["now", *(_number(getattr(old, key)) for key in shown), "", ""]]
    rows += [
        [one.rule, *(_number(getattr(one.settings, key)) for key in shown), one.validity, one.reason]
        for one in found
    ]
    title = f"{old.optimizer}, batch {old.batch:g} -> {old.batch * kappa:g} (kappa = {kappa:g}, 1/kappa as many steps)"
    return Table(
        title,
        ["rule", *(key.replace("_", " ") for key in shown), "validity", "because"],
        rows,
        _advice(old, found, interval),
    )


def _advice(old: Settings, found: list[Scaled], interval: tuple[float, float] | None) -> list[str]:
    """For someone who never heard of a stochastic differential equation."""
    names = [one.rule for one in found]
    root = "sqrt-decay" if "sqrt-decay" in names else "sqrt"
    lines = []
    if old.normalised:
        lines += [
            f"If your gradients are mostly noise (small batches, late in training), take {root}; if they are mostly "
            "signal, take linear.",
            "In between no rule keeps both: linear keeps the speed of descent, the square root the level the loss "
            "settles at.",
        ]
    else:
        lines.append("Well below the noise scale take linear; above it a larger batch buys little.")
    if interval is None:
        lines.append(
            "Which it is can be measured: driftax measure, or driftax.torch.NoiseProbe, and --measurement."
        )
    else:
        low, high = interval
        upper = (
            f"to {high:.3g}"
            if math.isfinite(high)
            else "without an upper end: the gradient was not told from 0"
        )
        lines.append(f"The noise scale of the measurement: {low:.3g} {upper} examples (95 %).")
    lines.append("Not covered: width, depth and length of training (muP and CompleteP are for those).")
    return lines


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.5g}"


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
        show_json({"stages": [{"begin": s.begin, "examples": s.examples, **_json(s.scaled)} for s in found]})
    else:
        show_tables([_ramp_table(settings, found)], output)


def _ramp_table(settings: Settings, stages: list[Stage]) -> Table:
    shown = [key for key in _KEYS if getattr(settings, key) is not None]
    rows = [
        [
            str(stage.begin),
            f"{stage.scaled.settings.batch:g}",
            f"{stage.examples:g}",
            *(_number(getattr(stage.scaled.settings, key)) for key in shown),
            stage.scaled.validity,
        ]
        for stage in stages
    ]
    columns = ["from step", "batch", "examples before", *(key.replace("_", " ") for key in shown), "validity"]
    return Table(f"{settings.optimizer}, rule {stages[0].scaled.rule}", columns, rows)
