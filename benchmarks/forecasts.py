"""`python -m benchmarks.forecasts`: what `driftax.advice` expects of changes, and what torch.optim.AdamW does.

The character transformer of `benchmarks.training_rules` is trained and measured once; from that checkpoint, with the
optimizer's state, it goes on with one number changed at a time and over the same examples. Compared is the loss on
fixed examples minus that of the run that goes on unchanged, over seeds of the order of examples. Expected are the loss
that noise keeps and what the decay takes off, by the measurement, and `speed` times the slope of the unchanged run for
the flat directions.

    DRIFTAX_DATA=... python -m benchmarks.forecasts --seeds 8
"""

from __future__ import annotations

import argparse
import copy
import math
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
_LATER, _MIDDLE = slice(5, 10), 0.8  # looks that are averaged, and how far along the way they are on average


def _go_on(
    model: Model, optimizer: Any, data: dict[str, Any], settings: Settings, examples: int, seed: int
) -> list[float]:
    """Steps in place, and the loss at every tenth of the way."""
    for group in optimizer.param_groups:
        group.update(
            lr=settings.learning_rate, betas=(settings.b1, settings.b2), weight_decay=settings.weight_decay
        )
    batch, random, looks = int(settings.batch), np.random.default_rng([seed, 1]), []
    steps = examples // batch
    at = {steps * tenth // 10 for tenth in range(1, 11)}
    for step in range(1, steps + 1):
        index = torch.from_numpy(random.integers(len(data["inputs"]), size=batch))
        optimizer.zero_grad()
        _loss(model, (data["inputs"][index], data["labels"][index])).backward()
        optimizer.step()
        if step in at:
            with torch.no_grad():
                looks.append(float(_loss(model, data["looked_at"])))
    return looks


def _continued(state: Any, data: dict[str, Any], settings: Settings, examples: int, seeds: int) -> np.ndarray:
    losses = []  # [seed, look]
    for seed in range(seeds):
        model, optimizer = copy.deepcopy(state)
        losses.append(_go_on(model, optimizer, data, settings, examples, seed))
    return np.array(losses)


def _mean(values: np.ndarray) -> str:
    return with_error(float(values.mean()), float(values.std(ddof=1)) / len(values) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forecasts")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=100, help="of the run, whose examples are those of all")
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
    # Losses are means over the second half: what is expected is taken at its middle.
    outcomes = after_changes(measured, _BASE, max(1, round(_MIDDLE * asked.steps)))
    base = _continued((model, optimizer), data, _BASE, examples, asked.seeds)
    # Over one way; its first tenth still remembers the jitter of the checkpoint.
    slopes = np.polyfit(np.arange(0.2, 1.01, 0.1), base[:, 1:].T, 1)[0]
    print(f"unchanged: loss {_mean(base[:, _LATER].mean(axis=1))}, slope over the way {_mean(slopes)}\n")
    print(
        "| change | noise | speed | decay | expected | measured | of the edge |\n|---|---|---|---|---|---|---|"
    )
    for one in outcomes[1:]:
        apart = (_continued((model, optimizer), data, one.settings, examples, asked.seeds) - base)[:, _LATER]
        noise = one.noise.value - outcomes[0].noise.value
        # The slope of the unchanged run has the pull of its decay in it, which does not grow with the speed.
        flat = (one.speed.value - 1) * (_MIDDLE * slopes.mean() + outcomes[0].pull.value)
        cells = [one.name, with_error(noise, one.noise.standard_error), f"{one.speed.value:.2f}"]
        pull = outcomes[0].pull.value - one.pull.value
        cells += [with_error(pull, math.hypot(outcomes[0].pull.standard_error, one.pull.standard_error))]
        cells += [f"{noise + flat + pull:+.4f}", _mean(apart.mean(axis=1)), f"{one.edge_share.value:.2f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
