"""The study file: one TOML table per noun, read into a frozen `Study` or refused in three parts.

The keys are those of the command line's documentation. [compare] takes more, all optional:

* `scheme`: "splitting", "weak-2" or "euler-maruyama"; left out, the run chooses by the size of the noise.
* `substeps`: integration steps per optimizer step (whole number, 1 or more); left out, the run chooses.
* `extrapolate`: whether members are integrated with twice the substeps too, and extrapolated (default true); if not,
  a small ensemble of its own bounds the integrator's bias.
* `controls`: whether mean-zero controls remove noise from second moments, where they exist (default true).
* `precision`: "float64" (default) or "float32", of the members.
* `randomness`: "counter" (default), "fast" or "sobol": where normals come from.
* `coordinates`: "natural" (default), or "log": the models carry second moments as logarithms.
* `method`: "finite-step" (default) or "taylor": how the models' coefficients are found.
* `pool`: stochastic gradients drawn afresh per step where the models' noise is resampled from the law.

[optimizer] takes NUMBER_schedule beside learning_rate, weight_decay and every beta, such as
`learning_rate_schedule = {name = "cosine", steps = 100, end = 0.1}`: a factor on the number (a beta: on 1 - beta)
as a function of the steps of rung 1, one of constant (`factor`), linear (`steps`, `end`), polynomial (and
`power`), cosine (`steps`, `end`), exponential (`steps`, `rate`) and warmup_cosine (`warmup`, `steps`, `start`, `end`).
[start] takes `params` and any other vector of the optimizer's state by its name.

`observables` are `loss`, the squared norm `SLOT_sq` of a slot of the state (`params_sq`, `mu_sq`, `nu_sq`)
and one of its entries, `SLOT[i]`; of a network also `accuracy`, `test_loss` and `test_accuracy`.
"""

from __future__ import annotations

import difflib
import inspect
import re
import tomllib
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import optax
from pydantic import ValidationError

from driftax._errors import DriftaxError
from driftax.optimizer.from_optax import optax_by_name
from driftax.optimizer.optax_aliases import ALIASES, REFUSED
from driftax.regime import Regime
from driftax.study._value import Study as Study
from driftax.study.check import MOMENTS, checked, named_build
from driftax.study.messages import QUOTED, nearest, refuse_name, shown
from driftax.study.sections import (
    LAWS,
    LIST,
    NOISES,
    OBJECTIVES,
    OPTIMIZERS,
    SCHEDULE,
    SCHEDULES,
    CompareSection,
    OptaxSection,
    RegimeSection,
    Section,
    StartSection,
)

_SECTIONS = ("seed", "objective", "noise", "optimizer", "start", "regime", "compare")
_EXAMPLES = {
    "objective": 'name = "quadratic" and hessian = [[1.0]]',
    "noise": 'name = "gaussian" and covariance = 0.25',
    "optimizer": 'name = "rmsprop" and learning_rate = 0.01',
    "regime": 'name = "ballistic" and ladder = [1.0, 0.5, 0.25]',
}


def load_study(path: str | Path) -> Study:
    """The study a file describes.

    Raises:
        DriftaxError: if the file cannot be read, has unknown or missing keys, values of a wrong type or
            out of range, or sections that do not fit each other. It names the file and the key.
    """
    return read_study(path, read_text(path))


def read_study(path: str | Path, text: str) -> Study:
    """The study of a file's text; the files it names are looked for beside the file.

    Raises:
        DriftaxError: as `load_study` does.
    """
    path = Path(path)
    table = _table_of(path, text)
    try:
        return checked(_study(path, table))
    except DriftaxError as error:
        raise DriftaxError(f"{path}: {error.asked}", error.found, error.instead) from error


# --- the file ----------------------------------------------------------------------------------------------


def read_text(path: str | Path) -> str:
    """The text of a study file.

    Raises:
        DriftaxError: if it cannot be read.
    """
    path = Path(path)
    asked = f"the study file {path}"
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        folder = path.parent
        others = sorted(str(p) for p in folder.glob("*.toml")) if folder.is_dir() else []
        near = difflib.get_close_matches(str(path), others, n=1)
        raise DriftaxError(asked, "no such file", near[0] if near else "the path of a study file") from None
    except OSError as error:
        raise DriftaxError(
            asked, (error.strerror or str(error)).lower(), "the path of a study file"
        ) from None
    except UnicodeDecodeError as error:
        raise DriftaxError(asked, f"bytes that are not UTF-8 ({error.reason})", "a TOML text file") from None


