"""`driftax verify`: the weak order along a ladder, with a verdict."""

from __future__ import annotations

from typing import Any

from driftax.cli.execute import execute
from driftax.cli.options import (
    CLUSTER,
    ENSEMBLE,
    OUTPUT,
    AccuracyText,
    AllowObstructed,
    Alpha,
    Cluster,
    Ensemble,
    Output,
    Report,
    StudyFile,
)
from driftax.cli.show import Table

CONSISTENT, REFUTED, INCONCLUSIVE = 0, 1, 3


def verify(
    study: StudyFile,
    /,
    *,
    alpha: Alpha = 1e-3,
    accuracy: AccuracyText = None,
    allow_obstructed: AllowObstructed = False,
    report: Report = False,
    ensemble: Ensemble = ENSEMBLE,
    cluster: Cluster = CLUSTER,
    output: Output = OUTPUT,
) -> int:
    """Weak order along a ladder: exit 0 consistent, 1 refuted, 3 inconclusive.

    Weak errors on every rung with their standard errors, the local order of the two finest rungs with its
    95 % interval, and a verdict on the claimed order; results.json goes to --out.

    Args:
        alpha: Probability with which a true claim is refuted, per row.
    """
    results = execute(
        "verify",
        study,
        ensemble,
        cluster,
        output,
        tables,
        report=report,
        alpha=alpha,
        accuracy=accuracy,
        allow_obstructed=allow_obstructed,
    )
    return exit_code(results)


def exit_code(results: dict[str, Any]) -> int:
    """Refuted if any row is, else inconclusive if any row is, else consistent."""
    verdicts = {row["verdict"] for row in results["results"]}
    if "refuted" in verdicts:
        return REFUTED
    return INCONCLUSIVE if "inconclusive" in verdicts else CONSISTENT


_ONE_RUNG = "for a weak order write ladder = [1.0, 0.5, 0.25] in [regime]"


def tables(results: dict[str, Any]) -> list[Table]:
    """Weak errors along the ladder and the verdicts; each verdict's reason below in words."""
    from driftax.report.numbers import interval, order, with_error

    rows = results["results"]
    if not rows:
        return [Table("Nothing to judge", ["the study names no models"], [])]
    ladder = [rung["ladder"] for rung in rows[0]["rungs"]]
    errors = [
        [
            _name(row),
            *(with_error(_number(r["weak_error"]), _number(r["standard_error"])) for r in row["rungs"]),
        ]
        for row in rows
    ]
    verdicts = [
        [
            _name(row),
            str(row["claimed_order"]),
            order(row["order"]),
            interval(tuple(row["ci95"]) if row["ci95"] else None),
            row["verdict"] + (" (faster)" if row.get("faster") else ""),
        ]
        for row in rows
    ]
    heads = ["", *(f"s = {scale:g}" for scale in ladder)]
    title = "Weak error: E equation - E optimizer"
    if len(ladder) == 1:
        drawn = [
            Table(
                title,
                heads,
                errors,
                [
                    *dict.fromkeys(row["reason"] for row in rows if row.get("reason")),
                    _ONE_RUNG,
                    *_losses(rows),
                ],
            )
        ]
    else:
        order_heads = ["", "claimed", "order", "95 %", "verdict"]
        drawn = [Table(title, heads, errors), Table("Weak order", order_heads, verdicts, _notes(rows))]
    if results.get("distances"):
        drawn.append(_distances(results["distances"]))
    if "accuracy" in results:
        drawn.insert(1, _half_widths(results["accuracy"], heads))
    return drawn


def _distances(rows: list[dict[str, Any]]) -> Table:
    """How far the equations are from the optimizer over the run."""
    from driftax.compare.distance import FOLLOWS
    from driftax.report.numbers import with_error

    cells = [
        [
            _name(row),
            with_error(100 * row["distance"], 100 * row["standard_error"]) + " %",
            f"{100 * _number(row['doubled']):.2g} %",
            str(row["step"]),
            row["answer"],
        ]
        for row in rows
    ]
    heads = ["", "largest", "twice the substeps", "at step", f"within {100 * FOLLOWS:g} %"]
    return Table("Distance over the run, of the range of E optimizer", heads, cells)


def _half_widths(accuracy: dict[str, Any], heads: list[str]) -> Table:
    """How tight the weak errors are, beside what was asked."""
    rows = [
        [
            _name(row),
            *(
                f"{_number(width):.1e}{'' if reached else ' (not reached)'}"
                for width, reached in zip(row["half_widths"], row["reached"], strict=True)
            ),
        ]
        for row in accuracy["rows"]
    ]
    title = f"Half-width at 95 %, the integrator's bias included: {accuracy['asked']} asked"
    return Table(title, heads, rows)


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    """Why each verdict fell, and what was not averaged."""
    return [f"{_name(row)}: {row['reason']}" for row in rows if row.get("reason")] + _losses(rows)


def _losses(rows: list[dict[str, Any]]) -> list[str]:
    notes = []
    for row in rows:
        failed = sum(rung["failed"] for rung in row["rungs"])
        if failed:
            notes.append(f"{_name(row)}: members that left the domain and were not averaged: {failed:,}")
    return notes


def _name(row: dict[str, Any]) -> str:
    return f"{row['model']}, {row['observable']}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
