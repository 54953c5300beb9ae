"""Every alias of optax's main namespace and common chains: the table of docs/optax.md, from certificates.

    python benchmarks/optax_table.py            # prints the table (about ten minutes)
    python benchmarks/optax_table.py --write    # and writes docs/optax.md
    python benchmarks/optax_table.py adam lion  # some rows

A row holds the order that the one-step certificate finds for the equation of order 1 and of order 2, in both regimes,
on a quadratic loss with Gaussian gradient noise.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from driftax import Chain, DriftaxError, GaussianNoise, Quadratic, Regime, derive, from_optax, local_order
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer.from_optax import optax_by_name
from driftax.optimizer.optax_aliases import ALIASES, REFUSED
from driftax.optimizer.structure import structure

RATE = 0.25
STEP = 8.0  # steps taken before
_MOMENTS = {"b1": 0.75, "b2": 0.875, "eps": 0.1}
NUMBERS = {
    "adadelta": {"rho": 0.75, "eps": 0.1},
    "adagrad": {"eps": 0.1},
    "fromage": {},
    "lars": {"eps": 0.1, "trust_coefficient": 1.0, "momentum": 0.75},
    "lion": {"b2": 0.875},
    "novograd": {"b1": 0.75, "b2": 0.75},
    "rmsprop": {"decay": 0.875, "eps": 0.1, "momentum": 0.75},
    "sgd": {"momentum": 0.75},
    "sign_sgd": {},
    "signum": {"beta": 0.75},
    "sm3": {"momentum": 0.75},
}
DOCS = Path(__file__).resolve().parents[1] / "docs" / "optax.md"


class Outcome(NamedTuple):
    """What a certificate or a refusal says of one equation."""

    order: float | None
    refusal: str | None

    def __str__(self) -> str:
        if self.refusal is not None:
            return "refused"
        return "-" if self.order is None else f"{self.order:.2f}"


def build(name: str, regime: Regime) -> AbstractOptimizer:
    """`optax.NAME` with the numbers of the table."""
    return optax_by_name(name, {"learning_rate": RATE, **NUMBERS.get(name, _MOMENTS)}, regime)


def chains() -> dict[str, Callable[[float], optax.GradientTransformation]]:
    """Chains of optax as families of their rungs, ballistic."""

    def adam(s, **more):
        return optax.adam(RATE * s, 1 - RATE * s, 1 - 0.5 * RATE * s, eps=0.1, **more)

    def cosine(s):
        return lambda count: RATE * s * optax.cosine_decay_schedule(1.0, 40)(count * s)

    return {
        "clip, sgd": lambda s: optax.chain(optax.clip(0.8), optax.sgd(RATE * s)),
        "clip, adam": lambda s: optax.chain(optax.clip(0.8), adam(s)),
        "clip_by_global_norm, sgd": lambda s: optax.chain(
            optax.clip_by_global_norm(0.8), optax.sgd(RATE * s)
        ),
        "cosine schedule, adam": lambda s: optax.adam(cosine(s), 1 - RATE * s, 1 - 0.5 * RATE * s, eps=0.1),
        "add_decayed_weights, sgd": lambda s: optax.chain(
            optax.add_decayed_weights(0.3), optax.sgd(RATE * s)
        ),
        "adam, add_decayed_weights": lambda s: optax.chain(
            optax.scale_by_adam(1 - RATE * s, 1 - 0.5 * RATE * s, eps=0.1),
            optax.add_decayed_weights(0.3),
            optax.scale_by_learning_rate(RATE * s),
        ),
        "masked decay, sgd": lambda s: optax.chain(
            optax.masked(optax.add_decayed_weights(0.3), True), optax.sgd(RATE * s)
        ),
        "ema of updates, sgd": lambda s: optax.chain(
            optax.ema(1 - RATE * s, debias=True), optax.sgd(RATE * s)
        ),
        "apply_if_finite, adam": lambda s: optax.apply_if_finite(adam(s), 3),
        "inject_hyperparams, sgd": lambda s: optax.inject_hyperparams(optax.sgd)(learning_rate=RATE * s),
        "MultiSteps of 4, sgd": lambda s: optax.MultiSteps(optax.sgd(RATE * s), 4).gradient_transformation(),
        "add_noise, sgd": lambda s: optax.chain(optax.add_noise(0.1, 0.5, key=0), optax.sgd(RATE * s)),
    }


def chain_of(optimizer: AbstractOptimizer, regime: Regime) -> tuple[Chain, jax.Array]:
    """The chain of a row and the state its certificate looks at: two parameters where coordinates mix."""
    dim = 1 if structure(optimizer, 3).elementwise else 2
    step_length = float(optimizer.time_step(regime))
    # Where coordinates mix, less noise: the direction of a gradient is singular where it vanishes.
    noise = GaussianNoise(
        (0.5 if dim == 1 else 0.1) / (step_length if regime is Regime.BATCH_EQUIVALENT else 1.0)
    )
    loss = Quadratic(jnp.asarray([[1.0, 0.5], [0.5, 1.5]])[:dim, :dim])
    rows = [jnp.asarray([1.0, -0.6])[:dim]]
    for position, slot in enumerate(list(optimizer.slots)[1:], start=1):
        first = 2.0 if slot == "nu_max" else 0.4 + 0.3 * position
        # A number of the optimizer's own is a vector of equal entries.
        rows.append(jnp.asarray([first, first if optimizer_shares(optimizer, slot) else 0.8 * first])[:dim])
    return Chain(loss, noise, optimizer, regime), jnp.stack(rows)


def optimizer_shares(optimizer: AbstractOptimizer, slot: str) -> bool:
    """Whether a slot is one number for all coordinates."""
    return slot in getattr(getattr(optimizer, "_layout", None), "shared", ())


def outcome(make: Callable[[], AbstractOptimizer], regime: Regime, order: int) -> Outcome:
    """The certified order of one equation, or why it is refused."""
    try:
        chain, state = chain_of(make(), regime)
        equation = derive(chain, weak_order=order, at=state, step=STEP)
        return Outcome(local_order(equation, state, STEP).order, None)
    except DriftaxError as error:
        return Outcome(None, error.found)


def alias_row(name: str) -> tuple[str, list[Outcome]]:
    """The four outcomes of an alias."""
    pairs = [(regime, order) for regime in Regime for order in (1, 2)]
    return name, [outcome(lambda r=regime: build(name, r), regime, order) for regime, order in pairs]


def chain_row(name: str) -> tuple[str, list[Outcome]]:
    """The two ballistic outcomes of a chain."""
    family = chains()[name]
    normalised = "adam" in name

    def make() -> AbstractOptimizer:
        return from_optax(family, learning_rate=RATE, normalised=normalised, name=name)

    return name, [outcome(make, Regime.BALLISTIC, order) for order in (1, 2)]


def markdown(aliases: list[tuple[str, list[Outcome]]], rows: list[tuple[str, list[Outcome]]]) -> str:
    """The page."""
    lines = [
        "# optax: which aliases have an equation",
        "",
        "Generated by `python benchmarks/optax_table.py --write`; `tests/order/exact/test_optax_table.py` holds it to",
        "the code. A number is the order the one-step certificate finds (it ends near the order claimed); *obstructed*",
        "means that no equation on the optimizer's own state is of that order there (`derive` names the term); a state",
        "of an optimizer follows its slots along the ladder by `optimizer/optax_aliases.py`.",
        "",
        f"{len(ALIASES)} aliases compile, {len(REFUSED)} are refused.",
        "",
        "| alias | ballistic 1 | ballistic 2 | batch-equivalent 1 | batch-equivalent 2 | remark |",
        "|---|---|---|---|---|---|",
    ]
    for name, outcomes in aliases:
        cells, remarks = [], []
        for found in outcomes:
            cells.append(_cell(found))
            if found.refusal and "moments of one step that no equation" not in found.refusal:
                remarks.append(found.refusal)
        lines.append(f"| `{name}` | {' | '.join(cells)} | {'; '.join(dict.fromkeys(remarks))} |")
    lines += ["", "Refused:", "", "| alias | why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, why in sorted(REFUSED.items())]
    lines += ["", "Chains (ballistic):", "", "| chain | order 1 | order 2 | remark |", "|---|---|---|---|"]
    for name, outcomes in rows:
        remarks = [found.refusal for found in outcomes if found.refusal]
        lines.append(
            f"| {name} | {' | '.join(_cell(found) for found in outcomes)} | {'; '.join(dict.fromkeys(remarks))} |"
        )
    return "\n".join(lines) + "\n"


def _cell(found: Outcome) -> str:
    if found.refusal and "moments of one step that no equation" in found.refusal:
        return "obstructed"
    return str(found)


def main() -> None:
    jax.config.update("jax_enable_x64", True)
    wanted = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    aliases, rows = [], []
    for name in [n for n in ALIASES if not wanted or n in wanted]:
        started = time.monotonic()
        aliases.append(alias_row(name))
        print(name, *map(_cell, aliases[-1][1]), f"{time.monotonic() - started:.0f} s", flush=True)
    for name in [n for n in chains() if not wanted or n in wanted]:
        started = time.monotonic()
        rows.append(chain_row(name))
        print(name, *map(_cell, rows[-1][1]), f"{time.monotonic() - started:.0f} s", flush=True)
        jax.clear_caches()
    page = markdown(aliases, rows)
    print(page)
    if "--write" in sys.argv and not wanted:
        DOCS.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
