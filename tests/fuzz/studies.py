"""Random study files: each is answered or refused in three parts, never a traceback, never an unreported NaN.

    python tests/fuzz/studies.py --count 10000 --seed 0

A file is a valid study of random parts with a few random faults (wrong types, sizes, ranges, names, missing and
misspelt keys). What loads must give finite order-1 coefficients at its start or be refused by `driftax derive`;
one file in `--whole` runs through the command line whole.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import copy
import io
import json
import math
import sys
import tempfile
import time
import traceback
from pathlib import Path

import numpy as np

EXTREMES = [
    0,
    -1,
    1,
    2,
    1e-300,
    1e300,
    -0.5,
    0.999999,
    1.0,
    1.5,
    float("nan"),
    float("inf"),
    -float("inf"),
    10**30,
]
ODD = [
    *EXTREMES,
    True,
    False,
    "",
    "adam",
    [],
    [1.0],
    [[1.0]],
    [[1.0, 2.0], [3.0]],
    ["a"],
    {},
    {"name": "x"},
    "π",
]


def study(rng: np.random.Generator) -> dict:
    """A study of random parts that fit each other."""
    dim = int(rng.integers(1, 4))
    objective, dim = _objective(rng, dim)
    optimizer, slots = _optimizer(rng)
    start = {"params": rng.normal(size=dim).round(3).tolist()}
    for slot in slots:
        if rng.random() < 0.8:
            values = rng.normal(size=dim) if slot == "mu" else rng.uniform(0.1, 2, size=dim)
            start[slot] = values.round(3).tolist()
    if rng.random() < 0.2:
        start = {"params": start["params"], "handover": int(rng.integers(1, 9))}
    table = {
        "seed": int(rng.integers(0, 100)),
        "objective": objective,
        "noise": _noise(rng, dim, objective["name"]),
        "optimizer": optimizer,
        "start": start,
        "regime": {
            "name": str(rng.choice(["ballistic", "batch-equivalent"])),
            "ladder": [1.0, 0.5, 0.25][: int(rng.integers(1, 4))],
        },
    }
    if rng.random() < 0.7:
        observables = ["loss", "params_sq", "params[0]", *(f"{slot}_sq" for slot in slots)]
        table["compare"] = {
            "steps": int(rng.choice([4, 8])),
            "models": [str(m) for m in rng.choice(["ode", "derived-1", "derived-2"], size=2)],
            "observables": [str(o) for o in rng.choice(observables, size=2)],
            "members": 64,
        }
    return table


def _objective(rng, dim: int) -> tuple[dict, int]:
    match str(rng.choice(["quadratic", "quadratic", "rosenbrock", "saddle", "double_well", "polynomial"])):
        case "quadratic":
            root = rng.normal(size=(dim, dim))
            return {"name": "quadratic", "hessian": (root @ root.T).round(3).tolist()}, dim
        case "rosenbrock":
            return {"name": "rosenbrock", "dim": max(dim, 2)}, max(dim, 2)
        case "saddle":
            return {"name": "saddle"}, 2
        case "double_well":
            return {"name": "double_well", "dim": dim}, dim
        case _:
            return {"name": "polynomial"}, 1


def _noise(rng, dim: int, objective: str) -> dict:
    names = ["gaussian", "gaussian", "student_t", "skewed", "minibatch", "mixture"]
    name = str(rng.choice(names))
    if name == "minibatch" and objective != "polynomial" and rng.random() < 0.9:
        name = "gaussian"
    match name:
        case "student_t":
            return {"name": name, "scale": 0.5, "dof": float(rng.choice([0.5, 1, 2, 3, 5, 9]))}
        case "skewed":
            return {"name": name, "variance": 0.5, "skewness": float(rng.choice([-1.0, 0.5, 2.0]))}
        case "minibatch":
            return {"name": name, "batch_size": 8}
        case "mixture":
            return {"name": name, "weights": [0.9, 0.1], "deviations": [1.0, 5.0]}
        case _:
            root = rng.normal(size=(dim, dim)) * 0.5
            shapes = [0.5, rng.uniform(0.1, 1, dim).round(3).tolist(), (root @ root.T).round(4).tolist()]
            return {"name": "gaussian", "covariance": shapes[int(rng.integers(3))]}


_OWN = {
    "sgd": ([], {}),
    "momentum": (["mu"], {"decay": 0.75}),
    "signsgd": ([], {}),
    "signum": (["mu"], {"decay": 0.75}),
    "lion": (["mu"], {"b1": 0.5, "b2": 0.875}),
    "adagrad": (["nu"], {"eps": 0.1}),
    "rmsprop": (["nu"], {"decay": 0.875, "eps": 0.1}),
    "adam": (["mu", "nu"], {"b1": 0.75, "b2": 0.875, "eps": 0.1}),
    "amsgrad": (["mu", "nu", "nu_max"], {"b1": 0.75, "b2": 0.875, "eps": 0.1}),
    "nadam": (["mu", "nu"], {"b1": 0.75, "b2": 0.875, "eps": 0.1}),
    "radam": (["mu", "nu"], {"b1": 0.75, "b2": 0.875, "eps": 0.1}),
    "optax.adamw": (["mu", "nu"], {"b1": 0.75, "weight_decay": 0.1}),
    "optax.lion": (["mu"], {}),
    "optax.lamb": (["mu", "nu"], {}),
    "optax.sign_sgd": ([], {}),
    "optax.lbfgs": ([], {}),
    "optax.adagrad": ([], {}),
}


def _optimizer(rng) -> tuple[dict, list[str]]:
    name = str(rng.choice(list(_OWN)))
    slots, numbers = _OWN[name]
    table = {"name": name, "learning_rate": float(rng.choice([0.25, 0.1, 0.01])), **numbers}
    if not name.startswith("optax."):
        if rng.random() < 0.3:
            table["weight_decay"] = 0.1
            table["weight_decay_form"] = str(rng.choice(["decoupled", "l2"]))
        if rng.random() < 0.2:
            table["learning_rate_schedule"] = {"name": "cosine", "steps": 40}
    return table, slots


def spoil(table: dict, rng: np.random.Generator) -> dict:
    """The study with zero to three faults."""
    for _ in range(int(rng.choice([0, 1, 1, 2, 3]))):
        section = table[str(rng.choice(list(table)))] if rng.random() < 0.9 else table
        if not isinstance(section, dict) or not section:
            continue
        key = str(rng.choice(list(section)))
        odd = copy.deepcopy(ODD[int(rng.integers(len(ODD)))])
        match int(rng.integers(6)):
            case 0:
                del section[key]
            case 1:
                section[key + "s"] = section.pop(key)
            case 2 if isinstance(section[key], list) and section[key]:
                section[key] = [*section[key], odd] if rng.random() < 0.5 else section[key][1:]
            case 3 if isinstance(section[key], list) and section[key]:
                section[key][int(rng.integers(len(section[key])))] = odd
            case 4 if isinstance(section[key], int | float):
                section[key] = EXTREMES[int(rng.integers(len(EXTREMES)))]
            case _:
                section[key] = odd
    return table


def toml(table: dict) -> str:
    """The study as text; values that TOML does not know are written as they are."""
    plain = {key: value for key, value in table.items() if not isinstance(value, dict)}
    lines = [f"{key} = {_value(value)}" for key, value in plain.items()]
    for section, values in table.items():
        if isinstance(values, dict):
            lines += [f"[{section}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _value(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {_value(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_value(inner) for inner in value) + "]"
    return json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")


def outcome(path: Path, whole: bool) -> str:
    """What becomes of one file: a word; an exception that is no DriftaxError is let through."""
    from driftax import DriftaxError
    from driftax.cli.main import main

    if not whole:
        try:
            return "finite" if _finite(path) else _by_command(main, path)
        except DriftaxError as error:
            assert error.asked and error.found and error.instead
            return "refused"
    return _by_command(main, path)


def _by_command(main, path: Path) -> str:
    """`driftax derive --order 1 --json`: finite numbers, or exit code 2 with three parts."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["derive", str(path), "--order", "1", "--json"])
        except SystemExit as end:
            code = end.code
    if code == 2:
        text = " ".join(err.getvalue().split())
        assert all(word in text for word in ("asked", "found", "instead")) and "Traceback" not in text, text
        return "refused"
    assert code in (0, None), (code, err.getvalue())
    answer = json.loads(out.getvalue())
    assert all(math.isfinite(x) for x in answer["drift"]), answer
    assert all(math.isfinite(x) for row in answer["covariance"] for x in row), answer
    return "finite"


