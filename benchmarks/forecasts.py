"""`python -m benchmarks.forecasts`: what `driftax.advice` expects of changes, and what torch.optim.AdamW does.

The character transformer of `benchmarks.training_rules` is trained and measured once; from that checkpoint, with the
optimizer's state, it goes on with one number changed at a time and over the same examples. Compared is the loss on
fixed examples minus that of the run that goes on unchanged, over seeds of the order of examples, with the loss that
noise is expected to keep. What is beyond that is descent along flat directions, at `speed` times that of the run.

    DRIFTAX_DATA=... python -m benchmarks.forecasts --seeds 8
"""

from __future__ import annotations

import argparse
import copy
import time
from typing import Any

import numpy as np
import torch
from benchmarks.training_rules import _BASE, _LENGTH, Model, _loss

from driftax.advice.outcomes import after_changes
from driftax.data import load_data
from driftax.report.numbers import with_error
from driftax.scaling import Settings
from driftax.torch import NoiseProbe

_LOOKED_AT = 1024  # examples


def _go_on(model: Model, optimizer: Any, data: dict[str, Any], settings: Settings, examples: int, seed: int):
    """Steps in place, and the mean of the loss over the last half of them."""
    for group in optimizer.param_groups:
        group.update(
            lr=settings.learning_rate, betas=(settings.b1, settings.b2), weight_decay=settings.weight_decay
        )
    batch, random, looks = int(settings.batch), np.random.default_rng([seed, 1]), []
    steps = examples // batch
    for step in range(steps):
        index = torch.from_numpy(random.integers(len(data["inputs"]), size=batch))
        optimizer.zero_grad()
        _loss(model, (data["inputs"][index], data["labels"][index])).backward()
        optimizer.step()
        if step >= steps // 2 and step % max(1, 256 // batch) == 0:
            with torch.no_grad():
                looks.append(float(_loss(model, data["looked_at"])))
    return float(np.mean(looks)) if looks else np.nan


def _continued(state: Any, data: dict[str, Any], settings: Settings, examples: int, seeds: int) -> np.ndarray:
    losses = []
    for seed in range(seeds):
        model, optimizer = copy.deepcopy(state)
        losses.append(_go_on(model, optimizer, data, settings, examples, seed))
    return np.array(losses)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=50, help="of the run, whose examples are those of all")
    parser.add_argument("--trained", type=int, default=400, help="steps before the measurement")
    parser.add_argument("--units", type=int, default=128)
    asked = parser.parse_args()
    found = load_data("tiny-shakespeare", length=_LENGTH, test=512)
    data: dict[str, Any] = {
        name: torch.from_numpy(np.asarray(getattr(found, name)).astype(np.int64))
        for name in ("inputs", "labels")
    }
    index = torch.from_numpy(np.random.default_rng(0).integers(len(data["inputs"]), size=_LOOKED_AT))
    data["looked_at"] = (data["inputs"][index], data["labels"][index])
    torch.manual_seed(0)
    model = Model(int(found.classes))
    optimizer = torch.optim.AdamW(model.parameters())
    _go_on(model, optimizer, data, _BASE, asked.trained * int(_BASE.batch), 99)
    pairs = torch.utils.data.TensorDataset(data["inputs"], data["labels"])
    loader = torch.utils.data.DataLoader(pairs, batch_size=int(_BASE.batch))
    begun = time.perf_counter()
    probe = NoiseProbe(
        model, _loss, loader, every=1, units=asked.units, tails=False, curvature=True, optimizer=optimizer
    )
    measured = probe.measure()
    print(f"measured in {time.perf_counter() - begun:.0f} s", flush=True)
    examples = asked.steps * int(_BASE.batch)
    # Losses are means over the second half: what is expected is taken at three quarters.
    outcomes = after_changes(measured, _BASE, max(1, 3 * asked.steps // 4))
    base = _continued((model, optimizer), data, _BASE, examples, asked.seeds)
    print(f"unchanged: loss {with_error(base.mean(), base.std(ddof=1) / np.sqrt(len(base)))}\n")
    print("| change | noise, expected | speed | loss, measured | of the edge |\n|---|---|---|---|---|")
    for one in outcomes[1:]:
        apart = _continued((model, optimizer), data, one.settings, examples, asked.seeds) - base
        told = with_error(apart.mean(), apart.std(ddof=1) / np.sqrt(len(apart)))
        expected = with_error(one.noise.value - outcomes[0].noise.value, one.noise.standard_error)
        cells = [one.name, expected, f"{one.speed.value:.2f}", told, f"{one.edge_share.value:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
