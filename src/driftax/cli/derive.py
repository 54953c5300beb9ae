"""`driftax derive`: the modified equation of a study."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from driftax._errors import DriftaxError
from driftax.cli.environment import prepare
from driftax.cli.options import (
    OUTPUT,
    AllowObstructed,
    MethodName,
    ModelName,
    Order,
    Output,
    Rung,
    StateFile,
    StudyFile,
)
from driftax.cli.show import Table, show_json, show_tables

if TYPE_CHECKING:
    from driftax.equation import ModifiedEquation
    from driftax.study.spec import Study

_LARGEST_MATRIX = 12  # coordinates beyond which a covariance is no longer readable in a terminal


def derive(
    study: StudyFile,
    /,
    *,
    order: Order = 2,
    method: MethodName = None,
    model: ModelName = None,
    rung: Rung = 1.0,
    allow_obstructed: AllowObstructed = False,
    latex: bool = False,
    at: StateFile = None,
    output: Output = OUTPUT,
) -> int:
    """The modified equation: text, LaTeX, or drift and covariance at a state.

    Without --at the numbers of --json, and whether order 2 exists, are those at the study's start.

    Args:
        rung: The rung of the ladder, a factor on the time step.
        latex: Print the equation in LaTeX.
    """
    prepare()
    from driftax.study.build import build_chain
    from driftax.study.spec import load_study

    read = load_study(study)
    chain = build_chain(read)
    z, step = look_at(read, chain, at)
    if model is None:
        equation = compile_equation(read, chain.at(rung), order, method, z, step / rung, allow_obstructed)
    else:
        equation = named_equation(model, chain.at(rung), method, allow_obstructed)
    if output.json:
        answer = _numbers(equation, z, step / rung)
        show_json({**answer, "latex": _formula(equation, latex)} if latex else answer)
    elif latex or at is None:
        print(_formula(equation, latex))
    else:
        show_tables(_tables(_numbers(equation, z, step / rung)), output)
    return 0


def look_at(study: Study, chain: Any, at: Path | None) -> tuple[Any, float]:
    """The state of `--at`, else of the study, and the steps of rung 1 taken there."""
    from driftax.study.build import read_state, state_to_look_at

    return state_to_look_at(study, chain) if at is None else read_state(at, chain)


def compile_equation(
    study: Study,
    chain: Any,
    order: int,
    method: str | None,
    at: Any,
    step: float,
    allow_obstructed: bool,
) -> ModifiedEquation:
    """The equation on a chain; at order 2 judged at a state, with the obstruction found there."""
    from driftax.equation import Method
    from driftax.equation.derivation import derive as derive_equation

    chosen = method or (study.compare.method if study.compare is not None else "finite-step")
    return derive_equation(
        chain,
        weak_order=order,
        method=Method(chosen),
        at=at,
        step=step,
        allow_obstructed=allow_obstructed,
    )


def named_equation(model: str, chain: Any, method: str | None, allow_obstructed: bool) -> Any:
    """A published equation on a chain.

    Raises:
        DriftaxError: for an extended state, which has one more slot than a state file, and for flags that are about
            the compiled equation.
    """
    from driftax.published import EXTENDED, publish

    for flag, given in (("--method", method), ("--allow-obstructed", allow_obstructed)):
        if given:
            raise DriftaxError(
                f"{flag} beside --model {model}", "a published formula, not compiled", "one of the two"
            )

    if model == EXTENDED:
        raise DriftaxError(
            f"--model {model}", "a state with a coloured noise as one more slot", "--model callisti-2025-2"
        )
    return publish(model, chain)


def _formula(equation: Any, latex: bool) -> str:
    from driftax.equation.describe import as_latex, as_text

    return as_latex(equation) if latex else as_text(equation)


def _numbers(equation: Any, z: Any, step: float) -> dict[str, Any]:
    """The JSON of the contract."""
    import equinox as eqx
    import numpy as np

    from driftax.compiler.obstruction import obstruction
    from driftax.equation.published import PublishedEquation

    named = isinstance(equation, PublishedEquation)

    @eqx.filter_jit
    def coefficients(compiled, number, flat):
        h = compiled.time_step
        return compiled.step_drift(number, flat) / h, compiled.step_covariance(number, flat) / h

    found = equation.obstruction or obstruction(equation.chain, step, z, equation.nodes)
    drift, covariance = coefficients(equation, step, z.reshape(-1))
    if not (np.all(np.isfinite(drift)) and np.all(np.isfinite(covariance))):
        raise DriftaxError(
            "drift and covariance at a state",
            "coefficients that are not finite there",
            "a state with second moments above 0 and params of a size that can be squared",
        )
    return {
        "state": _names(equation.chain, z.shape[1]),
        "time_step": float(equation.time_step),
        "weak_order": equation.weak_order,
        "method": equation.record.source if named else equation.method.value,
        "drift": drift,
        "covariance": covariance,
        "obstruction": {"third": found.third, "fourth": found.fourth},
    }


def _names(chain: Any, dim: int) -> list[str]:
    powers = [power for power in chain.optimizer.slots.values() for _ in range(dim)]
    return [
        f"log {name}" if power == 2 and chain.log_second_moments else name
        for name, power in zip(chain.names(dim), powers, strict=True)
    ]


def _tables(answer: dict[str, Any]) -> list[Table]:
    from driftax.report.numbers import short

    names, covariance = answer["state"], answer["covariance"]
    third, fourth = answer["obstruction"].values()
    drift = Table(
        f"Weak order {answer['weak_order']} ({answer['method']}), time step {short(answer['time_step'])}",
        ["coordinate", "drift", "variance"],
        [
            [name, short(float(value)), short(float(covariance[i, i]))]
            for i, (name, value) in enumerate(zip(names, answer["drift"], strict=True))
        ],
        [
            "Drift and covariance are per unit of t = step * time step.",
            f"Obstruction: third order {short(third)} h^2, fourth order {short(fourth)} h^2.",
        ],
    )
    if len(names) > _LARGEST_MATRIX:
        return [drift]
    rows = [[name, *(short(float(entry)) for entry in covariance[i])] for i, name in enumerate(names)]
    return [drift, Table("Covariance", ["", *names], rows)]
