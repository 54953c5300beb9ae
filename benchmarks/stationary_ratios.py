"""`python -m benchmarks.stationary_ratios`: the loss torch.optim.AdamW settles at, by rules for another batch size.

A quadratic, curvature (1, 2) and gradient noise 2 / sqrt(B), at base B = 1, learning rate 2e-3, betas (0.95, 0.999):
every rule at 4 and 16 times the batch, without decay and with decay 1, as a ratio to the base. Beside it the ratio of
an earlier simulation (`earlier`; z is with the errors of both), that of the leading formula
`eta / 4 sum lambda s / (lambda + theta s)` (`leading`) and of the self-consistent one (`refined`). A tensor of torch
holds all members: AdamW works number by number, so that they are independent runs.

The earlier simulation shrinks the params after the step, `(1 - eta theta)(x - step)`; PyTorch takes
`(1 - eta theta) x - step`. Where eta theta reaches 0.032, at 16 times the batch, the stationary loss tells the two
apart. `--decay-after` simulates the other one, by an AdamW without decay and a multiplication.

    python -m benchmarks.stationary_ratios                    # errors of about 0.002, some minutes on one core
    python -m benchmarks.stationary_ratios --members 4096     # errors twice as large
    python -m benchmarks.stationary_ratios --decay-after      # with decay 1 only
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from typing import NamedTuple

import torch

from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary
from driftax.report.numbers import with_error

CURVATURE, SIGMA = (1.0, 2.0), 2.0
BASE = AdaptiveRule(2e-3, 0.95, 0.999)
GROWTHS = (4, 16)
DECAYS = (0.0, 1.0)
BURN_IN = (
    6_000  # steps: 12 relaxation times of the base's loss, the slowest, and 6 memories of the second moment
)
EVERY = 10  # steps between looks at the loss, which forgets in 30 or more

# Powers of sqrt(growth) by which a rule multiplies: learning rate, weight decay, 1 - b1 and 1 - b2.
# Then the earlier ratios: no decay at 4 and at 16, decay at 4 and at 16.
RULES = {
    "sqrt-decay": ((1, 1, 2), (".999", ".997", ".993", ".988")),
    "sqrt": ((1, 0, 2), (".999", ".997", "1.417", "1.813")),
    "linear, memories": ((2, 0, 2), ("1.994", "4.024", "2.776", "7.09")),
    "linear": ((2, 0, 0), ("1.988", "3.914", "2.50", "4.30")),
    "sqrt-decay, betas kept": ((1, 1, 0), ("1.000", ".993", ".894", ".608")),
    "sqrt, betas kept": ((1, 0, 0), ("", "", "1.342", "1.563")),
    "decay, memories": ((0, 2, 2), (".500", ".249", ".317", ".091")),
    "none": ((0, 0, 0), (".502", ".250", ".703", ".440")),
}


class Value(NamedTuple):
    """A mean and its standard error."""

    mean: float
    error: float

    def over(self, other: Value) -> Value:
        """The ratio of two independent ones."""
        ratio = self.mean / other.mean
        return Value(ratio, ratio * math.hypot(self.error / self.mean, other.error / other.mean))


def moved(decay: float, growth: int, powers: tuple[int, int, int], decay_after: bool) -> AdaptiveRule:
    """The base's numbers by a rule."""
    rate, more_decay, memory = (math.sqrt(growth) ** power for power in powers)
    b1, b2 = (1 - memory * (1 - beta) for beta in (BASE.b1, BASE.b2))
    return AdaptiveRule(rate * BASE.learning_rate, b1, b2, more_decay * decay, decay_after=decay_after)


def formula(rule: AdaptiveRule, batch: int, name: str) -> float:
    """The stationary loss by a formula of `adaptive_stationary`."""
    noise = [SIGMA / math.sqrt(batch)] * len(CURVATURE)
    return float(adaptive_stationary(CURVATURE, noise, rule)[name].value.loss)


def settled(rule: AdaptiveRule, batch: int, members: int, steps: int, seed: int) -> Value:
    """The mean loss of the real optimizer, whose error comes from its independent members."""
    generator = torch.Generator().manual_seed(seed)
    curvature = torch.tensor(CURVATURE)
    params = torch.nn.Parameter(torch.zeros(members, len(CURVATURE)))
    params.grad = torch.zeros_like(params)
    optimizer = torch.optim.AdamW(
        [params],
        lr=rule.learning_rate,
        betas=(rule.b1, rule.b2),
        eps=1e-12,
        weight_decay=0.0 if rule.decay_after else rule.weight_decay,
        fused=True,
    )
    x, noise = params.detach(), SIGMA / math.sqrt(batch)
    total = torch.zeros(members, dtype=torch.float64)
    for step in range(1, BURN_IN + steps + 1):
        params.grad.normal_(0.0, noise, generator=generator).addcmul_(x, curvature)
        optimizer.step()
        if rule.decay_after:
            x.mul_(1 - rule.learning_rate * rule.weight_decay)
        if step > BURN_IN and step % EVERY == 0:
            total += 0.5 * (x * x) @ curvature
    losses = total / (steps // EVERY)
    return Value(float(losses.mean()), float(losses.std()) / math.sqrt(members))


def cells_of(
    name: str, rule: AdaptiveRule, growth: int, found: Value, known: str, of: AdaptiveRule
) -> list[str]:
    """A line: what was found, then every other ratio and how many standard errors it is away."""
    cells = [name, f"{of.weight_decay:g}", f"{growth}", with_error(*found), known, ""]
    if known:
        rounding = 10.0 ** -len(known.partition(".")[2]) / math.sqrt(12)
        theirs = math.hypot(min(0.009 * float(known), 0.02), rounding)  # at most, by their own word
        cells[-1] = f"{(found.mean - float(known)) / math.hypot(found.error, theirs):+.1f}"
    for kind in ("paper", "refined"):
        ratio = formula(rule, growth, kind) / formula(of, 1, kind)
        cells += [f"{ratio:.4f}", f"{(found.mean - ratio) / found.error:+.1f}"]
    return [*cells, f"{100 * (found.mean / ratio - 1):+.2f}"]


def lines(members: int, steps: int, decay_after: bool) -> Iterator[list[str]]:
    """Every rule, decay and growth."""
    seed = 0
    for decay in DECAYS[decay_after:]:
        of = moved(decay, 1, (0, 0, 0), decay_after)
        base = settled(of, 1, members, steps, seed)
        for name, (powers, earlier) in RULES.items():
            for place, growth in enumerate(GROWTHS):
                seed += 1
                rule = moved(decay, growth, powers, decay_after)
                found = settled(rule, growth, members, steps, seed).over(base)
                yield cells_of(name, rule, growth, found, earlier[place + 2 * DECAYS.index(decay)], of)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stationary_ratios")
    parser.add_argument("--members", type=int, default=16_384)
    parser.add_argument("--steps", type=int, default=14_000, help="after the burn-in")
    parser.add_argument(
        "--decay-after", action="store_true", help="the decay after the step, as in `earlier`"
    )
    asked = parser.parse_args()
    torch.set_num_threads(1)
    begin = time.perf_counter()
    print("| rule | decay | batch | ratio | earlier | z | leading | z | refined | z | % off |")
    print("|---" * 11 + "|")
    for cells in lines(asked.members, asked.steps, asked.decay_after):
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
