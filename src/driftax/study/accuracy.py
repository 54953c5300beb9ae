"""How tight weak errors are asked to be, and ensembles that grow until they are."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from driftax.compare.order_test import RungError
from driftax.compare.weak_error import RungStudy
from driftax.statistics.intervals import normal_quantile
from driftax.study.chunks import missing
from driftax.study.growth import Progress, Workshop, grow, part, stored_members, tell_of_stored, work

QUANTILE = normal_quantile(0.05)
_MOST_GROWTH = 8.0  # of members between two looks at their spread
_SPARE = 1.05  # of members, for a spread that is only estimated


class Accuracy(NamedTuple):
    """The largest half-width of a weak error's 95 % interval, the integrator's bias included.

    Args:
        size: in units of the observable, or a share of the weak error itself.
        relative: which of the two.
    """

    size: float
    relative: bool

    @classmethod
    def read(cls, text: str) -> "Accuracy":
        """From words such as 1e-4 or 10%.

        Raises:
            ValueError: if it is no number above 0.
        """
        match = re.fullmatch(r"([0-9.]+(?:[eE][+-]?\d+)?)\s*(%?)", text.strip())
        try:
            size = float(match[1]) if match else 0.0
        except ValueError:
            size = 0.0
        if match is None or not 0 < size < math.inf:
            raise ValueError(f"{text!r} is not an accuracy above 0 such as 1e-4 or 10%")
        return cls(size / 100 if match[2] else size, bool(match[2]))

    def __str__(self) -> str:
        return f"{100 * self.size:g}%" if self.relative else f"{self.size:g}"

    def of(self, error: RungError) -> float:
        """The half-width asked of a weak error."""
        return self.size * abs(error.weak_error) if self.relative else self.size

    def reached(self, error: RungError) -> bool:
        """Whether a weak error is as tight as asked."""
        return half_width(error) <= self.of(error)

    def members(self, error: RungError) -> float:
        """About how many members make a weak error as tight as asked; inf where its bias does not allow it."""
        room = self.of(error) - (error.bias or 0.0)
        if room <= 0:
            return math.inf
        needed = error.members * (QUANTILE * error.standard_error / room) ** 2
        return math.inf if math.isnan(needed) else needed


def half_width(error: RungError) -> float:
    """Of the 95 % interval of a weak error, with a bound on the bias of its integration."""
    return QUANTILE * error.standard_error + (error.bias or 0.0)


def errors_of(study: RungStudy) -> list[RungError]:
    """The weak errors of every model and observable at every recorded step of a rung."""
    models, observables = study.columns.difference.shape
    records = range(len(study.record))
    return [study.error(m, o, r) for m in range(models) for o in range(observables) for r in records]


def members_wanted(study: RungStudy, accuracy: Accuracy) -> float:
    """About how many members make all weak errors of a rung as tight as asked."""
    return max(accuracy.members(error) for error in errors_of(study))


def grow_to(
    accuracy: Accuracy, studies: Sequence[RungStudy], workshop: Workshop, deadline: float, progress: Progress
) -> bool:
    """Grows every rung until its weak errors are as tight as asked, or time is up.

    Args:
        accuracy: asked.
        studies: of all rungs.
        workshop: who computes, and where chunks are kept.
        deadline: on the clock `time.monotonic`.
        progress: told the fraction done and what is being done.

    Returns:
        Whether all are.
    """
    wanted = [
        max(study.chunk * study.rung.leaf, stored_members(workshop.store, study, rung))
        for rung, study in enumerate(studies)
    ]
    tell_of_stored(workshop.store, missing(studies, wanted, bias=True))
    done = 0.0
    while True:
        begun, ahead = time.monotonic(), work(studies, wanted)
        left = _work_left(studies, accuracy) if done else 8 * ahead
        low, high = done / (done + left or 1.0), (done + ahead) / (done + left or 1.0)
        computed = grow(
            workshop, studies, wanted, part(progress, low, min(high, 1.0)), bias=True, deadline=deadline
        )
        done += ahead
        open_ = [study for study in studies if not all(accuracy.reached(error) for error in errors_of(study))]
        if not open_:
            return True
        cost = (time.monotonic() - begun) / computed if computed else 0.0
        affordable = (deadline - time.monotonic()) / cost if cost else math.inf
        before, wanted = wanted, _next_members(studies, accuracy, affordable)
        if wanted == before or time.monotonic() > deadline:
            return False


def _next_members(studies: Sequence[RungStudy], accuracy: Accuracy, affordable: float) -> list[int]:
    """Members of every rung for the next look: what is wanted, in steps of no more than is known to be needed."""
    goals = []
    for study in studies:
        needed = members_wanted(study, accuracy)
        if all(accuracy.reached(error) for error in errors_of(study)) or math.isinf(needed):
            goals.append(float(study.members))
        else:
            goals.append(min(max(_SPARE * needed, study.members + 1), _MOST_GROWTH * study.members))
    asked = work(studies, [math.ceil(goal) for goal in goals])
    share = min(1.0, affordable / asked) if asked else 0.0
    grown = []
    for study, goal in zip(studies, goals, strict=True):
        chunk = study.chunk * study.rung.leaf
        more = share * (goal - study.members)
        grown.append(chunk * math.ceil((study.members + more) / chunk))
    return grown


def _work_left(studies: Sequence[RungStudy], accuracy: Accuracy) -> float:
    """Work to the end, as `work` measures it, as far as it can be reached."""
    needed = [members_wanted(study, accuracy) for study in studies]
    reachable = [
        math.ceil(number) if math.isfinite(number) else study.members
        for number, study in zip(needed, studies, strict=True)
    ]
    return work(studies, reachable)
