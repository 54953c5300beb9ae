"""All it takes to make the ensembles of a study, here or in another process."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from driftax.compare.weak_error import RungStudy
from driftax.simulate.schemes import Integration
from driftax.study.identity import Identity, identity, named_files
from driftax.study.run import experiment_of
from driftax.study.spec import read_study


class Recipe(NamedTuple):
    """A study file by its text, and what a command adds to it.

    Args:
        path: of the file; what it names is looked for beside it.
        text: of the file when the command began.
        files: that the study names.
        seed: of the run.
        allow_obstructed: runs an order-2 equation where order 2 does not exist.
        integration: of the equations, in place of the file's.
    """

    path: Path
    text: str
    files: tuple[Path, ...]
    seed: int
    allow_obstructed: bool
    integration: Integration | None = None

    @classmethod
    def of(cls, path: Path, text: str, seed: int, allow_obstructed: bool) -> "Recipe":
        """The recipe of a study that was read from a file."""
        path = path.absolute()
        return cls(path, text, tuple(named_files(text, path.parent)), seed, allow_obstructed)

    def identity(self, arithmetic: str) -> Identity:
        """What decides the bits of the ensembles on machines of this arithmetic."""
        own = identity(self.text, self.files, self.seed, arithmetic)
        return own if self.integration is None else {**own, "integration": str(self.integration)}


@lru_cache(maxsize=64)
def rung_study(recipe: Recipe, rung: int) -> RungStudy:
    """The ensemble of one rung, made once per process."""
    study = read_study(recipe.path, recipe.text)
    experiment = experiment_of(study, "study", recipe.allow_obstructed, recipe.integration)
    return experiment.rung_study(rung, recipe.seed)
