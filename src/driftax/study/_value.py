"""A study as a value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from driftax._errors import DriftaxError
from driftax.study.sections import (
    CompareSection,
    NoiseSection,
    ObjectiveSection,
    OptaxSection,
    OptimizerSection,
    RegimeSection,
    StartSection,
)


@dataclass(frozen=True)
class Study:
    """A study file as a value: everything that decides a result, checked.

    Args:
        path: the file it was read from.
        seed: of every random number.
        objective: what is minimised.
        noise: the law of one stochastic gradient at rung 1.
        optimizer: the update rule at rung 1.
        start: where the comparison starts.
        regime: how everything moves along the ladder, coarsest rung first.
        compare: what is compared; None where the file has no such section.
    """

    path: Path
    seed: int
    objective: ObjectiveSection
    noise: NoiseSection
    optimizer: OptimizerSection | OptaxSection
    start: StartSection
    regime: RegimeSection
    compare: CompareSection | None

    @property
    def name(self) -> str:
        """The name of the file without its ending."""
        return self.path.stem

    def comparison(self, verb: str) -> CompareSection:
        """The [compare] section, for a verb that cannot do without.

        Raises:
            DriftaxError: if the file has none.
        """
        if self.compare is None:
            raise DriftaxError(
                f"`driftax {verb} {self.path}`",
                "a study file without a [compare] section",
                '[compare] with steps = 8, models = ["derived-1"] and observables = ["loss"]',
            )
        return self.compare
