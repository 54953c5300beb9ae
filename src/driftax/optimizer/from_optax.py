"""Any optax optimizer as a driftax optimizer: its own `update`, its state raveled by name."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from driftax._errors import DriftaxError
from driftax._types import Scalar, Slots, Vector
from driftax.optimizer._base import (
    AbstractOptimizer,
    State,
    check_hyperparameters,
    latex_numbers,
    symbol,
)
from driftax.regime import Regime, Role, ladder_power, move

# The power of [gradient] of the vectors optax optimizers keep.
_SLOT_DIMENSIONS = {"mu": 1, "nu": 2, "trace": 1}

_MOMENTS = {"learning_rate": Role.LEARNING_RATE, "b1": Role.DECAY, "b2": Role.DECAY, "eps": Role.EPS}
# The role of every number of the optimizers whose family driftax can build: (roles, normalised step).
ROLES: dict[str, tuple[dict[str, Role], bool]] = {
    "adam": (_MOMENTS, True),
    "adamw": ({**_MOMENTS, "weight_decay": Role.DECOUPLED_DECAY}, True),
    "rmsprop": ({"learning_rate": Role.LEARNING_RATE, "decay": Role.DECAY, "eps": Role.EPS}, True),
    "sgd": ({"learning_rate": Role.LEARNING_RATE}, False),
}
_DEFAULTS = {
    "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
    "adamw": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 1e-4},
    "rmsprop": {"decay": 0.9, "eps": 1e-8, "eps_in_sqrt": False},
    "sgd": {},
}


class OptaxOptimizer(AbstractOptimizer):
    """An optax family seen at one rung. Build it with `from_optax`."""

    learning_rate: Scalar
    scale: Scalar
    family: Callable[[Scalar], optax.GradientTransformation] = eqx.field(static=True)
    regime: Regime = eqx.field(static=True)
    _normalised: bool = eqx.field(static=True)
    _name: str = eqx.field(static=True)
    _layout: _Layout = eqx.field(static=True)

    smooth: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return self._name

    @property
    def normalised(self) -> bool:
        return self._normalised

    @property
    def slots(self) -> dict[str, int]:
        return {name: _SLOT_DIMENSIONS.get(name, 0) for name in self._layout.names}

    @property
    def roles(self) -> dict[str, Role]:
        return {}

    def init(self, params: Vector) -> State:
        return self._layout.state(params, self.family(self.scale).init(params))

    def clock(self, step: Scalar) -> Scalar:
        return step

    def advance(self, clock: Scalar, state: State, gradient: Vector) -> State:
        inner = self._layout.inner(state, clock)
        updates, after = self.family(self.scale).update(gradient, inner, state[0])
        return self._layout.state(state[0] + updates, after)

    def latex(self) -> list[str]:
        before, after = (
            r",\,".join(f"{symbol(name)}_{{{index}}}" for name in self.slots) for index in ("k", "k+1")
        )
        return [rf"({after}) = \operatorname{{update}}(k,\,{before},\,g_k)", latex_numbers(self)]

    def unpack(self, slots: Slots) -> State:
        return self._layout.named(*slots)

    def at(self, scale: Scalar, regime: Regime) -> OptaxOptimizer:
        if regime is not self.regime:
            raise DriftaxError(
                f"an optax optimizer in the {regime.value} regime",
                f"a family that moves by the {self.regime.value} regime",
                f"from_optax(family, learning_rate=..., regime=Regime.{regime.name})",
            )
        power = ladder_power(Role.LEARNING_RATE, self.normalised, regime)
        return eqx.tree_at(
            lambda o: (o.learning_rate, o.scale),
            self,
            (move(self.learning_rate, Role.LEARNING_RATE, scale, power), self.scale * scale),
        )

    def rescaled_at(self, root_scale: Scalar, regime: Regime) -> OptaxOptimizer:
        raise DriftaxError(
            "the taylor method for an optax optimizer",
            "a black-box update: its numbers cannot be kept fixed while the time step is expanded",
            "method = finite-step",
        )


class _Layout:
    """Where the vectors and the counters of an optax state are (compared by structure, for the jit cache)."""

    def __init__(self, family: Callable[[Scalar], optax.GradientTransformation]):
        probe = jnp.zeros(3)
        state = family(1.0).init(probe)
        leaves, self.structure = jax.tree_util.tree_flatten_with_path(state)
        names, self.vector, self.counter = ["params"], [], []
        for position, (path, leaf) in enumerate(leaves):
            name = _name(path)
            if jnp.issubdtype(leaf.dtype, jnp.integer) and leaf.ndim == 0:
                self.counter.append(position)
            elif leaf.shape == probe.shape and jnp.issubdtype(leaf.dtype, jnp.floating):
                self.vector.append(position)
                names.append(name if name not in names else f"{name}_{len(names)}")
            else:
                raise DriftaxError(
                    "`from_optax(family)`",
                    f"a state leaf {name!r} of shape {list(leaf.shape)} and type {leaf.dtype}: neither a "
                    "vector of the length of the params nor a step counter",
                    "an optimizer whose state is vectors and step counters (adam, adamw, rmsprop, sgd)",
                )
        self.names = tuple(names)
        self.named: Callable[..., State] = namedtuple("OptaxState", self.names)  # type: ignore[misc]
        self._check_counters(family, state, probe)

    def _check_counters(self, family, state, probe) -> None:
        """An integer that does not count steps from 0 is a state the equation cannot carry."""
        transform = family(1.0)
        for step in range(3):
            leaves = jax.tree.leaves(state)
            wrong = [int(leaves[i]) for i in self.counter if int(leaves[i]) != step]
            if wrong:
                raise DriftaxError(
                    "`from_optax(family)`",
                    f"an integer state that is {wrong[0]} after {step} steps: not a step counter",
                    "an optimizer whose only integers count steps",
                )
            _, state = transform.update(probe + 1.0, state, probe)

    def state(self, params: Vector, inner: Any) -> State:
        leaves = jax.tree.leaves(inner)
        return self.named(params, *(leaves[i] for i in self.vector))

    def inner(self, state: State, step: Scalar) -> Any:
        count = len(self.vector) + len(self.counter)
        leaves: list[Any] = [None] * count
        for position, vector in zip(self.vector, state[1:], strict=True):
            leaves[position] = vector
        for position in self.counter:  # a float counter lets the compiler differentiate in time
            leaves[position] = jnp.asarray(step, dtype=state[0].dtype)
        return jax.tree_util.tree_unflatten(self.structure, leaves)


def _name(path: tuple) -> str:
    keys = [getattr(key, "name", None) for key in path]
    return next((key for key in reversed(keys) if key), "state")


def from_optax(
    family: Callable[[Scalar], optax.GradientTransformation],
    *,
    learning_rate: float,
    regime: Regime = Regime.BALLISTIC,
    normalised: bool = True,
    name: str = "an optax optimizer",
) -> OptaxOptimizer:
    """An optax optimizer, given as the family of its rungs.

    Args:
        family: `family(s)` returns the GradientTransformation at rung scale s (s = 1 is the optimizer as used).
        learning_rate: its learning rate at s = 1, which sets the clock.
        regime: the regime along which `family` moves.
        normalised: whether the step stays the same when gradients are rescaled (Adam, RMSprop, sign).
        name: what it is called in tables and messages.

    Raises:
        DriftaxError: if the state holds something other than vectors and step counters.

    Example:
        >>> import optax
        >>> adam = from_optax(lambda s: optax.adam(0.1 * s, 1 - 0.1 * s, 1 - 0.01 * s), learning_rate=0.1)
        >>> list(adam.slots)
        ['params', 'mu', 'nu']
    """
    check_hyperparameters("from_optax", learning_rate=learning_rate)
    # By keyword: the abstract fields of the base class come first in the order of fields.
    return OptaxOptimizer(
        learning_rate=learning_rate,
        _normalised=normalised,
        _name=name,
        scale=1.0,
        family=family,
        regime=regime,
        _layout=_Layout(family),
    )


def optax_by_name(name: str, keywords: Mapping[str, float], regime: Regime) -> OptaxOptimizer:
    """The optax optimizer `optax.NAME(**keywords)`, moved along the ladder by the table of roles.

    Raises:
        DriftaxError: if the table has no such optimizer, or a number is out of its range.
    """
    if name not in ROLES:
        raise DriftaxError(
            f'name = "optax.{name}"',
            "no table of roles for it: how its numbers move along the ladder is not known",
            "one of "
            + ", ".join(f'"optax.{known}"' for known in ROLES)
            + ", or from_optax(family) in Python",
        )
    roles, normalised = ROLES[name]
    values = {**_DEFAULTS[name], **keywords}
    if "learning_rate" not in values:
        raise DriftaxError(f'name = "optax.{name}"', "no learning_rate", "learning_rate = 0.001")
    check_hyperparameters(f"optax.{name}", **{key: values[key] for key in roles})
    constructor = getattr(optax, name)

    def family(scale: Scalar) -> optax.GradientTransformation:
        moved = {
            key: move(values[key], role, scale, ladder_power(role, normalised, regime))
            for key, role in roles.items()
        }
        return constructor(**{**values, **moved})

    return from_optax(
        family,
        learning_rate=values["learning_rate"],
        regime=regime,
        normalised=normalised,
        name=f"optax.{name}",
    )
