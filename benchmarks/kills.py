"""Random kills of a running study, each resumed: every result must have the bits of a run left in peace.

    python benchmarks/kills.py --count 50                     # one process
    python benchmarks/kills.py --count 50 --executor dask     # two workers; the command or one of them is killed

Compiled functions are cached between the runs, so that a kill finds them at work and not compiling.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

STUDY = """seed = 0
[objective]
name = "quadratic"
hessian = [[1.0]]
[noise]
name = "gaussian"
covariance = 0.1
[optimizer]
name = "sgd"
learning_rate = 0.25
[start]
params = [1.5]
[regime]
name = "ballistic"
ladder = [1.0, 0.5, 0.25]
[compare]
steps = 4
models = ["derived-1", "derived-2"]
observables = ["params_sq"]
"""


class Runs:
    """Runs of one study in a folder."""

    def __init__(self, folder: Path, members: int, executor: str):
        self.folder = folder
        self.study = folder / "small.toml"
        self.study.write_text(STUDY)
        self.words = ["--members", str(members), "-q"]
        if executor == "dask":
            self.words += ["--executor", "dask", "--workers", "2"]
        cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "cache")}
        cache |= {
            f"JAX_PERSISTENT_CACHE_MIN_{what}": "0" for what in ("COMPILE_TIME_SECS", "ENTRY_SIZE_BYTES")
        }
        self.environment = {**os.environ, **cache}

    def start(self, out: str) -> subprocess.Popen:
        """Begins or resumes the study."""
        command = [sys.executable, "-m", "driftax", "verify", str(self.study), *self.words, "--out", out]
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=quiet, stderr=quiet)

    def finish(self, out: str) -> None:
        """Runs the study to its end."""
        code = self.start(out).wait()
        assert code == 0, f"exit code {code}"

    def chunks(self, out: str) -> int:
        """How many chunks are stored."""
        return len(list((self.folder / out).glob("chunks/*/*.zarr.zip")))

    def numbers(self, out: str) -> str:
        """All numbers of the results, with every bit."""
        found = json.loads((self.folder / out / "results.json").read_text())
        return json.dumps([found[key] for key in ("results", "means", "errors")])


def processes(command: subprocess.Popen) -> dict[str, list[int]]:
    """What can be killed: the command, and the workers of its cluster."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,ppid,args"], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
    workers = [
        int(pid) for pid, parent, words in rows if int(parent) == command.pid and "spawn_main" in words
    ]
    return {"command": [command.pid], **({"worker": workers} if workers else {})}


def kill_one(runs: Runs, out: str, die: random.Random, whole: int) -> tuple[str, int] | None:
    """Starts the study and kills a process of it at a random moment: which, and the chunks there; None if too late.

    The moment is up to 0.2 s after a random chunk is there; the 0th is there when the command has begun.
    """
    command, aim = runs.start(out), die.randrange(whole)
    while runs.chunks(out) < aim and command.poll() is None:
        time.sleep(0.005)
    time.sleep(die.uniform(0.0, 0.2 if aim else 3.0))
    choice = processes(command)
    victim = die.choice(sorted(choice))
    if command.poll() is not None:
        return None
    os.kill(die.choice(choice[victim]), 9)
    stored = runs.chunks(out)
    command.wait()
    return victim, stored


def main() -> int:
    """Kills, resumes, compares."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--executor", choices=["local", "dask"], default="local")
    parser.add_argument("--members", type=int, default=400_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    die, begun = random.Random(chosen.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(Path(folder), chosen.members, chosen.executor)
        runs.finish("warm")
        since = time.monotonic()
        runs.finish("reference")
        seconds, whole = time.monotonic() - since, runs.chunks("reference")
        reference, kills, same = runs.numbers("reference"), 0, 0
        print(f"{chosen.executor}: a run takes {seconds:.1f} s and has {whole} chunks", flush=True)
        while kills < chosen.count:
            out = f"run{kills}"
            killed = kill_one(runs, out, die, whole)
            if killed is None:
                subprocess.run(["rm", "-rf", str(runs.folder / out)], check=True)
                continue
            kills += 1
            runs.finish(out)
            equal = runs.numbers(out) == reference and runs.chunks(out) == whole
            same += equal
            print(
                f"{kills:3}  {killed[0]} killed at {killed[1]:3} chunks  {'same bits' if equal else 'DIFFERENT'}"
            )
            sys.stdout.flush()
            subprocess.run(["rm", "-rf", str(runs.folder / out)], check=True)
    print(f"{same} of {kills} resumed to the same bits, {time.monotonic() - begun:.0f} s")
    return 0 if same == kills else 1


if __name__ == "__main__":
    sys.exit(main())
