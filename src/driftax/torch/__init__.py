"""driftax beside a PyTorch training loop: gradient noise, noise scale and curvature while it runs.

Names are imported on first use; `import driftax` imports no torch, and nothing here changes a run it measures.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from driftax._errors import DriftaxError

if TYPE_CHECKING:
    from driftax.torch.probe import NoiseProbe as NoiseProbe
    from driftax.torch.rehearsing import svag_check as svag_check

_HOME = {"NoiseProbe": "probe", "svag_check": "rehearsing"}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'driftax.torch' has no attribute {name!r}")
    try:
        import torch as torch
    except ImportError as error:
        raise DriftaxError(
            f"driftax.torch.{name}", f"no torch in this environment ({error})", 'pip install "driftax[torch]"'
        ) from None
    return getattr(importlib.import_module(f"driftax.torch.{_HOME[name]}"), name)
