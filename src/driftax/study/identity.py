"""What decides the bits of a study's ensembles: two chunks belong together only if all of this is equal.

How many members are wanted, how the errors are judged, and how many devices, processes or machines share the
work decide nothing.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import tomllib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import driftax
from driftax.data import SETS
from driftax.data.places import find

Identity = dict[str, str]

_UNDECISIVE = ("members", "at")  # keys of [compare] that choose among numbers and change none
_PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "scikit-learn")
_INSTRUCTIONS = ("avx", "avx2", "fma", "avx512f", "asimd", "sve")  # fused or wider sums round differently
_CHANGED = {
    "study": "the study file changed",
    "files": "a file that the study names changed",
    "seed": "the seed changed",
    "driftax": "driftax itself changed",
    "packages": "the packages changed",
    "integration": "the integration of the equations changed",
    "arithmetic": "the processor changed, and may round differently",
}


def identity(text: str, files: Sequence[Path], seed: int, arithmetic: str) -> Identity:
    """What decides the bits of a study's ensembles, part by part.

    Args:
        text: the study file.
        files: that it names.
        seed: of the run; the file's own decides the params some models start from.
        arithmetic: of the machines that compute.
    """
    table = tomllib.loads(text)
    compare = {key: value for key, value in table.get("compare", {}).items() if key not in _UNDECISIVE}
    decisive = json.dumps({**table, "compare": compare}, sort_keys=True, default=str)
    return {
        "study": digest(decisive.encode()),
        "files": digest(*(path.read_bytes() for path in files)),
        "seed": str(seed),
        "driftax": sources(),
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
        "arithmetic": arithmetic,
    }


def name_of(parts: Identity) -> str:
    """A short name of an identity."""
    return digest(json.dumps(parts, sort_keys=True).encode())[:12]


def difference(old: Identity, new: Identity) -> str:
    """What changed from one identity to another, in words."""
    told = []
    for part, words in _CHANGED.items():
        if old.get(part) != new.get(part):
            shown = part in ("seed", "packages", "arithmetic")
            told.append(f"{words} ({old.get(part)}, now {new.get(part)})" if shown else words)
    return " and ".join(told) or "nothing changed"


def named_files(text: str, folder: Path) -> list[Path]:
    """The files a study names: the code of its loss and what it imports from beside it, recorded gradients, data.

    The study must have been read: reading it runs the code.
    """
    table = tomllib.loads(text)
    code = table.get("objective", {}).get("entry", "").rpartition(":")[0]
    named = [(folder / name).resolve() for name in (code, table.get("noise", {}).get("file", "")) if name]
    beside = [
        Path(file)
        for name, module in list(sys.modules.items())
        if code and name != "__main__" and (file := getattr(module, "__file__", None))
    ]
    named += [path for path in beside if path.parent == (folder / code).resolve().parent]
    named += _data_files(table.get("objective", {}))
    return sorted({path for path in named if path.is_file()})


def _data_files(objective: dict[str, Any]) -> list[Path]:
    """The files of a named data set: one machine may have all of it, another a part."""
    known = SETS.get(objective.get("data", ""))
    place = find(known) if known and objective.get("name") == "network" else None
    return [] if place is None else [place.folder / file.name for file in place.edition.files]


@cache
def sources() -> str:
    """A digest of driftax itself, so that results never outlive the code they came from."""
    root = Path(driftax.__file__).parent
    paths = sorted(root.rglob("*.py"))
    return digest(
        *(part for path in paths for part in (str(path.relative_to(root)).encode(), path.read_bytes()))
    )


@cache
def arithmetic() -> str:
    """What rounds here: the kind of device, and the instructions of a processor."""
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform} {device.device_kind}"
    limit = re.search(r"--xla_cpu_max_isa=(\w+)", os.environ.get("XLA_FLAGS", ""))
    return " ".join(["cpu", platform.machine(), *([limit[1].lower()] if limit else _instructions())])


def _instructions() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return [platform.processor()]
    flags = next((line.split() for line in lines if line.startswith(("flags", "Features"))), [])
    return [name for name in _INSTRUCTIONS if name in flags]


def digest(*parts: bytes) -> str:
    """Of parts in order; their lengths keep them apart."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:".encode() + part)
    return digest.hexdigest()
