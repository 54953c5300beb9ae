"""What the traced update of an optimizer says of it: whether coordinates mix, and where it is not smooth.

The update is traced to a jaxpr and read equation by equation. Two questions are answered for any optimizer,
driftax's own, optax's or a user's, so that nobody has to declare them:

* does a coordinate of the new state depend on other coordinates (global norms, matrix products, sorting)?
* which *switches* decide between smooth branches? A switch is a function s of one coordinate's gradient
  (the argument of a sign, the difference of the arguments of a max, a clip or a comparison); the update is
  smooth between the zeros of its switches.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.optimizer._base import AbstractOptimizer

_SMOOTH = frozenset(
    "add add_any sub mul div neg integer_pow pow sqrt rsqrt cbrt square exp exp2 log log1p expm1 tanh logistic "
    "sin cos tan atan atan2 sinh cosh asinh acosh atanh erf erfc erf_inv lgamma digamma stop_gradient copy copy_p "
    "convert_element_type reduce_precision real nextafter optimization_barrier".split()
)
_COMPARISONS = frozenset("gt lt ge le eq ne".split())
_LOGIC = frozenset("and or not xor is_finite select_n".split())
_SHAPES = frozenset("broadcast_in_dim reshape squeeze expand_dims".split())
_NESTED = frozenset("pjit jit closed_call core_call remat checkpoint custom_jvp_call custom_vjp_call".split())
_STEPS = frozenset("floor ceil round rem".split())


class Structure(NamedTuple):
    """How the update of an optimizer treats its coordinates.

    Args:
        mixing: the operation that lets coordinates depend on each other; None for a coordinate-wise update.
        switches: the degree in the gradient of every switch: 1 or 2, or None where it is no such polynomial.
        steps: an operation with infinitely many jumps (rounding); None where there is none.
    """

    mixing: str | None
    switches: tuple[int | None, ...]
    steps: str | None

    @property
    def elementwise(self) -> bool:
        return self.mixing is None

    @property
    def smooth(self) -> bool:
        """Whether the update is a smooth function of the gradient."""
        return not self.switches


def structure(optimizer: AbstractOptimizer, dim: int) -> Structure:
    """The structure of an optimizer's update for `dim` parameters.

    Raises:
        DriftaxError: if the update rounds what depends on the gradient.
    """
    found = _structure(*_signature(optimizer), dim)
    if found.steps is not None:
        raise DriftaxError(
            f"the equation of {optimizer.name}",
            f"`{found.steps}` of what depends on the gradient: a step with infinitely many jumps",
            "an optimizer that does not round (quantised states have no smooth moments)",
        )
    return found


@lru_cache(maxsize=512)
def _structure(form: Any, numbers: tuple, dim: int) -> Structure:
    reader = _Reader(dim)
    closed = _traced(form, numbers, dim, jnp.result_type(float))
    fixed = len(numbers) + 1
    arguments = (
        [_FIXED] * fixed + [_Mark(True, 0)] * (len(closed.jaxpr.invars) - fixed - 1) + [_Mark(True, 1)]
    )
    reader.mark(closed.jaxpr, [_FIXED] * len(closed.consts), arguments)
    switches = () if reader.mixing else tuple(reader.switches)
    return Structure(reader.mixing, switches, reader.steps)


def growth(optimizer: AbstractOptimizer, dim: int) -> dict[str, int]:
    """The power of a large gradient with which one step of each slot grows: 0 bounded, 1 linear, 2 quadratic.

    Measured on one step from a state of ones at gradients of 1e6 and 1e9.
    """
    rows = tuple(jnp.ones(dim) for _ in optimizer.slots)
    state = optimizer.unpack(rows)

    def size(gradient: float) -> list[float]:
        after = optimizer.update(10.0, state, jnp.full(dim, gradient))
        return [float(jnp.max(jnp.abs(new - old))) for new, old in zip(after, state, strict=True)]

    large, larger = size(1e6), size(1e9)
    return {
        slot: max(0, round(math.log10(b / a) / 3)) if a > 0 and b > 0 else 0
        for slot, a, b in zip(optimizer.slots, large, larger, strict=True)
    }


def switch_values(
    optimizer: AbstractOptimizer, number: Scalar, rows: Sequence[Vector], gradient: Vector
) -> list[Vector]:
    """The values [dim] of all switches at a gradient [dim], in the order of `structure(...).switches`.

    Args:
        optimizer: a coordinate-wise one.
        number: the step.
        rows: the vectors of its own state.
        gradient: the stochastic gradient.
    """
    dim = gradient.shape[0]
    closed = _traced(*_signature(optimizer), dim, gradient.dtype)
    fixed = [(value, _FIXED) for value in (*jax.tree.leaves(optimizer), jnp.asarray(number, gradient.dtype))]
    moving = [*((row, _Mark(True, 0)) for row in rows), (gradient, _Mark(True, 1))]
    reader = _Reader(dim)
    reader.evaluate(closed.jaxpr, [(c, _FIXED) for c in closed.consts], fixed + moving)
    return [jnp.broadcast_to(value.reshape(-1), (dim,)) for value in reader.values]


def _signature(optimizer: AbstractOptimizer) -> tuple[Any, tuple]:
    """What an optimizer's trace depends on: its form, and the shapes of its numbers, not their values."""
    numbers, form = jax.tree.flatten(optimizer)
    return form, tuple((jnp.shape(number), jnp.result_type(number)) for number in numbers)


