"""The certificate of every equation, as a markdown table: `python benchmarks/certificate_table.py`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import jax

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "order" / "exact"))
jax.config.update("jax_enable_x64", True)

import family  # noqa: E402

from driftax import Regime, derive, local_order  # noqa: E402
from driftax.optimizer import Denominator  # noqa: E402

OPTIMIZERS = ("SGD", "SignSGD", "RMSprop", "RMSpropW", "Adam", "AdamW")
HEADER = (
    "optimizer",
    "denominator",
    "regime",
    "claimed",
    "found",
    "expected",
    "decided by",
    "obstruction / h^2",
)


def rows(dim: int = 1):
    """One row per equation: the order found beside the order expected, and the residual of the obstruction."""
    for name in OPTIMIZERS:
        for denominator in Denominator if name.startswith(("RMSprop", "Adam")) else [Denominator.UPDATED]:
            for regime in Regime:
                for order in (1, 2):
                    yield row(name, denominator, regime, order, dim)


def row(name, denominator, regime, order, dim):
    equation = derive(family.chain(name, regime, denominator, dim), weak_order=order)
    found = local_order(equation, family.state(name, dim), step=family.STEP)
    blocked = family.obstructed(name, regime)
    seen = "-"
    if blocked and name != "SignSGD":
        monomial, value = family.predicted(name, dim)
        residual = next(m.residuals[-1] for m in found.monomials if m.name == monomial)
        seen = f"{monomial}: {residual / found.time_steps[-1] ** 2:.5f} (predicted {value:.5f})"
    which = denominator.value if name.startswith(("RMSprop", "Adam")) else "-"
    return (
        name,
        which,
        regime.value,
        str(order),
        f"{found.order:.3f}",
        "1" if order == 1 or blocked else "2",
        found.worst.name,
        seen,
    )


def main() -> None:
    start = time.perf_counter()
    for dim in (1, 2) if "--all" in sys.argv else (1,):
        print(f"\n{dim} parameter{'s' if dim > 1 else ''}\n")
        print("| " + " | ".join(HEADER) + " |")
        print("|" + "---|" * len(HEADER))
        for line in rows(dim):
            print("| " + " | ".join(line) + " |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
