"""A rehearsal from a checkpoint in JAX: short continuations by SVAG beside the optimizer's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from driftax._errors import DriftaxError
from driftax.advice.refusals import one_setting
from driftax.advice.rehearsal import (
    Rehearsal,
    at_factor,
    check_numbers,
    equation_of,
    looks_of,
    rehearsal,
    weights_of,
)
from driftax.measurement.of_jax import examples_of
from driftax.scaling.settings import Settings

_ASKED = "svag_check(loss_fn, params, batches, optimizer, opt_state)"
_NOISE, _STEPS = "nu", "count"  # fields of optax's states: second moments, and steps that were made


def svag_check(
    loss_fn: Callable[[Any, Any], Any],
    params: Any,
    batches: Any,
    optimizer: Settings | Mapping[str, Any],
    opt_state: Any = None,
    *,
    batch: int | None = None,
    make: Callable[[Settings], optax.GradientTransformation] | None = None,
    steps: int = 50,
    factors: Sequence[int] = (2, 4),
    members: int = 8,
    looked_at: int = 512,
    tolerance: float = 0.1,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> Rehearsal:
    """Whether the equation of the optimizer is valid at these params, by continuations that train for a short while.

    A continuation with factor m takes m steps for one, each by the optimizer's rule for a batch 1/m as large (the
    linear rule of SGD, the square-root rule with decay of RMSprop and Adam) and with `a g + b g'` of two batches for
    a gradient, whose noise is m times as large. Examples are drawn with replacement.

    It costs `members * steps * (1 + 2 * sum(factors))` gradients.

    Args:
        loss_fn: the loss of ONE example, a scalar, of (params, example).
        params: any pytree, at the checkpoint.
        batches: a pytree of arrays whose first axis counts the examples, or a list of such batches.
        optimizer: its numbers, as `driftax.scale` takes them: {"optimizer": "adamw", "lr": 1e-3, "b2": 0.99, ...}.
        opt_state: of optax at the checkpoint; that of the first step if left out.
        batch: examples in a step, where the numbers do not say.
        make: optax's transformation from the numbers of a factor, without schedules; the one of that name if left out.
        steps: of the optimizer.
        factors: of SVAG, each 2 or more.
        members: continuations of each, 4 or more.
        looked_at: examples on which losses are compared.
        tolerance: largest distance of a valid equation, over range and spread of the loss.
        seed: of the draws.
        progress: told the share that is done.

    Raises:
        DriftaxError: for optimizers with no rule, a state of another optimizer, and numbers out of range.

    Example:
        >>> rows = 0.3 * np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
        >>> loss = lambda params, row: 0.5 * jnp.sum((params - row) ** 2)
        >>> sgd = {"optimizer": "sgd", "lr": 0.02}
        >>> svag_check(loss, jnp.full(3, 3.0), rows, sgd, batch=8, steps=20).verdict
        'valid'

    Source: li2021, Algorithm 1; malladi2022 (RMSprop and Adam).
    """
    check_numbers(_ASKED, steps, factors, members, batch, looked_at, tolerance, seed)
    settings = one_setting(optimizer, batch, _ASKED)
    equation = equation_of(_ASKED, settings)
    examples = examples_of(loss_fn, params, batches)
    count = jax.tree.leaves(examples)[0].shape[0]
    chosen = np.random.default_rng([seed, 0]).choice(count, min(looked_at, count), replace=False)
    moving, fixed = eqx.partition(params, eqx.is_inexact_array)
    state = _state(make or _by_name, settings, moving, opt_state)
    run = _Run(loss_fn, fixed, examples, jax.tree.map(lambda array: array[chosen], examples))

    looks, all_factors = looks_of(steps), [1, *sorted(set(factors))]
    losses = {m: np.zeros((members, len(looks))) for m in all_factors}
    whole, done = members * sum(all_factors), 0
    for m in all_factors:
        update = (make or _by_name)(at_factor(settings, m)).update
        for member in range(members):
            key = jax.random.key(np.random.default_rng([seed, m, member]).integers(2**31))
            begin = moving, _scaled(state, m)
            losses[m][member] = _continued(run, update, begin, key, m * looks, int(settings.batch), m)
            done += m
            if progress is not None:
                progress(done / whole, f"factor {m}, member {member + 1} of {members}")
    return rehearsal(losses, looks, tolerance, equation=equation)


class _Run(NamedTuple):
    """What all continuations share."""

    loss_fn: Callable[[Any, Any], Any]
    fixed: Any
    examples: Any
    looked_at: Any

    def mean(self, moving: Any, examples: Any) -> Any:
        params = eqx.combine(moving, self.fixed)
        return jnp.mean(jax.vmap(lambda one: self.loss_fn(params, one))(examples))


def _continued(
    run: _Run, update: Any, carried: Any, key: Any, looks: np.ndarray, batch: int, factor: int
) -> np.ndarray:
    """The losses of one continuation at the looks [look]."""
    weights = weights_of(factor)
    found = []
    for ends in zip([0, *looks[:-1]], looks, strict=True):
        carried, loss = _leg(run, update, carried, key, jnp.asarray(ends), batch, weights)
        found.append(float(loss))
    return np.array(found)


@eqx.filter_jit
def _leg(
    run: _Run, update: Any, carried: Any, key: Any, ends: Any, batch: int, weights: tuple[float, ...]
) -> Any:
    """The steps between two looks, and the loss there; compiled once for a factor, however long a leg is."""
    count = jax.tree.leaves(run.examples)[0].shape[0]

    def step(number: Any, carried: Any) -> Any:
        moving, state = carried
        index = jax.random.randint(jax.random.fold_in(key, number), (len(weights), batch), 0, count)

        def loss(at: Any) -> Any:
            drawn = [jax.tree.map(lambda array, row=row: array[row], run.examples) for row in index]
            return sum(weight * run.mean(at, one) for weight, one in zip(weights, drawn, strict=True))

        updates, state = update(jax.grad(loss)(moving), state, moving)
        return optax.apply_updates(moving, updates), state

    carried = jax.lax.fori_loop(ends[0], ends[1], step, carried)
    return carried, run.mean(carried[0], run.looked_at)


def _by_name(settings: Settings) -> optax.GradientTransformation:
    """The transformation that has these numbers, with the state that optax's own of that name has."""
    name, b2, eps = settings.optimizer, settings.b2, settings.eps
    if name == "sgd":
        inner = optax.trace(settings.b1) if settings.b1 else optax.identity()
    elif name.startswith("adam"):
        inner = optax.scale_by_adam(settings.b1, b2, eps)
    else:
        inner = optax.scale_by_rms(b2, eps, eps_in_sqrt=False)
    parts, decay = [inner], optax.add_decayed_weights(settings.weight_decay)
    if settings.weight_decay_form == "l2":
        parts = [decay, inner] if settings.weight_decay else [inner]
    elif settings.weight_decay or name.endswith("w"):
        parts = [inner, decay]
    parts.append(optax.scale_by_learning_rate(settings.learning_rate))
    return optax.chain(*parts, *([optax.identity()] if name == "rmsprop" else []))