def _finite(path: Path) -> bool:
    from driftax.compiler.step_moments import step_moments
    from driftax.equation import derive
    from driftax.study.build import build_chain, state_to_look_at
    from driftax.study.spec import load_study

    study = load_study(path)
    chain = build_chain(study)
    z, step = state_to_look_at(study, chain)
    derive(chain, weak_order=1)
    moments = step_moments(chain, step, z, 3)
    return bool(np.all(np.isfinite(moments.mean)) and np.all(np.isfinite(moments.covariance())))


def run(count: int, seed: int, whole: int, folder: Path) -> tuple[collections.Counter, list[str]]:
    """The outcomes of `count` files, and the failures with their files."""
    seen, failures = collections.Counter(), []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        text = toml(spoil(study(rng), rng))
        if rng.random() < 0.02:
            cut = int(rng.integers(len(text)))
            text = text[:cut] + chr(int(rng.integers(32, 1000))) + text[cut + 1 :]
        path = folder / "study.toml"
        path.write_text(text, encoding="utf-8")
        try:
            seen[outcome(path, bool(whole) and number % whole == 0)] += 1
        except Exception:
            seen["FAILED"] += 1
            failures.append(f"file {number} of seed {seed}:\n{text}\n{traceback.format_exc(limit=-4)}")
    return seen, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--whole", type=int, default=200, help="one file in so many goes through the command line"
    )
    parser.add_argument("--first", type=int, default=0, help="show so many failures")
    arguments = parser.parse_args()
    import jax

    jax.config.update("jax_enable_x64", True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        seen, failures = run(arguments.count, arguments.seed, arguments.whole, Path(folder))
    for text in failures[: arguments.first or 20]:
        print(text)
    print(dict(seen), f"{time.monotonic() - started:.0f} s")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
