"""One optimizer step of all members of a leaf: of the optimizer itself, and of an equation in substeps.

Where the optimizer is coordinate-wise and its law constant, members stand in one long vector (`long_chain`);
elsewhere the step of one member is mapped over them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._rows import Rows
from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.equation import Method
from driftax.equation.extended import Equation, ExtendedEquation
from driftax.equation.factor import has_channels
from driftax.equation.published import PublishedEquation
from driftax.simulate import reweighting
from driftax.simulate.drivers import AbstractDriver, OnState
from driftax.simulate.long_chain import has_long_chain, long_chain, scores
from driftax.simulate.reweighting import ReweightingDriver
from driftax.simulate.schemes import AbstractScheme, NearlyAdditive

COLOURED_SCHEME = NearlyAdditive()  # the linear noise of an extended equation moves by O(h) along itself


def over_members(function: Callable, *arguments):
    """`function` of one member, for members on the last axis of every argument and result."""
    if all(leaf.shape[-1] == 1 for leaf in jax.tree.leaves(arguments)):  # a map over one is a slower program
        alone = function(*jax.tree.map(lambda leaf: leaf[..., 0], arguments))
        return jax.tree.map(lambda leaf: leaf[..., None], alone)
    return jax.vmap(function, in_axes=-1, out_axes=-1)(*arguments)


def scheme_of(equation: Equation, scheme: AbstractScheme) -> AbstractScheme:
    """What integrates an equation where `scheme` was asked for."""
    return COLOURED_SCHEME if isinstance(equation, ExtendedEquation) else scheme


class Draw(NamedTuple):
    """What drives one optimizer step of all members, and for members in one vector its normal scores."""

    members: Any  # members on the last axis
    long: Float[Array, "part channel long"] | None


def drawn(chain: Chain, dim: int, members: Any) -> Draw:
    """A driver's draw, correlated once for the optimizer and all its equations where they stand in one vector."""
    return Draw(members, _long(scores(chain, members)) if has_long_chain(chain, dim) else None)


def optimizer_step(
    chain: Chain, driver: AbstractDriver, number: Scalar, members: Float[Array, "slot dim member"], draw: Draw
) -> Float[Array, "slot dim member"]:
    """The members after one step of the optimizer driven by `draw`."""

    def step(chain: Chain, z: Slots, drawn) -> Slots:
        return chain.step(number, z, driver.gradient(chain, chain.params(z), drawn))

    if draw.long is None:
        return over_members(lambda z, drawn: step(chain, z, drawn), members, draw.members)
    dim = members.shape[1]
    return _short(step(long_chain(chain, dim), _long(members), draw.long), dim)


def equation_step(
    equation: Equation,
    scheme: AbstractScheme,
    driver: AbstractDriver,
    level: int,
    number: Scalar,
    members: Float[Array, "slots dim member"],
    draw: Draw,
) -> Float[Array, "slots dim member"]:
    """The members after one optimizer step of an equation, in `level` substeps."""
    if isinstance(driver, ReweightingDriver):
        return over_members(
            lambda z, drawn: _reweighted_step(equation, level, number, z, driver.part_drivers(drawn)),
            members,
            draw.members,
        )
    if isinstance(equation, ExtendedEquation):
        return over_members(
            lambda z, drawn: _extended_step(equation, level, number, z, driver.part_drivers(drawn)),
            members,
            draw.members,
        )

    def step(equation: OnState, z: Slots, drawn) -> Slots:
        def drift(when, point):
            return Rows.of(equation.step_drift(when, point.stacked.reshape(-1)).reshape(z.shape))

        def noise(when, point, drives):
            return Rows.of(driver.noise(equation, when, point.stacked, drawn, drives))

        def substep(point, inside):
            begin, dt, drivers = inside
            return scheme.step(drift, noise, begin, dt, point, drivers), None

        parts = driver.part_drivers(drawn).astype(z.dtype)
        return jax.lax.scan(substep, Rows.of(z), _substeps(number, level, scheme.parts, parts))[0].stacked

    if draw.long is None or not _is_directional(equation, scheme):
        return over_members(lambda z, drawn: step(equation, z, drawn), members, draw.members)
    dim = members.shape[1]
    long = eqx.tree_at(lambda e: e.chain, equation, long_chain(equation.chain, dim))
    return _short(step(long, _long(members), draw.long), dim)


def _reweighted_step(equation: Equation, level: int, number: Scalar, z: Slots, weights: Array) -> Slots:
    """One optimizer step of one member of an equation under reweighted examples, in `level` substeps."""
    assert not isinstance(equation, ExtendedEquation)

    def one(z, inside):
        begin, dt, (own,) = inside
        return reweighting.substep(equation, begin, dt, z, own, whole=level == 1), None

    return jax.lax.scan(one, z, _substeps(number, level, 1, weights))[0]


def _is_directional(equation: OnState, scheme: AbstractScheme) -> bool:
    """Whether a substep takes derivatives along directions alone, and no matrix of a member's whole state."""
    if isinstance(equation, PublishedEquation):
        return equation.formula.directional and not scheme.mixes
    drift = equation.weak_order == 1 or not equation.full
    return drift and equation.method is Method.FINITE_STEP and has_channels(equation) and not scheme.mixes


def _long(members: Float[Array, "*rows dim member"]) -> Float[Array, "*rows long"]:
    """Row by row: XLA then sees that the stack is taken apart again, and never makes it."""
    rows = members.reshape(-1, *members.shape[-2:])
    return jnp.stack([row.reshape(-1) for row in rows]).reshape(*members.shape[:-2], -1)


def _short(long: Float[Array, "slot long"], dim: int) -> Float[Array, "slot dim member"]:
    return jnp.stack([row.reshape(dim, -1) for row in long])


def _extended_step(
    equation: ExtendedEquation, level: int, number: Scalar, extended: Array, parts: Array
) -> Array:
    """One optimizer step of one member of an equation with a coloured noise, in `level` substeps.

    The coloured noise is drawn exactly on the finest grid, and every level looks at it at the ends of its own
    substeps: the scheme looks at the drift nowhere else.
    """
    parts = parts.astype(extended.dtype)
    z, y = extended[:-1], extended[-1]
    path = equation.path_of(y, parts)[:: len(parts) // (2 * level)]

    def substep(point, inside):
        (begin, dt, drivers), before, after = inside

        def drift(step, where):
            return Rows.of(equation.step_drift(step, where.stacked, jnp.where(step == begin, before, after)))

        def noise(step, where, drives):
            return Rows.of(equation.step_noise(step, where.stacked, drives))

        return COLOURED_SCHEME.step(drift, noise, begin, dt, point, drivers), None

    substeps = _substeps(number, level, COLOURED_SCHEME.parts, parts[:, :1])
    rows, _ = jax.lax.scan(substep, Rows.of(z), (substeps, path[:-1], path[1:]))
    return jnp.stack([*rows.rows, path[-1]])


def _substeps(number: Scalar, level: int, each: int, parts: Array):
    """Begin, length (in optimizer steps) and the `each` drivers of every substep of a level."""
    merge = len(parts) // (each * level)
    if merge > 1:
        parts = jnp.sum(parts.reshape(each * level, merge, *parts.shape[1:]), axis=1) / math.sqrt(merge)
    dt = jnp.full(level, 1.0 / level, dtype=parts.dtype)
    begin = number + jnp.arange(level, dtype=parts.dtype) / level
    return begin, dt, parts.reshape(level, each, *parts.shape[1:])
