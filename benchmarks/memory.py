"""The memory one run adds at its peak, measured in a process of its own: `python -m benchmarks.memory WHO MEMBERS`.

Everything is warmed up by a run of the same size; then freed memory goes back to the system, the kernel's
record of the highest resident memory is reset, and the second run is watched (Linux only).
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def peak(who: str, members: int) -> int:
    """Bytes above those before the run."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-m", "benchmarks.memory", who, str(members)]
    done = subprocess.run(
        command, env=environment, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1])


def candidates(members: int) -> dict[str, Callable[[], Callable[[int], object]]]:
    """Who is measured, each made only when asked for."""
    from . import engine
    from .problem import Problem

    cold, warm = Problem("RMSprop", 6), Problem("RMSprop", 2, warm=True)

    def in_blocks():
        from .s1_scaling import _grown

        record = tuple(range(1, cold.steps + 1))
        return _grown(engine.study(engine.chain(cold), cold.start, record), members)

    def peer(module: str, function: str, *arguments, ready: bool = True):
        def make():
            found = getattr(__import__(f"benchmarks.peers.{module}", fromlist=["x"]), function)
            return (lambda seed: found(*arguments, seed)) if ready else found(*arguments)

        return make

    return {
        "driftax, in blocks": in_blocks,
        "driftax, in one go": lambda: engine.discrete(cold, members),
        "NumPy": peer("numpy_loop", "discrete", cold, members),
        "torch.optim": peer("torch_loop", "discrete", cold, members),
        "optax, vmap": peer("optax_vmap", "discrete", cold, members, ready=False),
        "Numba kernel": peer("numba_kernel", "discrete", cold, members, ready=False),
        "paper's optimizer (d = 2)": peer("paper_pipeline", "discrete", warm, members),
        "paper's equation (d = 2)": peer("paper_pipeline", "sde", warm, 2, members),
    }


def _resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status")


def main() -> None:
    who, members = sys.argv[1], int(sys.argv[2])
    run = candidates(members)[who]()
    run(0)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _resident("VmRSS")
    run(1)
    print(_resident("VmHWM") - before)


if __name__ == "__main__":
    from driftax.cli.environment import prepare

    prepare()
    main()
