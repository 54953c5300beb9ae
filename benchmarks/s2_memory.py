"""S2: memory against the number of members."""

from __future__ import annotations

import numpy as np

from . import memory
from .interleave import Ratio
from .row import Row

TITLE = "Memory against members"
TEXT = """What one run of RMSprop (80 steps, statistics after every step, 6 parameters) adds to resident memory at its
peak, in a process of its own. The paper's pipeline has two parameters and stores its paths. The number is the slope
of the straight line through peak bytes against members, with the smallest and largest slope between neighbours."""
COMPARES = "bytes per member"

_WORKLOAD = "bytes per member"


def run(quick: bool) -> list[Row]:
    sizes = (2**13, 2**14) if quick else (2**13, 2**15, 2**17)
    found = []
    for who in memory.candidates(0):
        smaller = 8 if who.startswith("paper") else 1  # paths of 2^17 members are gigabytes
        members = np.asarray(sizes) // smaller
        peaks = np.asarray([memory.peak(who, int(n)) for n in members], dtype=float)
        slope = np.polyfit(members, peaks, 1)[0]
        between = np.diff(peaks) / np.diff(members)
        note = f"{who}: {peaks[-1] / 2**20:.3g} MiB at N = {members[-1]}"
        found.append(
            Row(_WORKLOAD, who, Ratio(float(slope), float(between.min()), float(between.max())), note=note)
        )
    return found
