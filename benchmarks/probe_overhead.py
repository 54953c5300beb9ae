"""`python -m benchmarks.probe_overhead`: what a `NoiseProbe` with a budget costs a training loop.

Two copies of a character transformer of about 10^5 parameters train with AdamW on the same batches, one of them with a
probe, in turns of some steps in one process. Printed are the share of its loop's time that the probe says it took and
the ratio of the wall-clock times, whose error is a jackknife over stretches of the run. tiny Shakespeare where
DRIFTAX_DATA has it, else random characters.

    python -m benchmarks.probe_overhead --seconds 240 --budget 5%
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch

from driftax._errors import DriftaxError
from driftax.data import load_data
from driftax.report.numbers import with_error
from driftax.torch import NoiseProbe

from .training_rules import Model

BATCH, LENGTH = 32, 64
STRETCHES = 8


def data() -> tuple[torch.utils.data.TensorDataset, int]:
    """Sequences and their next characters, and how many characters there are."""
    try:
        found = load_data("tiny-shakespeare", length=LENGTH, test=512)
        inputs, labels, alphabet = found.inputs, found.labels, found.classes
    except DriftaxError:
        text, alphabet = np.random.default_rng(0).integers(65, size=(4000, LENGTH + 1)), 65
        inputs, labels = text[:, :-1], text[:, 1:]
    tensors = (torch.from_numpy(np.asarray(array).astype(np.int64)) for array in (inputs, labels))
    return torch.utils.data.TensorDataset(*tensors), alphabet


def loss_fn(model: Model, batch: Any) -> torch.Tensor:
    return torch.nn.functional.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


class Loop:
    """A plain training loop that can stop and go on.

    Args:
        budget: of its probe; None for a loop without.
    """

    def __init__(self, dataset: torch.utils.data.TensorDataset, alphabet: int, budget: str | None):
        torch.manual_seed(0)
        self.model = Model(alphabet)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), 1e-3)
        self.order = np.random.default_rng(0)
        self.dataset = dataset
        loader = torch.utils.data.DataLoader(dataset, batch_size=BATCH, shuffle=True)
        self.probe = (
            NoiseProbe(self.model, loss_fn, loader, budget=budget, optimizer=self.optimizer)
            if budget
            else None
        )
        self.ended: float | None = None

    def run(self, steps: int) -> float:
        """Seconds of some steps."""
        begin = time.perf_counter()
        if self.probe is not None and self.ended is not None:
            # The other loop's turn is no time in which this one trained: the probe's clock stood still.
            self.probe._schedule._begin += begin - self.ended
        for _ in range(steps):
            batch = self.dataset[torch.from_numpy(self.order.integers(len(self.dataset), size=BATCH))]
            self.optimizer.zero_grad()
            loss_fn(self.model, batch).backward()
            self.optimizer.step()
            if self.probe is not None:
                self.probe.step()
        self.ended = time.perf_counter()
        return self.ended - begin


def ratio(turns: np.ndarray) -> tuple[float, float]:
    """With over without, of seconds [turns, 2], and its jackknife error over stretches of turns."""
    sums = np.array([part.sum(axis=0) for part in np.array_split(turns, STRETCHES)])
    left = sums.sum(axis=0) - sums
    without = left[:, 0] / left[:, 1]
    error = np.sqrt((STRETCHES - 1) * without.var())
    return float(sums[:, 0].sum() / sums[:, 1].sum()), float(error)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.probe_overhead")
    parser.add_argument("--seconds", type=float, default=240, help="of both loops together")
    parser.add_argument("--budget", default="5%")
    parser.add_argument("--turn", type=int, default=10, help="steps of a loop before it is the other's turn")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    loops = [Loop(*data(), budget) for budget in (asked.budget, None)]
    loops[1].run(asked.turn)  # torch warms up
    loops[1] = Loop(*data(), None)
    turns: list[list[float]] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < asked.seconds:
        seconds = [0.0, 0.0]
        for which in (0, 1) if len(turns) % 2 else (1, 0):
            seconds[which] = loops[which].run(asked.turn)
        turns.append(seconds)
    probe, found = loops[0].probe, np.array(turns)
    assert probe is not None
    pairs = zip(loops[0].model.parameters(), loops[1].model.parameters(), strict=True)
    same = all(torch.equal(one, other) for one, other in pairs)
    steps = len(turns) * asked.turn
    print(f"{steps} steps of {1e3 * found[:, 1].sum() / steps:.1f} ms; weights equal bit for bit: {same}")
    print(f"{len(probe.measurements)} measurements, {probe.seconds / len(probe.measurements):.2f} s each")
    print(f"share of the loop's time by the probe's clock: {100 * probe.seconds / found[:, 0].sum():.2f} %")
    print(f"time with the probe over time without: {with_error(*ratio(found))}")


if __name__ == "__main__":
    main()