def _table_of(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        number = re.search(r"at line (\d+)", str(error))
        lines = text.splitlines()
        line = int(number[1]) if number else len(lines)
        shown = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        raise DriftaxError(
            f"the study file {path}",
            f"TOML that cannot be read: {error}",
            f"valid TOML in line {line}: {shown}",
        ) from None


def _study(path: Path, table: dict[str, Any]) -> Study:
    for key in table:
        if key not in _SECTIONS:
            place = f"section [{key}]" if isinstance(table[key], dict) else f"key {key}"
            raise DriftaxError(place, f"an unknown {place}", nearest(key, _SECTIONS, "{}"))
    seed = table.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise DriftaxError("seed", f"seed = {shown(seed)}", "seed = a whole number of 0 or more")
    start, compare = table.get("start", {}), table.get("compare")
    optimizer = _named(table, "optimizer", OPTIMIZERS)
    return Study(
        path=path,
        seed=seed,
        objective=_named(table, "objective", OBJECTIVES).beside(path.parent),
        noise=_named(table, "noise", NOISES).beside(path.parent),
        optimizer=optimizer,
        start=_start(start, optimizer),
        regime=_section(RegimeSection, _table(table, "regime"), "regime"),
        compare=None if compare is None else _section(CompareSection, compare, "compare"),
    )


def _table(table: dict[str, Any], section: str) -> Any:
    if section not in table:
        raise DriftaxError(
            f"[{section}]", "a study file without this section", f"[{section}] with {_EXAMPLES[section]}"
        )
    return table[section]


def _named(table: dict[str, Any], section: str, classes: dict[str, type[Section]]) -> Any:
    """A section whose keys depend on its `name`."""
    values = _table(table, section)
    known = list(classes)
    if section == "optimizer":
        known += [f"optax.{name}" for name in ALIASES]
    if not isinstance(values, dict) or "name" not in values:
        found = "no name" if isinstance(values, dict) else f"{section} = {shown(values)}"
        raise DriftaxError(f"[{section}] name", found, f"[{section}] with {_EXAMPLES[section]}")
    name = values["name"]
    if isinstance(name, str) and name.removeprefix("optax.") in REFUSED and name.startswith("optax."):
        optax_by_name(name.removeprefix("optax."), {}, Regime.BALLISTIC)  # refuses, and says why
    if name not in known:
        refuse_name(f"[{section}] name", name, known)
    if name in classes:
        return _section(classes[name], _with_tables(classes[name], values, section), section)
    _check_optax(name, values)
    return _section(OptaxSection, values, section)


def _with_tables(model: type[Section], values: dict[str, Any], section: str) -> dict[str, Any]:
    """The values with every table inside the section read: schedules, and the law of a worker."""
    read = dict(values)
    for key in values.keys() & model.model_fields.keys():
        if key.endswith(SCHEDULE):
            example = f'{key} = {{name = "cosine", steps = 100, end = 0.1}}'
            read[key] = _inner(section, key, values[key], SCHEDULES, example)
        elif key == "law":
            example = 'law = {name = "gaussian", covariance = 0.25}'
            read[key] = _inner(section, key, values[key], LAWS, example)
    return read


def _inner(section: str, key: str, values: Any, classes: dict[str, type[Section]], example: str) -> Section:
    if not isinstance(values, dict) or "name" not in values:
        found = "no name" if isinstance(values, dict) else f"{key} = {shown(values)}"
        raise DriftaxError(f"[{section}] {key}", found, example)
    name = values["name"]
    if name not in classes:
        refuse_name(f"[{section}] {key}.name", name, classes)
    return _section(classes[name], values, section, f"{key}.")


def _start(values: Any, optimizer: Any) -> StartSection:
    """The start; its vectors are named by the optimizer's state."""
    if isinstance(values, dict):
        built = named_build("[optimizer]", lambda: optimizer.build(Regime.BALLISTIC))
        known = (*built.slots, *(key for key in StartSection.model_fields if key not in built.slots))
        for key in values:
            if key not in (*known, *MOMENTS):
                found = f'unknown key: {key}; the state of "{optimizer.name}" is {", ".join(built.slots)}'
                raise DriftaxError(f"[start] {key}", found, nearest(key, known, "{}"))
    return _section(StartSection, values, "start")


def _check_optax(name: str, values: dict[str, Any]) -> None:
    """Refuses keywords that no table says how to move along the ladder."""
    short = name.removeprefix("optax.")
    parameters = inspect.signature(getattr(optax, short)).parameters
    numbers = tuple(ALIASES[short].roles)
    flags = tuple(key for key, parameter in parameters.items() if isinstance(parameter.default, bool))
    for key, value in values.items():
        asked = f"[optimizer] {key}"
        if key == "name":
            continue
        if key in parameters and key not in numbers + flags:
            raise DriftaxError(
                asked,
                f"{name}({key}=...): how {key} moves along the ladder is not known",
                "one of " + ", ".join(numbers + flags) + "; or from_optax(family) in Python",
            )
        if key not in parameters:
            raise DriftaxError(asked, f"unknown key: {key}", nearest(key, numbers + flags, "{}"))
        whole = isinstance(value, bool)
        if whole != (key in flags) or not isinstance(value, int | float) or abs(value) == float("inf"):
            wanted = "true or false" if key in flags else "a finite number"
            raise DriftaxError(asked, f"{key} = {shown(value)}", f"{key} = {wanted}")


_S = TypeVar("_S", bound=Section)


def _section(model: type[_S], values: Any, section: str, inside: str = "") -> _S:
    if not isinstance(values, dict):
        raise DriftaxError(f"[{section}]", f"{section} = {shown(values)}", f"a table: [{section}]")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        # A misspelt key is often also a missing one: the misspelling is what to name.
        first = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
        _refuse_value(model, first, f"[{section}] {inside}")


def _refuse_value(model: type[Section], problem: Any, place: str) -> NoReturn:
    key, *indices = problem["loc"]
    asked = f"{place}{key}"
    fields = model.model_fields
    if problem["type"] == "extra_forbidden":
        raise DriftaxError(asked, f"unknown key: {key}", nearest(str(key), fields, "{}"))
    wanted = f"{key} = {fields[key].description if key in fields else LIST}"
    if problem["type"] == "missing":
        raise DriftaxError(asked, f"no {key}", wanted)
    entry = str(key) + "".join(f"[{i}]" for i in indices)
    if problem["type"] in ("rank", "ragged", "empty", "entry"):
        raise DriftaxError(asked, f"{entry}: {problem['msg']}", wanted)
    found = f"{entry} = {shown(problem['input'])}"
    if "literal" in problem["type"]:
        options = re.findall(r"'([^']*)'", problem["ctx"]["expected"])
        wanted = f"{key} = {nearest(str(problem['input']), options, QUOTED)}"
    raise DriftaxError(asked, found, wanted)
