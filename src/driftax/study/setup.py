"""What a study is, in the words of a report: the setup, the equations, and where its numbers come from."""

from __future__ import annotations

from typing import Any

from driftax import __version__
from driftax.equation.extended import NAME as EXTENDED
from driftax.equation.extended import as_latex_lines, obstruction_sentence, record_rows, title
from driftax.objective import FiniteSum
from driftax.simulate.schemes import NearlyAdditive
from driftax.study.experiment import Experiment
from driftax.study.spec import Study


def description(study: Study, experiment: Experiment) -> dict[str, Any]:
    """The setup and the equations, in the words of a report."""
    optimizer = study.optimizer.model_dump(exclude_none=True)
    numbers = ", ".join(f"{key} = {value}" for key, value in optimizer.items() if key != "name")
    regime = experiment.chain.regime
    setup = {
        "optimizer": f"{optimizer['name']}: {numbers}",
        "objective": f"{study.objective.name}, {experiment.start.shape[1]} parameters"
        + _examples(experiment),
        "gradient law": ", ".join(f"{k} = {v}" for k, v in study.noise.model_dump(exclude_none=True).items()),
        "regime": f"{regime.value}, ladder {', '.join(f'{s:g}' for s in experiment.ladder)}",
        "steps": f"{experiment.record[-1]} at rung 1"
        + (f", the first {experiment.handover} by the optimizer alone" if experiment.handover else ""),
        "integrator": experiment.integrator + _coloured_integrator(experiment),
    }
    equations = []
    for model in experiment.models:
        shown = experiment.judged(model)
        equations.append(
            {
                "model": model,
                "title": title(shown),
                "latex": [list(line) for line in as_latex_lines(shown)],
                "record": [list(row) for row in record_rows(shown)],
                "obstruction": obstruction_sentence(shown),
            }
        )
    return {"name": study.name, "setup": setup, "equations": equations}


def _examples(experiment: Experiment) -> str:
    """How many examples a loss is the mean over, where it is."""
    objective = experiment.chain.objective
    return f", {objective.size} examples" if isinstance(objective, FiniteSum) else ""


def _coloured_integrator(experiment: Experiment) -> str:
    """What integrates an equation whose noise is coloured, where there is one."""
    if EXTENDED not in experiment.models:
        return ""
    coarse, fine = experiment.levels_of(EXTENDED)
    return f"; {EXTENDED}: {NearlyAdditive.__name__}, {coarse} and {fine}"


def provenance(study: Study, experiment: Experiment, seed: int, **more: Any) -> dict[str, Any]:
    """Seed, versions and what else it takes to come by the same numbers."""
    import platform

    import equinox
    import jax
    import numpy
    import optax

    return {
        "driftax": __version__,
        "study": study.name,
        "seed": seed,
        "regime": experiment.chain.regime.value,
        "method": experiment.method.value,
        "coordinates": "log second moments" if experiment.log_second_moments else "natural",
        "precision": jax.numpy.dtype(experiment.precision).name,
        "randomness": experiment.randomness.value,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "equinox": equinox.__version__,
        "optax": optax.__version__,
        "numpy": numpy.__version__,
        "devices": len(jax.devices()),
        **more,
    }
