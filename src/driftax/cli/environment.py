"""What a command sets before JAX is imported: 64-bit numbers and one host device per core."""

from __future__ import annotations

import os
import sys

_DEVICES = "--xla_force_host_platform_device_count"


def prepare() -> None:
    """Sets the global JAX options of the command line; the library itself never does.

    A device count in the user's own XLA_FLAGS stays. Where JAX is already imported only the precision can
    still be set.
    """
    if "jax" in sys.modules:
        sys.modules["jax"].config.update("jax_enable_x64", True)
        return
    os.environ["JAX_ENABLE_X64"] = "true"
    flags = os.environ.get("XLA_FLAGS", "")
    if _DEVICES not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DEVICES}={cores()}".strip()


def cores() -> int:
    """The number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
