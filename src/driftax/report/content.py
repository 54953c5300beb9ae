"""What a report says, as values: filled straight from the JSON of `simulate`, `verify` and `local-order`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

OPTIMIZER = "optimizer"  # the model that is the truth

Rows = tuple[tuple[str, str], ...]
Number = float | int  # JSON does not tell 1 from 1.0


@dataclass(frozen=True)
class Equation:
    """An equation in formulas.

    Args:
        title: what tells it from the others, beginning with the model's name.
        lines: label and LaTeX of every line (`as_latex_lines` of `driftax.equation.describe`).
        record: label and value of where it comes from (`record_rows`).
        obstruction: what it cannot reproduce, in a sentence (`obstruction_sentence`).
    """

    title: str
    lines: Rows
    record: Rows = ()
    obstruction: str | None = None


@dataclass(frozen=True)
class Curve:
    """An observable of the optimizer or of a model over time: mean and spread of an ensemble.

    Args:
        model: its name; the optimizer itself is called `optimizer`.
        observable: what is averaged.
        step: steps of the optimizer.
        mean: over the ensemble.
        standard_error: of the mean.
        standard_deviation: of one member.
        members: of the ensemble.
        failed: members that left the domain.
        time: of the steps; left out, step * time step.
    """

    model: str
    observable: str
    step: tuple[float, ...]
    mean: tuple[float, ...]
    standard_error: tuple[float, ...]
    standard_deviation: tuple[float, ...]
    members: int
    failed: int = 0
    time: tuple[float, ...] = ()

    @classmethod
    def from_json(cls, result: Mapping[str, Any]) -> Curve:
        """From one of `results` of `simulate`.

        Without `standard_deviation` members are taken to be independent: standard_error * sqrt(members).
        """
        members, failed = int(result["members"]), int(result.get("failed", 0))
        errors = _numbers(result["standard_error"])
        root = math.sqrt(max(members - failed, 0))
        spread = result.get("standard_deviation", [error * root for error in errors])
        return cls(
            result["model"],
            result["observable"],
            _numbers(result["step"]),
            _numbers(result["mean"]),
            errors,
            _numbers(spread),
            members,
            failed,
            _numbers(result.get("time", ())),
        )


@dataclass(frozen=True)
class Difference:
    """Model minus optimizer over time: bands of the two overlap long before this does.

    Args:
        model: its name.
        observable: what is averaged.
        step: steps of the optimizer.
        mean: of the difference.
        standard_error: of that mean.
    """

    model: str
    observable: str
    step: tuple[float, ...]
    mean: tuple[float, ...]
    standard_error: tuple[float, ...]

    @classmethod
    def from_json(cls, result: Mapping[str, Any]) -> Difference:
        """From one of `errors` of `verify`: the paired differences of one rung."""
        return cls(
            result["model"],
            result["observable"],
            _numbers(result["step"]),
            _numbers(result["weak_error"]),
            _numbers(result["standard_error"]),
        )

    @classmethod
    def between(cls, model: Curve, optimizer: Curve) -> Difference:
        """Of two ensembles driven by independent random numbers, recorded at the same steps."""
        pairs = zip(model.standard_error, optimizer.standard_error, strict=True)
        return cls(
            model.model,
            model.observable,
            model.step,
            tuple(a - b for a, b in zip(model.mean, optimizer.mean, strict=True)),
            tuple(math.hypot(a, b) for a, b in pairs),
        )


@dataclass(frozen=True)
class RungError:
    """The weak error on one rung of the ladder."""

    time_step: float
    weak_error: float
    standard_error: float
    failed: int = 0


@dataclass(frozen=True)
class Judged:
    """A claimed weak order of one model for one observable, its errors and the verdict.

    Args:
        model: its name.
        observable: what is averaged.
        claimed_order: at least this.
        rungs: from coarse to fine.
        local_orders: between neighbouring rungs; None across a sign change.
        order: the local order of the two finest rungs.
        ci95: its 95 % interval.
        verdict: consistent, refuted or inconclusive.
        reason: what decided it, or what would.
        faster: whether it converges faster than claimed.
    """

    model: str
    observable: str
    claimed_order: int
    rungs: tuple[RungError, ...]
    local_orders: tuple[float | None, ...]
    order: float | None
    ci95: tuple[float | None, float | None] | None
    verdict: str
    reason: str = ""
    faster: bool = False

    @classmethod
    def from_json(cls, result: Mapping[str, Any], time_step: Number) -> Judged:
        """From one of `results` of `verify`; `time_step` is that of rung 1."""
        rungs = tuple(
            RungError(
                time_step * float(rung["ladder"]),
                _number(rung["weak_error"]),
                _number(rung["standard_error"]),
                int(rung.get("failed", 0)),
            )
            for rung in result["rungs"]
        )
        ci95 = result["ci95"]
        return cls(
            result["model"],
            result["observable"],
            int(result["claimed_order"]),
            rungs,
            _orders(result["local_orders"]),
            _order(result["order"]),
            None if ci95 is None else (_order(ci95[0]), _order(ci95[1])),
            result["verdict"],
            result.get("reason") or "",
            bool(result.get("faster", False)),
        )


@dataclass(frozen=True)
class Followed:
    """How far a model is from the optimizer over a run, over the range of the optimizer's mean.

    Args:
        model: its name.
        observable: what is averaged.
        distance: the largest over the recorded steps.
        standard_error: of it.
        doubled: what twice the substeps change.
        step: where it is largest.
        answer: follows, does not follow or inconclusive.
    """

    model: str
    observable: str
    distance: float
    standard_error: float
    doubled: float
    step: int
    answer: str

    @classmethod
    def from_json(cls, result: Mapping[str, Any]) -> Followed:
        """From one of `distances` of `verify`."""
        return cls(**{**result, "doubled": _number(result["doubled"])})

    @property
    def verdict(self) -> str:
        """The answer in the words of a verdict, for its mark."""
        return {"follows": "consistent", "does not follow": "refuted"}.get(self.answer, self.answer)


@dataclass(frozen=True)
class Residuals:
    """Residuals of one monomial along the ladder, and the exponents between neighbouring rungs."""

    name: str
    residuals: tuple[float, ...]
    local_orders: tuple[float | None, ...]

    @property
    def last(self) -> float | None:
        """The last known exponent."""
        return next((order for order in reversed(self.local_orders) if order is not None), None)


@dataclass(frozen=True)
class Certified:
    """The deterministic one-step certificate of a model's order.

    Args:
        model: its name.
        claimed_order: at least this.
        time_steps: from coarse to fine.
        monomials: of the increment of the state.
        order: the smallest last exponent minus 1; None where every residual is rounding error.
    """

    model: str
    claimed_order: int
    time_steps: tuple[float, ...]
    monomials: tuple[Residuals, ...]
    order: float | None

    @classmethod
    def from_json(cls, model: str, certificate: Mapping[str, Any]) -> Certified:
        """From the JSON of `local-order`, for the model it was asked of."""
        monomials = tuple(
            Residuals(entry["name"], _numbers(entry["residuals"]), _orders(entry["local_orders"]))
            for entry in certificate["monomials"]
        )
        return cls(
            model,
            int(certificate["claimed_order"]),
            _numbers(certificate["time_steps"]),
            monomials,
            _order(certificate["order"]),
        )

    @property
    def worst(self) -> Residuals | None:
        """The monomial that decides the order."""
        known = [monomial for monomial in self.monomials if monomial.last is not None]
        return min(known, key=lambda monomial: monomial.last or 0.0) if known else None


@dataclass(frozen=True)
class ReportContent:
    """Everything on the page; whatever is left out is not shown.

    Args:
        title: of the page.
        headline: the verdict in one sentence.
        setup: label and value: optimizer, objective, gradient law, regime, start.
        equations: the optimizer's equations in formulas.
        time_step: of the rung that `curves` and `differences` were run on.
        curves: means over time, of `optimizer` and of every model.
        differences: model minus optimizer over time.
        judged: weak errors along the ladder with verdicts.
        followed: distances over the run.
        certified: one-step certificates.
        caveats: what could break, one sentence each.
        provenance: label and value: seed, versions, command, seconds.
    """

    title: str
    headline: str
    setup: Rows = ()
    equations: tuple[Equation, ...] = ()
    time_step: Number | None = None
    curves: tuple[Curve, ...] = ()
    differences: tuple[Difference, ...] = ()
    judged: tuple[Judged, ...] = ()
    followed: tuple[Followed, ...] = ()
    certified: tuple[Certified, ...] = ()
    caveats: tuple[str, ...] = ()
    provenance: Rows = ()

    @property
    def ladder(self) -> bool:
        """Whether there are rungs enough to speak of an order."""
        return any(len(row.rungs) > 1 for row in self.judged)

    @property
    def models(self) -> tuple[str, ...]:
        """All models by name, the optimizer first, in order of appearance."""
        parts = (self.curves, self.differences, self.judged, self.certified)
        return tuple(dict.fromkeys([OPTIMIZER, *(part.model for found in parts for part in found)]))


def _number(value: Number | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: Sequence[Number | None]) -> tuple[float, ...]:
    return tuple(_number(value) for value in values)


def _order(value: Number | None) -> float | None:
    return None if value is None else float(value)


def _orders(values: Sequence[Number | None]) -> tuple[float | None, ...]:
    return tuple(_order(value) for value in values)