@lru_cache(maxsize=512)
def _traced(form: Any, numbers: tuple, dim: int, dtype: Any) -> core.ClosedJaxpr:
    """The jaxpr of an update as a function of (numbers.., step, rows.., gradient)."""
    vector, step = jax.ShapeDtypeStruct((dim,), dtype), jax.ShapeDtypeStruct((), dtype)
    leaves = [jax.ShapeDtypeStruct(shape, kind) for shape, kind in numbers]

    def update(values, number, rows, gradient):
        optimizer = jax.tree.unflatten(form, values)
        return tuple(optimizer.update(number, optimizer.unpack(rows), gradient))

    slots = len(jax.tree.unflatten(form, [0.0] * len(numbers)).slots)
    return jax.make_jaxpr(update)(leaves, step, tuple([vector] * slots), vector)


class _Mark(NamedTuple):
    """What is known of a value: whether it depends on the state or the gradient, and its degree in the gradient.

    A degree of None stands for anything but a polynomial of degree 2 at most.
    """

    vector: bool
    degree: int | None


_FIXED = _Mark(False, 0)


class _Reader:
    """Reads a jaxpr, equation by equation, with or without values."""

    def __init__(self, dim: int):
        self.dim = dim
        self.mixing: str | None = None
        self.steps: str | None = None
        self.switches: list[int | None] = []
        self.values: list[Any] = []

    def mark(self, jaxpr: core.Jaxpr, constants: list[_Mark], arguments: list[_Mark]) -> list[_Mark]:
        """The marks of a jaxpr's results."""
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))
        for equation in jaxpr.eqns:
            inputs = [_mark_of(atom, known) for atom in equation.invars]
            inner = _inner(equation)
            if inner is not None:
                marks = self.mark(inner.jaxpr, [_FIXED] * len(inner.consts), inputs)
            else:
                marks = [self._result(equation, inputs)] * len(equation.outvars)
                self.switches += [degree for degree, _ in _switches(equation, inputs)]
            known.update(zip(equation.outvars, marks, strict=True))
        return [_mark_of(atom, known) for atom in jaxpr.outvars]

    def evaluate(self, jaxpr: core.Jaxpr, constants: list, arguments: list) -> list[tuple[Any, _Mark]]:
        """The values and marks of a jaxpr's results; switch values are collected on the way."""
        known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

        def read(atom):
            return (atom.val, _FIXED) if isinstance(atom, core.Literal) else known[atom]

        for equation in jaxpr.eqns:
            pairs = [read(atom) for atom in equation.invars]
            values, marks = [value for value, _ in pairs], [mark for _, mark in pairs]
            inner = _inner(equation)
            if inner is not None:
                constants = [(c, _FIXED) for c in inner.consts]
                results = self.evaluate(inner.jaxpr, constants, pairs)
            else:
                self.values += [switch(*values) for _, switch in _switches(equation, marks)]
                parameters = equation.primitive.get_bind_params(equation.params)
                out = equation.primitive.bind(*values, **parameters)
                out = out if equation.primitive.multiple_results else [out]
                results = [(value, self._result(equation, marks)) for value in out]
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _result(self, equation, inputs: list[_Mark]) -> _Mark:
        name = equation.primitive.name
        vector = any(mark.vector for mark in inputs)
        if not vector:
            return _FIXED
        if name in _STEPS and any(mark.degree != 0 for mark in inputs):
            self.steps = self.steps or name
        known = name in _SMOOTH | _COMPARISONS | _LOGIC | _STEPS or name in (
            "sign",
            "abs",
            "max",
            "min",
            "clamp",
        )
        if not (known or (name in _SHAPES and self._keeps_size(equation))) and self.dim > 1:
            self.mixing = self.mixing or name
        return _Mark(True, _degree(name, equation, inputs))

    def _keeps_size(self, equation) -> bool:
        sizes = {atom.aval.size for atom in equation.invars if hasattr(atom, "aval")}
        return sizes == {equation.outvars[0].aval.size}


