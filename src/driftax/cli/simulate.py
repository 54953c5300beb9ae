"""`driftax simulate`: the optimizer and its equations side by side."""

from __future__ import annotations

from typing import Any

from driftax.cli.execute import execute
from driftax.cli.options import (
    CLUSTER,
    ENSEMBLE,
    OUTPUT,
    AllowObstructed,
    Cluster,
    Ensemble,
    Output,
    Report,
    StudyFile,
)
from driftax.cli.show import Table

LOST = 3


def simulate(
    study: StudyFile,
    /,
    *,
    allow_obstructed: AllowObstructed = False,
    report: Report = False,
    ensemble: Ensemble = ENSEMBLE,
    cluster: Cluster = CLUSTER,
    output: Output = OUTPUT,
) -> int:
    """Optimizer and equations side by side, as ensembles on rung 1: exit 0, or 3 where one lost every member.

    Means with their standard errors at the recorded steps; results.json goes to --out.
    """
    results = execute(
        "simulate", study, ensemble, cluster, output, tables, report=report, allow_obstructed=allow_obstructed
    )
    from driftax.study.divergence import all_lost

    return LOST if all_lost(results.get("divergence", [])) else 0


def tables(results: dict[str, Any]) -> list[Table]:
    """One table per observable: a row per process, a column per recorded step."""
    from driftax.report.numbers import with_error

    drawn = []
    rows = results["results"]
    for observable in dict.fromkeys(row["observable"] for row in rows):
        chosen = [row for row in rows if row["observable"] == observable]
        drawn.append(
            Table(
                f"E {observable}",
                ["", *(f"step {step}" for step in chosen[0]["step"]), "members", "failed"],
                [
                    [
                        row["model"],
                        *(
                            with_error(_number(mean), _number(error))
                            for mean, error in zip(row["mean"], row["standard_error"], strict=True)
                        ),
                        f"{row['members']:,}",
                        str(row["failed"]),
                    ]
                    for row in chosen
                ],
            )
        )
    return drawn


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
