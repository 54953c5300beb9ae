"""What a page says about the results of a command: from their JSON to the content of a report."""

from __future__ import annotations

from typing import Any

from driftax.compare.distance import FOLLOWS
from driftax.report.content import Certified, Curve, Difference, Equation, Followed, Judged, ReportContent


def content(title: str, results: dict[str, Any], headline: str | None = None) -> ReportContent:
    """What a page says about the results of `simulate`, `verify` or `demo`."""
    rows = results["results"]
    judged = [row for row in rows if "verdict" in row]
    means = results.get("means", [row for row in rows if "verdict" not in row])
    coarsest = max((row["ladder"] for row in means if "ladder" in row), default=1.0)
    shown = [row for row in means if row.get("ladder", 1.0) == coarsest]
    followed = tuple(Followed.from_json(row) for row in results.get("distances", []))
    provenance = {**results.get("provenance", {}), "seconds": f"{results.get('seconds', 0.0):.1f}"}
    return ReportContent(
        title=title,
        headline=headline or _headline(judged, followed),
        setup=_rows(results.get("setup", {})),
        equations=tuple(
            Equation(
                f"{entry['model']}: {entry['title']}",
                _pairs(entry["latex"]),
                _pairs(entry["record"]),
                entry["obstruction"],
            )
            for entry in results.get("equations", [])
        ),
        time_step=_time_step(shown),
        curves=tuple(Curve.from_json(row) for row in shown),
        differences=tuple(
            Difference(
                row["model"],
                row["observable"],
                _floats(row["step"]),
                _floats(row["weak_error"]),
                _floats(row["standard_error"]),
            )
            for row in results.get("errors", [])
            if row["ladder"] == coarsest
        ),
        judged=tuple(Judged.from_json(row, _first_time_step(row)) for row in judged),
        followed=followed,
        certified=tuple(
            Certified.from_json(model, certificate)
            for model, certificate in results.get("certificates", {}).items()
        ),
        caveats=_caveats(judged),
        provenance=_rows(provenance),
    )


def _headline(judged: list[dict[str, Any]], followed: tuple[Followed, ...]) -> str:
    if not judged:
        return "The optimizer and its equations, side by side."
    if followed and all(len(row["rungs"]) == 1 for row in judged):
        answers = [row.answer for row in followed]
        told = ", ".join(f"{answer} ({answers.count(answer)})" for answer in dict.fromkeys(answers))
        return f"Means of the equations beside the optimizer's, within {100 * FOLLOWS:g} % of their range: {told}."
    counts = {verdict: 0 for verdict in ("consistent", "refuted", "inconclusive")}
    for row in judged:
        counts[row["verdict"]] += 1
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return f"Claims of weak order: {told}."


def _caveats(judged: list[dict[str, Any]]) -> tuple[str, ...]:
    return tuple(
        f"{row['model']}, {row['observable']}: {row['verdict']}: {row['reason']}."
        for row in judged
        if row.get("reason") and row["verdict"] != "consistent"
    )


def _time_step(curves: list[dict[str, Any]]) -> float | None:
    """The time step of the curves, from their steps and times."""
    for row in curves:
        steps, times = row["step"], row.get("time")
        if times and len(steps) > 1:
            return (times[-1] - times[0]) / (steps[-1] - steps[0])
    return None


def _first_time_step(row: dict[str, Any]) -> float:
    """The time step of rung 1."""
    rung = row["rungs"][0]
    return rung["time_step"] / rung["ladder"]


def _rows(values: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), str(value)) for key, value in values.items())


def _pairs(values: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(label), str(value)) for label, value in values)


def _floats(values: list[Any]) -> tuple[float, ...]:
    return tuple(float("nan") if value is None else float(value) for value in values)
