"""`python -m benchmarks.training_rules`: what the rules for another batch size predict, and what training does.

A character transformer of about 10^5 parameters on tiny Shakespeare with torch.optim.AdamW: measured at batch 32, then
trained at 4 times and at a quarter of it by the rules of `driftax.scale`, at equal numbers of examples, and compared
with the base run at the same examples by its test loss. Predicted are the verdict of the rule, and from the measured
curvature the speed along flat directions and the noise floor, both over those of the base run (seeds are measured
where their base runs end, and combined). Needs DRIFTAX_DATA with tiny Shakespeare, and torch.

    python -m benchmarks.training_rules --seeds 3 --examples 12800
"""

from __future__ import annotations

import argparse
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from driftax import scale
from driftax.advice.outcomes import Outcome, after_rules
from driftax.data import load_data
from driftax.measurement import Measurement, combine
from driftax.report.numbers import with_error
from driftax.scaling import Scaled, Settings
from driftax.torch import NoiseProbe

_LENGTH, _WIDTH, _BLOCKS, _HEADS = 64, 64, 2, 4
_BASE = Settings("adamw", 1e-3, 32, 0.9, 0.99, 1e-8, 0.1)
_RULES = ("none", "linear", "sqrt", "sqrt-decay", "half-life")
_WARM_UP = 0.1  # of the examples, in which the learning rate rises
_LOOKS = 8


class Model(torch.nn.Module):
    """A decoder of two blocks."""

    def __init__(self, alphabet: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(alphabet, _WIDTH)
        self.positions = torch.nn.Parameter(0.02 * torch.randn(_LENGTH, _WIDTH))
        block = torch.nn.TransformerEncoderLayer(
            _WIDTH, _HEADS, 4 * _WIDTH, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = torch.nn.TransformerEncoder(block, _BLOCKS, enable_nested_tensor=False)
        self.norm = torch.nn.LayerNorm(_WIDTH)
        self.last = torch.nn.Linear(_WIDTH, alphabet)
        self.register_buffer("mask", torch.nn.Transformer.generate_square_subsequent_mask(_LENGTH))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        values = self.embedding(tokens) + self.positions
        return self.last(self.norm(self.blocks(values, mask=self.mask, is_causal=True)))


class Run(NamedTuple):
    """Test losses at the looks, and how long it took."""

    losses: np.ndarray
    seconds: float


def _loss(model: Model, batch: Any) -> torch.Tensor:
    tokens, labels = batch
    return torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), labels.flatten())


