"""B5: a step with the exact covariance of the gradient noise of a neural net, beside a full-batch step of Adam."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from . import adam_steps
from .adam_steps import BATCH, BETA1
from .digits_net import EXAMPLES, Net
from .interleave import Answer, Candidate, Measured, check_agreement, interleave
from .row import Row, rows

TITLE = "Noise of a neural net"
_DIRECTIONS = 16
TEXT = f"""One step of the order-1 equation of Adam with minibatches of {BATCH}, for a perceptron on scikit-learn's
digits ({EXAMPLES} examples, float32). The noise has exactly the covariance of the examples' gradients, none of which
is ever made: the examples are reweighted at random, and the full gradient and the noise are one batched pullback of
the vector of losses (`driftax`). **The library has no such step yet: what is timed here is the algorithm.**
`driftax, one pullback` is for a scheme that wants only the sum of gradient and noise; `per-example gradients` makes
them all by `vmap(grad)` and is left out where they would take more than 1 GB. Here **below 1 is faster** than
full-batch Adam (optax); the goal is 1.3 for `driftax`, and twice the memory. The last column has the temporary memory
of a compiled step, per trajectory. At the start, the variance of the noise along {_DIRECTIONS} directions must agree
with that of the examples' gradients."""
COMPARES = "time per step of a trajectory, over that of full-batch Adam"

_LARGEST = 10**9  # bytes of all per-example gradients
_WORK = 10**10  # floating-point operations of a timed run, or one step
_REFERENCE = "full-batch Adam"
_PER_EXAMPLE = "per-example gradients"
_SLOWER = 32  # about how many times a step with them takes: so many fewer are made
_STEPS = {
    _REFERENCE: adam_steps.full_batch,
    "driftax": adam_steps.equation,
    "driftax, one pullback": adam_steps.equation_one_pullback,
    _PER_EXAMPLE: adam_steps.equation_per_example,
    f"minibatch-{BATCH} Adam": adam_steps.minibatch,
}


def run(quick: bool) -> list[Row]:
    small, middle, large = Net((64,)), Net((280, 280)), Net((960, 960))
    sizes = {small: (1, 4)} if quick else {small: (1, 4, 32), middle: (1, 4, 32), large: (1, 4)}
    return [row for net in sizes for members in sizes[net] for row in _workload(net, members, quick)]


def _workload(net: Net, members: int, quick: bool) -> list[Row]:
    repeats = max(1, _WORK // (6 * EXAMPLES * net.size * members))
    ensembles = {
        name: Ensemble(step, net, members)
        for name, step in _STEPS.items()
        if name != _PER_EXAMPLE or 4 * EXAMPLES * net.size * members <= _LARGEST
    }

    def candidate(name, ensemble):
        steps = max(1, repeats // _SLOWER) if name == _PER_EXAMPLE else repeats
        return Candidate(name, functools.partial(ensemble.run, steps), steps * members)

    measured = interleave([candidate(*pair) for pair in ensembles.items()], rounds=3 if quick else 5)
    _check(net, {name: ensemble for name, ensemble in ensembles.items() if name != _REFERENCE})
    found = rows(f"{net} ({net.size} parameters), trajectories: {members}", measured)
    for row in found:
        row.note = f"{row.candidate} {ensembles[row.candidate].temporary / 2**20:.3g} MiB"
    return found


class Ensemble:
    """Independent trajectories from one start, a step at a time."""

    def __init__(self, step: Callable, net: Net, members: int) -> None:
        self._step, self.members = step, members
        params = net.start()
        start = (params, adam_steps.optimizer.init(params))
        self.start = jax.tree.map(lambda x: jnp.repeat(x[None], members, axis=0), start)

    @functools.cached_property
    def compiled(self):
        """Compiled when first run, so that the first run counts it."""

        def step(params, state, seed, number):
            key = jax.random.fold_in(jax.random.key(seed), number)
            return jax.vmap(self._step)(params, state, jax.random.split(key, self.members))

        return jax.jit(step).lower(*self.start, 0, 0).compile()

    @property
    def temporary(self) -> float:
        """Bytes of temporary memory per trajectory."""
        return self.compiled.memory_analysis().temp_size_in_bytes / self.members

    def run(self, repeats: int, seed: int) -> None:
        now = self.start
        for number in range(repeats):
            now = self.compiled(*now, seed, number)
        jax.block_until_ready(now)


def _check(net: Net, ensembles: dict[str, Ensemble]) -> None:
    """Refuses noise whose variance at the start, along random directions, is not that of the examples' gradients."""
    params = net.start()
    leaves, structure = jax.tree.flatten(params)
    random = np.random.default_rng(1)
    drawn = [jnp.asarray(random.standard_normal((_DIRECTIONS, *x.shape)), jnp.float32) for x in leaves]
    directions = jax.tree.unflatten(structure, drawn)
    exact = jax.jit(jax.vmap(adam_steps.exact_variance, in_axes=(None, 0)))(params, directions).mean()
    gradient = jax.jit(adam_steps.full_gradient)(params)

    @jax.jit
    def variance(first_moment):
        """Of the noise of one gradient, read off the first moment [member, ...] after one step from zero."""
        noise = jax.tree.map(lambda m, g: m / (1 - BETA1) - g, first_moment, gradient)
        along = jax.tree.map(
            lambda z, u: z.reshape(len(z), -1) @ u.reshape(_DIRECTIONS, -1).T, noise, directions
        )
        return BATCH * (sum(jax.tree.leaves(along)) ** 2).mean(axis=1)

    def answer(name, ensemble):
        samples = min(256, max(16, 5_000_000 // net.size))  # fewer of a large net: each costs a step
        samples = 16 if name == _PER_EXAMPLE else samples
        steps = math.ceil(samples / ensemble.members)
        after = (ensemble.compiled(*ensemble.start, 0, number)[1][0].mu for number in range(steps))
        return Answer.of(np.concatenate([variance(moment) for moment in after]))

    answers = {"covariance of the examples": Answer(float(exact), 0.0)}
    answers |= {name: answer(name, ensemble) for name, ensemble in ensembles.items()}
    check_agreement([Measured(name, 0.0, np.empty(0), found) for name, found in answers.items()])
