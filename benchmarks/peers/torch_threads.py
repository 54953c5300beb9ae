"""PyTorch with one thread or with all, whichever is faster: its pool contends with the others in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

_ALL = torch.get_num_threads()


def fastest(run: Callable[[int], Any]) -> Callable[[int], Any]:
    """The same run; its first call tries both numbers of threads, later ones use the better."""
    chosen: list[int] = []

    def timed(threads: int, seed: int) -> float:
        torch.set_num_threads(threads)
        begin = time.perf_counter()
        run(seed)
        return time.perf_counter() - begin

    def wrapped(seed: int) -> Any:
        if not chosen:
            timed(_ALL, seed)  # the first call of an operation is slow
            chosen.append(min((1, _ALL), key=lambda threads: timed(threads, seed)))
        torch.set_num_threads(chosen[0])
        return run(seed)

    return wrapped
