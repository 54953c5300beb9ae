"""`driftax local-order`: the one-step certificate of an equation's order."""

from __future__ import annotations

from typing import Any

from driftax.cli.derive import compile_equation, look_at, named_equation
from driftax.cli.environment import prepare
from driftax.cli.options import (
    OUTPUT,
    AllowObstructed,
    MethodName,
    ModelName,
    Order,
    Output,
    StateFile,
    StudyFile,
)
from driftax.cli.show import Table, show_json, show_tables

_SHOWN = 12  # monomials in the table; all of them are in the JSON


def local_order(
    study: StudyFile,
    /,
    *,
    order: Order = 2,
    method: MethodName = None,
    model: ModelName = None,
    allow_obstructed: AllowObstructed = False,
    at: StateFile = None,
    output: Output = OUTPUT,
) -> int:
    """The deterministic one-step certificate of an equation's order, no Monte Carlo.

    Residuals of one step are computed exactly on finer and finer rungs; at weak order p they fall like
    h^(p+1).
    Without --at the state is that of the study's start.
    """
    prepare()
    from driftax.equation.certificate import local_order as certify
    from driftax.study.build import build_chain
    from driftax.study.spec import load_study

    read = load_study(study)
    chain = build_chain(read)
    z, step = look_at(read, chain, at)
    if model is None:
        equation = compile_equation(read, chain, order, method, z, step, allow_obstructed)
    else:
        equation = named_equation(model, chain, method, allow_obstructed)
    answer = certificate_json(certify(equation, z, step))
    if output.json:
        show_json(answer)
    else:
        show_tables([_table(answer)], output)
    return 0


def certificate_json(certificate: Any) -> dict[str, Any]:
    """A certificate in the keys of the contract."""
    values = certificate._asdict()
    return {**values, "monomials": [monomial._asdict() for monomial in certificate.monomials]}


def _table(answer: dict[str, Any]) -> Table:
    """The monomials that decide, worst first."""
    from driftax.report.numbers import order, short

    known = [m for m in answer["monomials"] if _last(m["local_orders"]) is not None]
    known.sort(key=lambda m: _last(m["local_orders"]) or 0.0)
    rows = [
        [m["name"], short(m["residuals"][-1]), *(order(value) for value in m["local_orders"][-4:])]
        for m in known[:_SHOWN]
    ]
    columns = ["monomial", "finest residual"]
    steps = answer["time_steps"][-len(rows[0]) + 2 :] if rows else []
    found = "every residual is rounding error" if answer["order"] is None else f"order {answer['order']:.3f}"
    notes = [f"{found}; claimed {answer['claimed_order']}"]
    if len(known) > _SHOWN:
        notes.append(f"the {_SHOWN} slowest of {len(known)} monomials; --json has all")
    return Table("Local orders of one step", [*columns, *(f"at h = {short(h)}" for h in steps)], rows, notes)


def _last(orders: list[float | None]) -> float | None:
    return next((order for order in reversed(orders) if order is not None), None)
