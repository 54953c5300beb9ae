"""Where the vectors, the step counters and the constants of an optax state are.

A state is taken apart by watching it: the transformation is run for a few steps on two different sequences of
gradients. What follows the gradients is state (vectors of the length of the params, or numbers of their own);
what only counts steps is time; what never moves is a constant. Anything else is refused, with the reason.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import optax

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector

_STEPS = 4
_PROBE = 3  # parameters of the run that is watched

State = Any


class StateLayout:
    """The leaves of an optax state by kind.

    Args:
        transform: the transformation at rung 1.
        name: what it is called in messages.
    """

    def __init__(self, transform: optax.GradientTransformation, name: str):
        params = jnp.linspace(0.5, 1.5, _PROBE)
        first, second = (_watch(transform, params, seed, name) for seed in (0, 1))
        leaves, self.structure = jax.tree_util.tree_flatten_with_path(first[0])
        self.names = ["params"]
        self.vectors: list[int] = []
        self.scalars: list[int] = []  # numbers that follow the gradients: carried as constant vectors
        self.counters: list[int] = []
        self.constants: list[int] = []  # such as a number that was injected: taken from the rung's own init
        self.flags: dict[int, tuple[Any, Any]] = {}  # the value before the first step and after it
        for position, (path, leaf) in enumerate(leaves):
            runs = [
                [np.asarray(_plain(jax.tree.leaves(s)[position])) for s in run] for run in (first, second)
            ]
            self._place(position, _leaf_name(path), leaf, runs, name)
        self.named: Callable[..., State] = namedtuple("OptaxState", self.names)  # type: ignore[misc]

    def _place(
        self, position: int, leaf_name: str, leaf: Any, runs: list[list[np.ndarray]], name: str
    ) -> None:
        one, other = runs
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        follows = any(not np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        moves = any(not np.array_equal(a, one[0]) for a in one[1:])
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or (leaf.dtype == jnp.uint32 and moves):
            _refuse(
                name,
                f"an inner random key ({leaf_name})",
                "an optimizer whose only randomness is the gradient",
            )
        if not moves and not (floating and leaf.shape == (_PROBE,)):
            self.constants.append(position)
        elif floating and leaf.shape in ((_PROBE,), ()) and (follows or leaf.shape):
            (self.vectors if leaf.shape else self.scalars).append(position)
            self.names.append(leaf_name if leaf_name not in self.names else f"{leaf_name}_{len(self.names)}")
        elif leaf.ndim == 0 and not follows and all(int(v) == k for k, v in enumerate(one)):
            self.counters.append(position)
        elif leaf.ndim == 0 and not follows and len({v.item() for v in one[1:]}) == 1:
            self.flags[position] = (leaf, one[1])
        elif floating and leaf.ndim == 0:  # a schedule of its own, written down for the record
            self.constants.append(position)
        elif leaf.ndim == 0:
            seen = ", ".join(str(v.item()) for v in one)
            _refuse(
                name,
                f"an integer state ({leaf_name}) that runs {seen}: not a step counter",
                "an optimizer whose only integers count steps; in place of accumulation over k batches, the "
                "inner optimizer with batches k times as large (covariance / k)",
            )
        else:
            _refuse(
                name,
                f"a state ({leaf_name}) of shape {list(leaf.shape)} for {_PROBE} parameters: neither a vector of "
                "their length nor a number",
                "an optimizer whose state is vectors and step counters (adam, adamw, rmsprop, sgd)",
            )

    @property
    def shared(self) -> tuple[str, ...]:
        """The slots that are one number for all coordinates."""
        kept = sorted((*self.vectors, *self.scalars))
        return tuple(name for name, i in zip(self.names[1:], kept, strict=True) if i in self.scalars)

    def state(self, params: Vector, inner: Any) -> State:
        """The named vectors of a state, params first."""
        leaves = jax.tree.leaves(inner)
        rows = {i: leaves[i] for i in self.vectors}
        rows |= {i: jnp.broadcast_to(leaves[i], params.shape) for i in self.scalars}
        return self.named(params, *(rows[i] for i in sorted(rows)))

    def inner(self, state: State, step: Scalar, initial: Any) -> Any:
        """The optax state at a step, from its named vectors and the state before the first step."""
        kept = sorted((*self.vectors, *self.scalars))
        leaves = jax.tree.leaves(initial)
        for position, vector in zip(kept, state[1:], strict=True):
            leaves[position] = vector[0] if position in self.scalars else vector
        for position in self.counters:  # a float counter lets the compiler differentiate in time
            leaves[position] = jnp.asarray(step, dtype=state[0].dtype)
        for position, (before, after) in self.flags.items():
            leaves[position] = jnp.where(jnp.asarray(step) < 0.5, before, after)
        return jax.tree_util.tree_unflatten(self.structure, leaves)

    def unpack(self, slots: Slots | Sequence[Vector]) -> State:
        return self.named(*slots)


def _watch(transform: optax.GradientTransformation, params: Vector, seed: int, name: str) -> list[Any]:
    """The states before and after each of a few steps."""
    gradients = np.random.default_rng(seed).normal(size=(_STEPS, _PROBE)) + 0.1
    try:
        states = [transform.init(params)]
        for gradient in gradients:
            updates, after = transform.update(jnp.asarray(gradient), states[-1], params)
            if getattr(updates, "shape", None) != params.shape:
                _refuse(
                    name,
                    "updates that are not one vector of the length of the params",
                    "one flat transformation",
                )
            before: Any = jax.tree.structure(states[-1])
            if before != jax.tree.structure(after):
                _refuse(
                    name, "a state that changes its structure from step to step", "a state of one structure"
                )
            params = params + 0.01 * updates
            states.append(after)
    except DriftaxError:
        raise
    except Exception as error:
        what = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
        _refuse(
            name,
            f"an update that a gradient alone does not drive: {what}",
            "an optimizer that takes updates and params only (no loss value, line search or second-order information)",
        )
    return states


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf


def _leaf_name(path: tuple) -> str:
    keys = [getattr(key, "name", None) for key in path]
    return next((key for key in reversed(keys) if key), "state")


def _refuse(name: str, found: str, instead: str) -> NoReturn:
    raise DriftaxError(f"the equation of {name}", found, instead)
