"""`python -m benchmarks`: driftax and its peers, interleaved in one process.

python -m benchmarks               # everything (`make bench`)
python -m benchmarks b1 b3         # some of it
python -m benchmarks --quick       # small sizes: does it run, do all candidates agree
python -m benchmarks --write       # docs/performance.md from the latest results of every benchmark
"""

from __future__ import annotations

import argparse
import importlib
import os
import time

from driftax.cli.environment import prepare

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads of torch leave the cores to others
prepare()  # before JAX is imported: 64-bit numbers at hand, one host device per core

from . import page, results  # noqa: E402
from .row import Row  # noqa: E402

BENCHMARKS = {
    "b1": "b1_discrete",
    "b2": "b2_sde_step",
    "b3": "b3_weak_error",
    "b4": "b4_coefficients",
    "b5": "b5_neural_net",
    "b6": "b6_random",
    "b7": "b7_networks",
    "p1": "p1_profile",
    "s1": "s1_scaling",
    "s2": "s2_memory",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("only", nargs="*", choices=[[], *BENCHMARKS], help="which of them; all if left out")
    parser.add_argument("--quick", action="store_true", help="small sizes and three rounds")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    parser.add_argument(
        "--no-run", action="store_true", help="only print (and write) what was measured before"
    )
    asked = parser.parse_args()
    for key in asked.only or BENCHMARKS:
        if not asked.no_run:
            _measure(key, asked.quick)
        print(page.section(BENCHMARKS[key], results.load(key)), flush=True)
    if asked.write:
        page.write(BENCHMARKS)


def _measure(key: str, quick: bool) -> None:
    """Runs a benchmark; an interrupted one leaves the lines it measured, marked as not all of them."""
    begin = time.perf_counter()
    rows: list[Row] = []

    def keep(complete: bool) -> None:
        results.save(key, rows, quick, time.perf_counter() - begin, complete)

    for row in importlib.import_module(f"benchmarks.{BENCHMARKS[key]}").run(quick):
        rows.append(row)
        keep(complete=False)
    keep(complete=True)


if __name__ == "__main__":
    main()
