"""What a worker of a cluster does: it makes the ensembles of a study and computes chunks of them."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import jax

from driftax._errors import DriftaxError
from driftax.simulate.ensemble import LeafStatistics
from driftax.study.chunks import Chunk
from driftax.study.identity import Identity, arithmetic, difference
from driftax.study.recipe import Recipe, rung_study

_making = threading.Lock()  # threads of one worker share what one of them makes
_read: dict[tuple[Path, ...], str] = {}  # the files of studies, and their digest when this process ran them


def rounding() -> str:
    """What rounds on this worker; see `identity.arithmetic`."""
    return arithmetic()


def compute(recipe: Recipe, wanted: Identity, chunk: Chunk) -> LeafStatistics:
    """The statistics of a chunk.

    Args:
        recipe: of the study.
        wanted: what decides the bits of the chunks it will stand beside.
        chunk: of which leaves.

    Raises:
        DriftaxError: if this worker would compute other bits: other versions, files or processors.
    """
    jax.config.update("jax_enable_x64", True)
    with _making:
        _check(recipe, wanted)
        study = rung_study(recipe, chunk.rung)
    return chunk.ensemble(study).run(chunk.leaves)


def _check(recipe: Recipe, wanted: Identity) -> None:
    asked = f"{recipe.path.name} on a worker at {socket.gethostname()}"
    try:
        own = recipe.identity(arithmetic())
    except FileNotFoundError as error:
        raise DriftaxError(
            asked, f"{error.filename}: no such file there", "a folder that every worker sees at the same path"
        ) from None
    if own != wanted:
        raise DriftaxError(
            asked,
            f"it would compute other bits: {difference(wanted, own)}",
            "the same driftax, packages, files and kind of processor on all (docs/clusters.md)",
        )
    if _read.setdefault(recipe.files, own["files"]) != own["files"]:  # Python imports a file once
        names = ", ".join(path.name for path in recipe.files)
        raise DriftaxError(asked, f"{names}: changed since this worker ran it", "new workers")