def _state(
    make: Callable[[Settings], optax.GradientTransformation], settings: Settings, moving: Any, given: Any
) -> Any:
    """The state to begin with.

    Raises:
        DriftaxError: for the state of another optimizer or of other params, and for numbers kept in it.
    """
    fresh = make(settings).init(moving)
    if any("hyperparams" in getattr(part, "_fields", ()) for part in _parts(fresh)):
        found = "a state that keeps the numbers (inject_hyperparams), which no factor could change"
        raise DriftaxError(
            _ASKED, found, "make=lambda s: optax.adamw(s.learning_rate, s.b1, s.b2, s.eps, ...)"
        )
    if given is None:
        return fresh
    shaped = [jax.tree.map(jnp.shape, one) for one in (given, fresh)]
    if shaped[0] != shaped[1]:
        raise DriftaxError(
            _ASKED,
            f"an opt_state that is not that of optax's {settings.optimizer} at these params",
            "make=lambda s: the transformation of the loop with the numbers s.learning_rate, s.b1, ...",
        )
    return given


def _parts(state: Any) -> list[Any]:
    """The state and all states inside it."""
    inside = state.values() if isinstance(state, Mapping) else state if isinstance(state, tuple) else ()
    return [state, *(part for one in inside for part in _parts(one))]


def _scaled(state: Any, factor: int) -> Any:
    """A state of optax 1/factor of a step at a time: second moments grow like the noise, steps are more."""
    if isinstance(state, Mapping):
        return type(state)({name: _scaled(part, factor) for name, part in state.items()})  # type: ignore[call-arg]
    if not isinstance(state, tuple):
        return state
    if not hasattr(state, "_fields"):
        return tuple(_scaled(part, factor) for part in state)
    parts = [
        jax.tree.map(lambda leaf: factor * leaf, part) if name in (_NOISE, _STEPS) else _scaled(part, factor)
        for name, part in zip(state._fields, state, strict=True)
    ]
    return type(state)(*parts)
