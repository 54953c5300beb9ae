"""`driftax demo`: the main job on real data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from driftax.cli.environment import prepare
from driftax.cli.options import OUTPUT, Members, Output, Seed
from driftax.cli.page import need_report, write_page
from driftax.cli.show import Table, progress, say, show_json, show_tables

_TITLE = "AdamW on logistic regression: the optimizer and its compiled equations"


def demo(
    *,
    out: Annotated[
        Path | None, Parameter(help="Directory for the report (default driftax-out/demo/).")
    ] = None,
    seed: Annotated[Seed, Parameter(help="Seed of every random number.")] = None,
    members: Annotated[Members, Parameter(help="Members of every ensemble.")] = None,
    output: Output = OUTPUT,
) -> int:
    """The main job on real data in about a minute, with a report.

    Compiles AdamW on logistic regression (breast_cancer, minibatches of 64) into equations of order 1 and 2,
    certifies their orders, runs them beside the optimizer, and writes report.html.
    """
    prepare()
    need_report("`driftax demo`")
    from driftax.study.results import directory_for, write

    directory = directory_for("demo", "", Path("driftax-out") / "demo" if out is None else out)
    from driftax.cli.local_order import certificate_json
    from driftax.study.demo import run_demo

    with progress(output) as tell:
        results = run_demo(seed=seed, members=members, progress=tell)
    results["certificates"] = {m: certificate_json(c) for m, c in results["certificates"].items()}
    results["provenance"]["command"] = "driftax demo"
    write(directory, results, {"verb": "demo", "seed": seed, "members": members})
    page = write_page(directory, _TITLE, results, headline(results))
    if output.json:
        show_json(results)
    else:
        show_tables(tables(results), output)
        say(headline(results), output)
    say(str(page), output)
    return 0


def headline(results: dict[str, Any]) -> str:
    """How much closer order 2 is than order 1, where that stands out of the noise."""
    clear = [row["ratio"] for row in results["closer"] if row["beyond"] > 3]
    if not clear:
        return "The ensembles are too small to tell order 2 from order 1: --members N runs more."
    low, high = min(clear), max(clear)
    times = f"{low:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    where = (
        "everywhere"
        if len(clear) == len(results["closer"])
        else f"in {len(clear)} of {len(results['closer'])}"
    )
    return f"The order-2 equation is {times} times closer to AdamW than the order-1 equation ({where})."


def tables(results: dict[str, Any]) -> list[Table]:
    """Errors over time on every rung, then the certificates."""
    from driftax.report.numbers import order, short, with_error

    drawn = []
    for observable in dict.fromkeys(row["observable"] for row in results["errors"]):
        chosen = [row for row in results["errors"] if row["observable"] == observable]
        rows = [
            [
                f"{row['model']}, s = {row['ladder']:g}",
                *(with_error(e, se) for e, se in zip(row["weak_error"], row["standard_error"], strict=True)),
            ]
            for row in chosen
        ]
        columns = ["", *(f"t = {short(time)}" for time in chosen[0]["time"])]
        drawn.append(Table(f"Weak error of E {observable}: equation - optimizer", columns, rows))
    certificates = [
        [model, str(found["claimed_order"]), order(found["order"])]
        for model, found in results["certificates"].items()
    ]
    drawn.append(Table("One-step certificate, no Monte Carlo", ["", "claimed", "order"], certificates))
    return drawn