def _mark_of(atom: Any, known: dict) -> _Mark:
    return _FIXED if isinstance(atom, core.Literal) else known[atom]


def _inner(equation) -> core.ClosedJaxpr | None:
    """The jaxpr inside a call, which is read in its place."""
    if equation.primitive.name not in _NESTED:
        return None
    found = next(
        equation.params[key] for key in ("jaxpr", "call_jaxpr", "fun_jaxpr") if key in equation.params
    )
    return found if isinstance(found, core.ClosedJaxpr) else core.ClosedJaxpr(found, ())


def _degree(name: str, equation, inputs: list[_Mark]) -> int | None:
    """The degree in the gradient of a result; None for anything but a polynomial of degree 2 at most."""
    degrees = [mark.degree for mark in inputs]
    if all(degree == 0 for degree in degrees):
        return 0
    if any(degree is None for degree in degrees):
        return None
    known = [degree for degree in degrees if degree is not None]
    if (
        name in ("add", "sub", "add_any", "neg", "convert_element_type", "copy", "reduce_precision")
        or name in _SHAPES
    ):
        found = max(known)
    elif name == "mul":
        found = sum(known)
    elif name == "div" and known[1] == 0:
        found = known[0]
    elif name == "square":
        found = 2 * known[0]
    elif name == "integer_pow" and equation.params["y"] > 0:
        found = equation.params["y"] * known[0]
    else:
        return None
    return found if found <= 2 else None


def _switches(equation, inputs: list[_Mark]) -> list[tuple[int | None, Callable]]:
    """The switches of one equation that move with the gradient: their degrees and how they are computed."""
    name = equation.primitive.name
    if all(mark.degree == 0 for mark in inputs):
        return []
    if name in ("sign", "abs"):
        return [(inputs[0].degree, lambda x: x)]
    if name == "clamp":
        low, x, high = inputs
        return [
            (_difference(x, low), lambda low, x, high: x - low),
            (_difference(x, high), lambda low, x, high: x - high),
        ]
    floats = all(jnp.issubdtype(atom.aval.dtype, jnp.floating) for atom in equation.invars)
    if name in ("max", "min") or (name in _COMPARISONS and floats):
        return [(_difference(*inputs), lambda a, b: a - b)]
    return []


def _difference(left: _Mark, right: _Mark) -> int | None:
    return None if left.degree is None or right.degree is None else max(left.degree, right.degree)
