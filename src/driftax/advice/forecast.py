"""What is to be expected of a run, from a measurement and its configuration: numbers, intervals, and their validity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from driftax.advice.linear import Process, after, built_up, effective_rate, floor, floor_gradient
from driftax.advice.local_model import LocalModel, alternatives, errors_of, local_model
from driftax.advice.outcomes import STEPS, Told, carried, descent_of, edge_share
from driftax.advice.refusals import one_setting
from driftax.measurement import Measurement
from driftax.measurement.estimates import Estimate
from driftax.predict._value import Validity, judged
from driftax.scaling.settings import Number, Settings
from driftax.scaling.validity import MOSTLY_NOISE, MOSTLY_SIGNAL

_OURS, _PHASES = "re-derived (the surrogate)", "compagnoni2025, Lemma 3.4"
_NORMAL = 1.96
_SETTLED = 2.0  # gradients of the floor, up to which a run has settled
_LOOKS = 20
_LOCAL_STEPS = 500
_LOCAL = "as long as the loss is a quadratic"


class Forecast(NamedTuple):
    """One number that is to be expected.

    Args:
        key: its name in JSON.
        name: what it is.
        value: the number.
        low, high: ends of its 95 % interval, as far as the measurement's errors go.
        validity: ok, doubtful or out of range.
        reason: what decided the validity, or what the number says.
        source: of the formula.
    """

    key: str
    name: str
    value: float
    low: float
    high: float
    validity: str
    reason: str
    source: str


def forecast(
    found: Measurement, optimizer: Any, *, batch: Number | None = None, steps: int = STEPS
) -> list[Forecast]:
    """Phase, noise level, time scales, stability, and the validity of the equations of order 1 and 2.

    Args:
        found: a measurement with curvature, in the geometry of the optimizer.
        optimizer: of the run: whatever `driftax.scale` takes, a torch optimizer or a mapping of its numbers.
        batch: examples in a step, where the optimizer does not say.
        steps: ahead for which the local quadratic is followed.

    Raises:
        DriftaxError: for a measurement without curvature, or one of another geometry, and for groups of parameters
            with different numbers.

    Source: re-derived; compagnoni2025, Lemma 3.4 (phases).
    """
    settings = one_setting(optimizer, batch)
    model = local_model(found, settings)
    errors, others = errors_of(found, model), alternatives(found, model)

    def told(value: Callable[[LocalModel], float]) -> Estimate:
        return carried(value, model, errors, others)

    return [
        _batch_over_scale(found, settings),
        *_phases(found, settings),
        *_floor(model, told, errors["signal"], settings),
        *_ahead(model, told, settings, steps),
        _edge(told, settings),
        _equation(model, settings, steps, "order 1"),
        _equation(model, settings, steps, "order 2"),
    ]


def _batch_over_scale(found: Measurement, settings: Settings) -> Forecast:
    scale, (low, high) = found.estimate("noise_scale").value, found.noise_scale_interval()
    ratio = settings.batch / scale
    ends = settings.batch / high, settings.batch / low if low > 0 else math.inf
    verdict = "in between, where no rule keeps both descent and noise"
    if (ends[0] <= MOSTLY_NOISE and ends[1] >= MOSTLY_SIGNAL) or math.isnan(ends[0] + ends[1]):
        verdict = "not resolved: more units, or more measurements"
    elif ends[1] <= MOSTLY_NOISE:
        verdict = "noise dominates a step, and the square-root rules hold"
    elif ends[0] >= MOSTLY_SIGNAL:
        verdict = "the gradient dominates a step, and the linear rule of normalised steps holds"
    told = Validity.OK if math.isfinite(ratio) else Validity.DOUBTFUL
    name, source = "batch over gradient noise scale", "mccandlish2018, Appendix A"
    return Forecast("batch_over_scale", name, ratio, *ends, told.value, verdict, source)


def _phases(found: Measurement, settings: Settings) -> list[Forecast]:
    """The mean signal ratio, and the shares of the phases where they were measured at this batch size."""
    growth = float(settings.batch / found.data.attrs["batch"])
    value = growth * found.estimate("signal_ratio_squared").value
    low, high = (growth * end for end in found.interval("signal_ratio_squared"))
    reason = f"at batches of {settings.batch:g}, mean over the parameters"
    rows = [
        Forecast("signal_ratio_squared", "squared signal ratio Y^2", value, low, high, "ok", reason, _PHASES)
    ]
    if growth != 1:
        return rows
    for phase, word in ((1, "signal"), (2, "between"), (3, "noise")):
        value = found.estimate("phase_share", phase=phase).value
        low, high = found.interval("phase_share", phase=phase)
        name = f"share of parameters in phase {phase} ({word})"
        value, low, high = (round(one, 4) for one in (value, max(low, 0.0), min(high, 1.0)))
        rows.append(Forecast(f"phase_{phase}", name, value, low, high, "ok", "", _PHASES))
    return rows


def _floor(model: LocalModel, told: Told, error: float, settings: Settings) -> list[Forecast]:
    """What noise adds to the loss in the end, and whether the run is there already."""
    wobble = told(lambda m: float(floor_gradient(m, settings).sum()))
    signal = float(model.signal.sum())
    share = Estimate(math.nan, math.nan)
    if signal > 0:
        size = wobble.value / signal
        share = Estimate(size, size * math.hypot(_relative(wobble), error / signal))
    verdict, reason = _settled(signal, _NORMAL * error, wobble.value)
    level = told(lambda m: floor(m, settings))
    return [
        _row("floor", "loss that noise keeps above the minimum", level, verdict, reason),
        _row("wobble", "squared gradient of a settled run over the measured one", share, verdict, reason),
    ]


def _settled(signal: float, spread: float, jitter: float) -> tuple[Validity, str]:
    """Whether a squared gradient is that of a settled run, whose jitter it is, with the half-width of its interval."""
    if not math.isfinite(jitter):
        return Validity.OUT_OF_RANGE, "unstable on the quadratic: no law to settle in"
    if signal + spread <= _SETTLED * jitter:
        return Validity.OK, f"settled: the squared gradient is {signal / jitter:.2g} times its jitter"
    if signal - spread > _SETTLED * jitter:
        times = f"{signal / jitter:.2g} times the jitter of a settled run" if jitter > 0 else "all there is"
        return Validity.DOUBTFUL, f"descending: the squared gradient is {times}"
    return Validity.DOUBTFUL, "not resolved whether the run has settled: more units, or more measurements"


def _ahead(model: LocalModel, told: Told, settings: Settings, steps: int) -> list[Forecast]:
    """The next steps, and how long the floor takes to build up."""
    descent = descent_of(told, lambda m: after(m, settings, steps, settings))
    settling = told(lambda m: half_time(m, settings))
    examples = Estimate(*(settings.batch * number for number in settling))
    verdict, known = Validity.OK, _LOCAL
    if steps > _LOCAL_STEPS:
        verdict, known = (
            Validity.DOUBTFUL,
            f"beyond {_LOCAL_STEPS:,} steps the loss is hardly the same quadratic",
        )
    elif abs(descent.value) <= _NORMAL * descent.standard_error:
        verdict, known = (
            Validity.DOUBTFUL,
            "what the gradient has beyond the jitter of a settled run is not resolved",
        )
    elif settings.weight_decay and math.isnan(model.pull):
        verdict, known = Validity.DOUBTFUL, "the pull of the weight decay on the params was not measured"
    name, half = f"loss taken off in {steps:,} steps", "relaxation: half of the floor is reached in"
    return [
        _row("descent", name, descent, verdict, known),
        _row("half_time", f"{half} steps", settling, Validity.OK, _LOCAL),
        _row("half_time_examples", f"{half} examples", examples, Validity.OK, _LOCAL),
    ]


def _edge(told: Told, settings: Settings) -> Forecast:
    share = told(lambda m: edge_share(m, settings))
    row = _row("edge", "largest curvature over the edge of stability", share, Validity.OK, "stable")
    if row.high >= 1:
        row = row._replace(validity="doubtful", reason="at the edge: curvature limits the learning rate")
    if row.low >= 1:
        row = row._replace(validity="out of range", reason="unstable on the quadratic")
    return row._replace(source="cohen2022, eq. (3)")


def _equation(model: LocalModel, settings: Settings, steps: int, order: Process) -> Forecast:
    """The distance of an equation's mean loss from the optimizer's while noise builds up, over the whole of it."""
    looks = sorted({max(1, steps * i // _LOOKS) for i in range(1, _LOOKS + 1)})
    ours = [built_up(model, settings, k) for k in looks]
    theirs = [built_up(model, settings, k, order) for k in looks]
    moved, apart = max(ours), max(abs(a - b) for a, b in zip(ours, theirs, strict=True))
    memory = 1 - settings.b2 if settings.b2 is not None else 0.0
    error = apart / moved if moved > 0 and math.isfinite(moved) else math.inf
    size = effective_rate(model, settings) * float(model.curvature.max())
    reason = f"learning rate times largest curvature = {size:.2g}"
    reason += f", frozen second moment: about 1 - b2 = {memory:.2g} more" if memory else ""
    told = judged(error, error + memory, reason, "litaie2019; re-derived")
    key, name = order.replace(" ", "_"), f"equation of {order}: share by which its noise is off"
    return Forecast(key, name, error, math.nan, math.nan, told.validity.value, reason, told.source)


def half_time(model: LocalModel, settings: Settings) -> float:
    """Steps after which noise has added half of what it adds in the end."""
    target = 0.5 * floor(model, settings)
    if not (math.isfinite(target) and target > 0):
        return math.inf

    def added(steps: int) -> float:
        return built_up(model, settings, steps)

    high = 1
    while added(high) < target:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if added(middle) < target else (low, middle)
    return low + (target - added(low)) / (added(high) - added(low))


def _row(key: str, name: str, found: Estimate, verdict: Validity, reason: str) -> Forecast:
    half = _NORMAL * found.standard_error
    low = found.value - half if math.isfinite(half) else math.nan
    low = max(low, 0.0) if key != "descent" else low
    if not math.isfinite(found.value):
        verdict = Validity.OUT_OF_RANGE
    elif not math.isfinite(half) and verdict is Validity.OK:
        verdict, reason = Validity.DOUBTFUL, "no interval: it reaches the edge of stability"
    return Forecast(key, name, found.value, low, found.value + half, verdict.value, reason, _OURS)


def _relative(one: Estimate) -> float:
    return one.standard_error / one.value if one.value > 0 else 0.0