def _train(
    data: dict[str, torch.Tensor], settings: Settings, seed: int, examples: int
) -> tuple[Model, torch.optim.Optimizer, Run]:
    """Trains from the seed's start on the seed's own order of examples."""
    torch.manual_seed(seed)
    model = Model(int(data["classes"]))
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=settings.learning_rate,
        betas=(settings.b1, settings.b2),
        eps=settings.eps,
        weight_decay=settings.weight_decay,
    )
    batch, begun, losses, seen = int(settings.batch), time.perf_counter(), [], 0
    looks = [examples * (i + 1) // _LOOKS for i in range(_LOOKS)]
    order = torch.from_numpy(
        np.random.default_rng([seed, batch]).integers(len(data["inputs"]), size=examples)
    )
    while seen + batch <= examples:
        share = min(1.0, (seen + batch) / (_WARM_UP * examples))
        for group in optimizer.param_groups:
            group["lr"] = share * settings.learning_rate
        index = order[seen : seen + batch]
        optimizer.zero_grad()
        _loss(model, (data["inputs"][index], data["labels"][index])).backward()
        optimizer.step()
        seen += batch
        while looks and seen >= looks[0]:
            looks.pop(0)
            with torch.no_grad():
                losses.append(float(_loss(model, (data["test_inputs"], data["test_labels"]))))
    return model, optimizer, Run(np.array(losses), time.perf_counter() - begun)


def _measured(data: dict[str, torch.Tensor], model: Model, optimizer: torch.optim.Optimizer) -> Measurement:
    """Noise and curvature where the base run ended."""
    pairs = torch.utils.data.TensorDataset(data["inputs"], data["labels"])
    loader = torch.utils.data.DataLoader(pairs, batch_size=int(_BASE.batch))
    probe = NoiseProbe(
        model, _loss, loader, optimizer=optimizer, every=1, units=128, tails=False, curvature=True
    )
    return probe.measure()


def _row(
    name: str, scaled: Scaled | None, outcome: Outcome, now: Outcome, runs: list[Run], base: list[Run]
) -> str:
    """Means over seeds: the last loss, and the largest difference from the base run after the warm-up."""
    last = np.array([run.losses[-1] for run in runs])
    difference = np.array([run.losses - other.losses for run, other in zip(runs, base, strict=True)])[:, 1:]
    error = difference.std(axis=0, ddof=1) / np.sqrt(len(runs))
    worst = int(np.argmax(np.abs(difference.mean(axis=0))))
    numbers = scaled.settings if scaled else _BASE
    cells = [
        name,
        f"{numbers.learning_rate:.3g}",
        f"{numbers.b1:.3g}, {numbers.b2:.4g}",
        f"{numbers.weight_decay:.3g}",
        f"{scaled.validity}: {scaled.reason}" if scaled else "",
        with_error(*outcome.speed),
        f"{outcome.floor.value / now.floor.value:.2g}"
        if np.isfinite(outcome.floor.value)
        else "beyond the edge of stability",
        with_error(last.mean(), last.std(ddof=1) / np.sqrt(len(runs))),
        with_error(float(difference.mean(axis=0)[-1]), float(error[-1])) if scaled else "",
        with_error(float(difference.mean(axis=0)[worst]), float(error[worst])) if scaled else "",
        f"{np.mean([run.seconds for run in runs]):.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_rules")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--examples", type=int, default=12_800)
    asked = parser.parse_args()
    found = load_data("tiny-shakespeare", length=_LENGTH, test=512)
    names = ("inputs", "labels", "test_inputs", "test_labels")
    data = {name: torch.from_numpy(np.asarray(getattr(found, name)).astype(np.int64)) for name in names}
    data["classes"] = torch.tensor(found.classes)
    trained = [_train(data, _BASE, seed, asked.examples) for seed in range(asked.seeds)]
    base = [run for _, _, run in trained]
    measured = [_measured(data, model, optimizer) for model, optimizer, _ in trained]
    parameters = sum(p.numel() for p in trained[0][0].parameters())
    print(f"{parameters:,} parameters, {asked.examples:,} examples, {asked.seeds} seeds")
    together = combine(measured)
    for one in (*measured, together):
        low, high = one.noise_scale_interval()
        print(f"noise scale {one.estimate('noise_scale').value:.3g} [{low:.3g}, {high:.3g}] examples")
    noise, interval = together.estimate("noise_scale").value, together.noise_scale_interval()
    columns = ("", "learning rate", "b1, b2", "weight decay", "predicted", "speed", "floor")
    columns += ("last test loss", "minus base", "largest", "s")
    print("\n| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for to in (128, 8):
        rules = scale(_BASE, to=to, noise_scale=noise, interval=interval)
        outcomes = {one.name: one for one in after_rules(together, _BASE, rules)}
        now = outcomes["now"]
        if to == 128:
            print(_row(f"base, {_BASE.batch}", None, now, now, base, base))
        for scaled in rules:
            if scaled.rule in _RULES:
                runs = [_train(data, scaled.settings, seed, asked.examples)[2] for seed in range(asked.seeds)]
                print(
                    _row(f"{scaled.rule}, {to}", scaled, outcomes[scaled.rule], now, runs, base), flush=True
                )


if __name__ == "__main__":
    main()
