"""`driftax doctor`: what runs here."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

from driftax.cli.environment import cores, prepare
from driftax.cli.options import OUTPUT, Output
from driftax.cli.show import Table, show_json, show_tables

_PACKAGES = ("driftax", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "plotly", "torch")


def doctor(*, output: Output = OUTPUT) -> int:
    """Versions, devices, precision and cores: a table to paste into an issue."""
    prepare()
    import jax
    import jax.numpy as jnp

    versions = {name: _version(name) for name in _PACKAGES}
    report: dict[str, Any] = {
        "versions": {"python": platform.python_version(), **versions},
        "devices": [str(device) for device in jax.devices()],
        "precision": str(jnp.asarray(0.0).dtype),
        "cores": cores(),
        "platform": platform.platform(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }
    if output.json:
        show_json(report)
        return 0
    rows = [[name, version or "not installed"] for name, version in report["versions"].items()]
    rows += [["devices", ", ".join(report["devices"])]]
    rows += [[key, str(report[key])] for key in ("precision", "cores", "platform", "xla_flags")]
    show_tables([Table("driftax doctor", ["what", "found"], rows)], output)
    return 0


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
