"""`driftax limits`: which limiting dynamics exponents, or a concrete configuration, lead to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from driftax._errors import DriftaxError
from driftax.cli.environment import prepare
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, say, show_json, show_tables

if TYPE_CHECKING:
    from driftax.limits import Exponents, Limit
    from driftax.limits.configuration import Placement
    from driftax.limits.neighbours import Neighbour

_DIRECTORY = Path("driftax-out") / "limits"
_SYMBOLS = {"noise": "s", "second_moment": "q", "momentum": "q1", "eps": "e"}


@Parameter(name="*")
@dataclass(frozen=True)
class ConfigurationFlags:
    """A concrete configuration; its exponents are those at tau = learning rate.

    Args:
        learning_rate: Learning rate, between 0 and 1.
        b2: beta_2 of the second moment.
        b1: beta_1 of the momentum (left out: RMSprop).
        noise: Standard deviation of one coordinate of a stochastic gradient.
        gradient: Size of one coordinate of its mean (default 1).
        eps: eps, in units of the gradient (default 0).
        same: Factor within which a hyperparameter counts as on a boundary (default 3.16).
    """

    learning_rate: Annotated[float | None, Parameter(name=["--learning-rate", "--lr"])] = None
    b2: float | None = None
    b1: float | None = None
    noise: float | None = None
    gradient: float | None = None
    eps: float | None = None
    same: float | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class ExponentFlags:
    """Exponents of tau.

    Args:
        p: Learning rate tau^p (default 1).
        q: Second moment, 1 - beta_2 = c tau^q.
        s: Gradient noise tau^-s.
        q1: Momentum, 1 - beta_1 = c1 tau^q1 (left out: RMSprop).
        e: eps ~ tau^-e (left out: negligible).
    """

    p: float | None = None
    q: float | None = None
    s: float | None = None
    q1: float | None = None
    e: float | None = None


@Parameter(name="*")
@dataclass(frozen=True)
class Conventions:
    """What the update does.

    Args:
        bias_correction: Whether moments are corrected for their start at 0 (default on with momentum).
        denominator: Which second moment divides.
    """

    bias_correction: Literal["on", "off"] | None = None
    denominator: Literal["updated", "previous"] = "updated"


CONFIGURATION, EXPONENTS, CONVENTIONS = ConfigurationFlags(), ExponentFlags(), Conventions()


def limits(
    *,
    configuration: ConfigurationFlags = CONFIGURATION,
    exponents: ExponentFlags = EXPONENTS,
    conventions: Conventions = CONVENTIONS,
    list_all: Annotated[bool, Parameter(name="--list")] = False,
    out: Path | None = None,
    output: Output = OUTPUT,
) -> int:
    """The limiting dynamics of scaling exponents, or of a configuration, with the phase diagram.

    Give --learning-rate, --b2 and --noise, or the exponents --q and --s.

    Args:
        list_all: List all regions instead.
        out: Directory for the phase diagram (default driftax-out/limits/).
    """
    prepare()
    given = [name for flags in (configuration, exponents) for name, v in vars(flags).items() if v is not None]
    if list_all:
        if given or out is not None:
            found = f"--list beside --{(given or ['out'])[0].replace('_', '-')}"
            raise DriftaxError("a list of all regions", found, "driftax limits --list")
        _show_list(output)
        return 0
    placed, values = _point(configuration, exponents, conventions)
    answer = _answer(placed, values)
    answer["files"] = _draw(placed, values, out)
    if output.json:
        show_json(answer)
    else:
        show_tables(_tables(answer), output)
        say("phase diagram: " + ", ".join(answer["files"]), output)
    return 0


def _point(
    configuration: ConfigurationFlags, exponents: ExponentFlags, conventions: Conventions
) -> tuple[Placement, Any]:
    """The point that is asked for, and the configuration it comes from, if it does."""
    from driftax.limits import Configuration, Exponents, place
    from driftax.limits.configuration import Placement
    from driftax.optimizer import Denominator

    first = next((name for name, v in vars(configuration).items() if v is not None), None)
    second = next((name for name, v in vars(exponents).items() if v is not None), None)
    if first and second:
        found = f"--{first.replace('_', '-')} beside --{second}"
        raise DriftaxError("the limit of a point", found, "a configuration or exponents, not both")
    momentum = configuration.b1 is not None or exponents.q1 is not None
    corrected = momentum if conventions.bias_correction is None else conventions.bias_correction == "on"
    denominator = Denominator(conventions.denominator)
    if second:
        q, s = _needed({"q": exponents.q, "s": exponents.s}, "driftax limits --p 1 --q 1 --s 0")
        p = 1.0 if exponents.p is None else exponents.p
        point = Exponents(p, s, q, exponents.q1, exponents.e, corrected, denominator)
        return Placement(point, point, {}), None
    names = {name: getattr(configuration, name) for name in ("learning_rate", "b2", "noise")}
    learning_rate, b2, noise = _needed(names, "driftax limits --learning-rate 1e-3 --b2 0.999 --noise 1.0")
    gradient = 1.0 if configuration.gradient is None else configuration.gradient
    eps = 0.0 if configuration.eps is None else configuration.eps
    values = Configuration(learning_rate, b2, noise, gradient, configuration.b1, eps, corrected, denominator)
    return (place(values) if configuration.same is None else place(values, configuration.same)), values


def _needed(values: dict[str, float | None], instead: str) -> list[float]:
    missing = [f"--{name.replace('_', '-')}" for name, value in values.items() if value is None]
    if missing:
        raise DriftaxError("the limit of a point", f"no {' and no '.join(missing)}", instead)
    return [value for value in values.values() if value is not None]


def _answer(placed: Placement, values: Any) -> dict[str, Any]:
    from driftax.limits import classify, neighbours

    limit = classify(placed.exponents)
    return {
        "exponents": _exponents_json(placed.exponents),
        "exact_exponents": _exponents_json(placed.exact),
        "constants": placed.constants,
        "limit": _limit_json(limit),
        "time_per_step": values.learning_rate**limit.time_exponent if values else None,
        "neighbours": [_neighbour_json(n, values) for n in neighbours(placed.exponents)],
    }


def _exponents_json(exponents: Exponents) -> dict[str, Any]:
    own = {"p": exponents.learning_rate} | {_SYMBOLS[name]: getattr(exponents, name) for name in _SYMBOLS}
    conventions = {"bias_correction": exponents.bias_correction, "denominator": exponents.denominator.value}
    return own | conventions


def _limit_json(limit: Limit) -> dict[str, Any]:
    mu = None if limit.mu is None else limit.mu.value
    states = {"params": limit.params.value, "mu": mu, "nu": limit.nu.value}
    kept = (
        "equation",
        "latex",
        "time_exponent",
        "clock",
        "noise_exponent",
        "drift_exponent",
        "trivial",
        "note",
    )
    return {
        "name": limit.name,
        "row": limit.row.value,
        "states": states,
        **{name: getattr(limit, name) for name in kept},
        "source": limit.source,
    }


def _neighbour_json(neighbour: Neighbour, values: Any) -> dict[str, Any]:
    at = values.value_at(neighbour.variable, neighbour.at) if values else None
    factor = None
    if values:
        sign = -1 if neighbour.variable in ("noise", "eps") else 1
        factor = values.learning_rate ** (sign * neighbour.distance)
    return {
        "exponent": _SYMBOLS[neighbour.variable],
        "at": neighbour.at,
        "distance": neighbour.distance,
        "hyperparameter": at,
        "factor": factor,
        "on": neighbour.on.name,
        "beyond": neighbour.beyond.name,
    }


def _draw(placed: Placement, values: Any, out: Path | None) -> list[str]:
    """Writes the phase diagram; returns the paths."""
    from driftax.limits import classify, phase_diagram
    from driftax.report._limits_figure import limits_figure
    from driftax.study.files import write_whole
    from driftax.study.results import directory_for

    directory = directory_for("limits", "", _DIRECTORY if out is None else out)
    words = f"{_here(placed, values)}\n{classify(placed.exponents).name}"
    files = limits_figure(phase_diagram(placed.exponents), words)
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for ending, content in files.items():
        path = directory / f"phase_diagram.{ending}"
        write_whole(path, content)
        paths.append(str(path))
    return paths


def _here(placed: Placement, values: Any) -> str:
    if values is None:
        return f"s = {placed.exact.noise:.3g}, q = {placed.exact.second_moment:.3g}"
    noise = f"noise/gradient {values.noise / values.gradient:.3g}"
    return f"learning rate {values.learning_rate:.3g}, b2 {values.b2:.6g}, {noise}"


def _tables(answer: dict[str, Any]) -> list[Table]:
    from driftax.report.numbers import short

    limit, exponents = answer["limit"], answer["exponents"]
    numbers = {
        name: v for name, v in exponents.items() if name in ("p", "s", "q", "q1", "e") and v is not None
    }
    rows = [["exponents", ", ".join(f"{name} = {_number(v)}" for name, v in numbers.items())]]
    moved = {name for name, v in numbers.items() if abs(answer["exact_exponents"][name] - v) > 1e-6}
    if answer["constants"]:
        rows.append(
            ["constants", ", ".join(f"{name} = {short(v)}" for name, v in answer["constants"].items())]
        )
    rows += [["equation", line] for line in limit["equation"].split("; ")]
    rows += [[name, state] for name, state in limit["states"].items() if state is not None]
    rows.append(["clock", limit["clock"]])
    if answer["time_per_step"] is not None:
        rows.append(["time per step", short(answer["time_per_step"])])
    rows.append(["noise per unit time", f"tau^{limit['noise_exponent']:.3g}"])
    rows.append(["trivial", "yes" if limit["trivial"] else "no"])
    if limit["note"]:
        rows.append(["holds", limit["note"]])
    rows.append(["source", limit["source"]])
    notes = [
        "f: gradient; Sigma: covariance of one stochastic gradient in units of tau^(-2s), Sigma_d its diagonal."
    ]
    for name in sorted(moved):
        exact = _number(answer["exact_exponents"][name])
        notes.append(
            f"{name} = {exact} counts as {_number(numbers[name])}: the line is within the factor of --same."
        )
    first = Table(limit["name"], ["what", "limit"], rows, notes)
    return [first, _neighbour_table(answer["neighbours"])]


def _neighbour_table(neighbours: list[dict[str, Any]]) -> Table:
    from driftax.report.numbers import short

    concrete = any(n["factor"] is not None for n in neighbours)
    names = {"s": "noise", "q": "1 - b2", "q1": "1 - b1", "e": "eps"}
    rows = []
    for n in neighbours:
        place = "here" if n["distance"] == 0 else f"{n['distance']:+.3g}"
        row = [f"{n['exponent']} = {_number(n['at'])}", place]
        if concrete:
            row += [f"{names[n['exponent']]} = {short(n['hyperparameter'])}", f"x {short(n['factor'])}"]
        rows.append([*row, n["on"], n["beyond"] if n["beyond"] != n["on"] else ""])
    columns = ["boundary", "away", *(["there", "factor"] if concrete else []), "on it", "beyond"]
    return Table("What stands near", columns, rows)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _show_list(output: Output) -> None:
    from driftax.limits.regions import momentum_regions, second_moment_regions

    groups = {"second_moment": second_moment_regions(), "momentum": momentum_regions()}
    if output.json:
        rows = {
            name: [{"condition": region.condition, **_limit_json(region.limit)} for region in regions]
            for name, regions in groups.items()
        }
        show_json(rows)
        return
    titles = {
        "second_moment": "Noise and memory of the second moment (learning rate tau^p, one step is tau^r)",
        "momentum": "Momentum, 1 - beta_1 = c1 tau^q1 (the same in the other rows and memories)",
    }
    columns = ["where", "limit", "r", "equation"]
    show_tables(
        [
            Table(
                titles[name],
                columns,
                [[r.condition, r.limit.name, _clock(r.condition), r.limit.equation] for r in regions],
            )
            for name, regions in groups.items()
        ],
        output,
    )


def _clock(condition: str) -> str:
    """The exponent r in symbols, for a row of the list."""
    if condition.startswith("e >"):
        return "p + e" if ">" in condition.split(",")[-1] else "2(p - s + e)"
    row = condition.split(",")[0]
    return {"s < 0": "p", "s = 0": "p", "0 < s < p": "p + s"}.get(row, "2p")
