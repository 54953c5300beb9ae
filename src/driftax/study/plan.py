"""How a target accuracy is reached at the least cost: integrations are tried on a few members, the cheapest is taken.

A trial measures all that decides: the spread of the weak errors, the bias of the integration, and seconds.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from driftax._errors import DriftaxError
from driftax.compare.weak_error import Leaves
from driftax.simulate.schemes import Integration
from driftax.study.accuracy import Accuracy, members_wanted
from driftax.study.executors import LocalExecutor
from driftax.study.experiment import Experiment
from driftax.study.files import write_whole
from driftax.study.identity import arithmetic
from driftax.study.recipe import Recipe
from driftax.study.results import plain
from driftax.study.run import experiment_of
from driftax.study.spec import Study

_FILE = "plan.json"
_FINEST = 8  # times the substeps a study begins with
_WORTH = 3.0  # a trial is made where the best plan so far takes as many times longer


class Trial(NamedTuple):
    """What a few members say of an integration.

    Args:
        integration: tried.
        words: that describe it.
        members: of every rung that would reach the accuracy; inf where its bias does not allow it.
        seconds: about what they would take here.
        spent: seconds the trial took, compiling included.
        diverged: whether the optimizer itself lost every member on some rung, which no integration changes.
    """

    integration: Integration
    words: str
    members: list[float]
    seconds: float
    spent: float
    diverged: bool = False

    @property
    def possible(self) -> bool:
        """Whether the bias leaves room for noise on every rung."""
        return all(map(math.isfinite, self.members))


class Plan(NamedTuple):
    """The integration chosen, and all that were tried."""

    chosen: Trial
    trials: list[Trial]

    def lines(self, accuracy: Accuracy, budget: float) -> list[str]:
        """What is said before a run starts: the trials, the choice, its cost."""
        said = [f"for weak errors to {accuracy} (half-width at 95 %), tried on a few members:"]
        said += [f"  {trial.words}: {_cost(trial)}" for trial in self.trials]
        if self.chosen.diverged:
            return said
        if not self.chosen.possible:
            return [
                *said,
                "none is exact enough; the run stops where the bound on the bias is all that is left",
            ]
        over = ""
        if self.chosen.seconds > budget:
            times = math.sqrt(self.chosen.seconds / budget)
            over = (
                f"; the budget of {budget:g} s reaches about {times:.1f} times this half-width: "
                f"--budget {math.ceil(1.2 * self.chosen.seconds)}s for all of it"
            )
        return [*said, f"taken: {self.chosen.words}, about {_cost(self.chosen)}{over}"]

    def as_json(self) -> dict[str, Any]:
        """For the results, and to be read again; null for a number that is not finite."""
        return plain({"chosen": self.trials.index(self.chosen), "trials": [t._asdict() for t in self.trials]})

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> "Plan":
        """From what `as_json` made."""
        trials = []
        for trial in found["trials"]:
            members = [math.inf if number is None else number for number in trial["members"]]
            seconds = math.inf if trial["seconds"] is None else trial["seconds"]
            own = {"integration": Integration(*trial["integration"]), "members": members, "seconds": seconds}
            trials.append(Trial(**{**trial, **own}))
        return cls(trials[found["chosen"]], trials)


def planned(
    study: Study,
    recipe: Recipe,
    accuracy: Accuracy,
    directory: Path,
    fresh: bool,
    progress: Callable[[float, str], None] | None,
) -> Plan:
    """The plan for a study, made once: seconds differ from run to run, and a run that goes on must not change it.

    Args:
        study: as read.
        recipe: of its ensembles.
        accuracy: asked of every weak error.
        directory: of the results, where the plan is kept.
        fresh: makes another one.
        progress: told the fraction done and what is being done.

    Raises:
        DriftaxError: if the study says how many members there are, or has no equation.
    """
    if study.comparison("verify").members is not None:
        found, instead = "`members` in [compare]", "one of the two: the accuracy decides on members"
        raise DriftaxError(f"--accuracy {accuracy}", found, instead)
    key = {**recipe.identity(arithmetic()), "accuracy": str(accuracy)}
    path = directory / _FILE
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if not fresh and known["for"] == key:
            return Plan.from_json(known["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # none yet, or not a whole one
    experiment = experiment_of(study, "verify", recipe.allow_obstructed)
    experiment.check()
    plan = make_plan(experiment, accuracy, recipe.seed, progress or (lambda fraction, message: None))
    write_whole(path, json.dumps({"for": key, "plan": plan.as_json()}, indent=1).encode())
    return plan


def make_plan(
    experiment: Experiment, accuracy: Accuracy, seed: int, progress: Callable[[float, str], None]
) -> Plan:
    """Tries integrations, cheap ones first, while a trial costs less than it may save.

    Args:
        experiment: with the integration to begin with.
        accuracy: asked of every weak error.
        seed: of the run.
        progress: told the fraction done and what is being done.
    """
    progress(0.0, "planning")
    trials: list[Trial] = []
    for integration in _candidates(experiment, trials):
        trials.append(_tried(experiment._replace(integration=integration), accuracy, seed))
        progress(0.05, f"planning: {trials[-1].words}")
    return Plan(min(trials, key=_order), trials)


def _order(trial: Trial) -> tuple[bool, float, int]:
    """Possible ones first, the cheapest of them first; of the others the one with the most substeps."""
    return (not trial.possible, trial.seconds if trial.possible else 0.0, -(trial.integration.substeps or 0))


def _candidates(experiment: Experiment, trials: list[Trial]) -> Iterator[Integration]:
    """Integrations that are worth a trial after those made; `trials` grows meanwhile."""
    given, begin = experiment.integration, experiment.levels[0]
    for substeps in (begin, *(begin * 2**k for k in range(1, _FINEST.bit_length()))):
        yield given._replace(substeps=substeps)
        if trials[-1].possible:
            break
        if trials[-1].diverged:
            return
    found = trials[-1].integration
    for change in (
        {"extrapolate": False},
        {"controls": False},
        {"scheme": "euler-maruyama", "extrapolate": False},
    ):
        best, candidate = min(trials, key=_order), found._replace(**change)
        if experiment.minibatch or not best.possible or candidate in [t.integration for t in trials]:
            continue
        if best.seconds > _WORTH * trials[-1].spent:
            yield candidate


def _tried(experiment: Experiment, accuracy: Accuracy, seed: int) -> Trial:
    """Runs as many leaves on every rung as a run takes at once, whose programs are then compiled already."""
    begun, leaves_at_once = time.monotonic(), LocalExecutor().together
    members, seconds, taken, steps = [], [], 0.0, 0.0
    studies = [experiment.rung_study(position, seed) for position in range(len(experiment.ladder))]
    for position, study in enumerate(studies):
        room = study.in_a_row(leaves_at_once)
        leaves = Leaves(0, room * study.chunk * study.rung.leaf)
        if position == 0:
            study.run(leaves, room)  # compiles
        before = time.monotonic()
        study.add(leaves, study.run(leaves, room))
        taken += time.monotonic() - before
        steps += leaves.members / study.scale
        if study.refinement is not None:
            study.refinement.grow(study.refinement_members)
        members.append(members_wanted(study, accuracy))
        seconds.append(members[-1] / study.scale)
    predicted = sum(seconds) * taken / steps
    diverged = any(study.failed[-1, 0] == study.members for study in studies)
    spent = time.monotonic() - begun
    return Trial(experiment.integration, experiment.integrator, members, predicted, spent, diverged)


def _cost(trial: Trial) -> str:
    if trial.diverged:
        return "the optimizer diverged"
    if not trial.possible:
        return "the bound on its bias is larger than that"
    total = sum(trial.members)
    seconds = f"{trial.seconds:.0f} s" if trial.seconds >= 1 else "under a second"
    return f"{total:.1e} members in all, {seconds}"
