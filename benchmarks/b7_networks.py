"""B7: one step of the equations of a network, as the library takes it, beside a full-batch step of Adam."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from driftax import SGD, Adam, Chain, GaussianNoise, MinibatchNoise, SignSGD, derive
from driftax.data import load_data
from driftax.networks import named_network
from driftax.published import publish
from driftax.simulate.drivers import driver_for
from driftax.simulate.reweighting import reweighted_equation, reweighting_driver
from driftax.simulate.schemes import EulerMaruyama
from driftax.simulate.steps import drawn, equation_step

from .interleave import Candidate, interleave
from .row import Row, rows

TITLE = "Equations of a network"
_BATCH, _RATE, _NOISE = 32, 1e-3, 1e-3
_BASE = "full-batch AdamW"
TEXT = f"""One Euler step of one member, float32, over a full-batch step of `optax.adamw` on the same network and data.
*Injected*: Gaussian noise of known covariance. *Minibatches*: batches of {_BATCH}, whose exact covariance drives the
equation through reweighted examples (`simulate.reweighting`): one set of weights for a whole step of order 1, of which
the second moment takes its drift and its noise too; a second set where a published formula asks for the diagonal of the
covariance; a second set and a Hessian-vector product for order 2. **Below 1 is faster** than full-batch AdamW; goals
are 1.3 where one pullback does, 3 with the diagonal, 4 for order 2, and 2.5 times the memory. The last column has the
temporary memory of a compiled run, over the same."""
COMPARES = "time per step, over that of full-batch AdamW"


class _Kind(NamedTuple):
    """An equation to step."""

    optimizer: Any
    model: int | str  # the weak order of a compiled one, or the name of a published one
    minibatches: bool


_ADAM = Adam(_RATE, 0.9, 0.999, 1e-8, 0.1)
_KINDS = {
    "AdamW, order 1, injected": _Kind(_ADAM, 1, False),
    "AdamW, order 2, injected": _Kind(_ADAM, 2, False),
    "SGD, order 1, minibatches": _Kind(SGD(_RATE), 1, True),
    "SignSGD, order 1, minibatches": _Kind(SignSGD(_RATE), 1, True),
    "AdamW, order 1, minibatches": _Kind(_ADAM, 1, True),
    "AdamW, compagnoni-2025, minibatches": _Kind(_ADAM, "compagnoni-2025", True),
    "AdamW, order 2, minibatches": _Kind(_ADAM, 2, True),
}


def run(quick: bool) -> Iterator[Row]:
    cases = {
        "MLP, breast_cancer": ("mlp", "breast_cancer", {}),
        "Transformer, digits": ("vision_transformer", "digits", {"patch": 2, "width": 32, "depth": 1}),
        "CNN, digits": ("cnn", "digits", {}),
        "ResNet, digits": ("resnet", "digits", {"blocks": 2}),
    }
    for words, (model, data, sizes) in list(cases.items())[: 1 if quick else 4]:
        examples = load_data(data, examples=None if data == "breast_cancer" else 512)
        objective, start = named_network(model, examples, **sizes)
        yield from _workload(f"{words} ({objective.dim:,} parameters)", objective, start, quick)


def _workload(words: str, objective: Any, start: Any, quick: bool) -> list[Row]:
    steps = 5 if quick else 20
    runs = {_BASE: _full_batch(objective, start, steps)}
    runs |= {name: _equation(kind, objective, start, steps) for name, kind in _KINDS.items()}

    def once(program, arguments, seed: int) -> None:
        jax.block_until_ready(program(*arguments, jax.random.key(seed)))

    candidates = [Candidate(name, functools.partial(once, *each), steps) for name, each in runs.items()]
    found = rows(words, interleave(candidates, rounds=3 if quick else 5))
    memory = {name: program.memory_analysis().temp_size_in_bytes for name, (program, _) in runs.items()}
    for row in found:
        if row.candidate in _KINDS:
            row.note = f"{row.candidate} {memory[row.candidate] / memory[_BASE]:.2f}"
    return found


def _full_batch(objective: Any, start: Any, steps: int):
    """optax's AdamW on the gradient of all examples."""
    optimizer, params = optax.adamw(_RATE, 0.9, 0.999, weight_decay=0.1), start.astype(jnp.float32)

    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(objective.gradient(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    def run(params, state, key):
        return jax.lax.scan(step, (params, state), None, steps)[0][0]

    arguments = (params, optimizer.init(params))
    return jax.jit(run).lower(*arguments, jax.random.key(0)).compile(), arguments


def _equation(kind: _Kind, objective: Any, start: Any, steps: int):
    law = MinibatchNoise(_BATCH) if kind.minibatches else GaussianNoise(_NOISE**2)
    chain = _single(Chain(objective, law, kind.optimizer))
    if kind.minibatches:
        equation = _under_minibatches(chain, kind.model)
        driver = reweighting_driver(chain, 1)
    else:
        equation = replace(derive(chain, weak_order=kind.model, full=False, nodes=3), corrected_noise=False)
        driver = driver_for(chain, (equation,), 1, 0)
    members = jnp.ones((len(chain.slots), start.size, 1), jnp.float32)
    members = members.at[0, :, 0].set(start.astype(jnp.float32))

    def run(members, key):
        def step(members, index):
            draw, _ = driver.draw(key, index, start.size, 1, jnp.float32)
            number = index.astype(jnp.float32)
            shared = drawn(chain, start.size, draw)
            return equation_step(equation, EulerMaruyama(), driver, 1, number, members, shared), None

        return jax.lax.scan(step, members, jnp.arange(steps))[0]

    return jax.jit(run).lower(members, jax.random.key(0)).compile(), (members,)


def _under_minibatches(chain: Chain, model: int | str):
    return publish(model, chain) if isinstance(model, str) else reweighted_equation(chain, model, True)


def _single(tree: Any) -> Any:
    """In single precision."""
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, tree)
