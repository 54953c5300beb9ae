"""The coupled ensemble of one rung: the optimizer and its equations, leaf by leaf, statistics only.

A leaf is a fixed number of consecutive members with a key of its own; its statistics do not depend on which
leaves run beside it, on how many devices, or in which order. Members stand on the last axis of every array.
No path is stored: a leaf returns the mean and co-moments of its columns at the recorded steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from driftax._types import Key, Scalar, Slots
from driftax.chain import Chain
from driftax.equation.extended import Equation, ExtendedEquation
from driftax.simulate.coloured import (
    COLUMNS,
    LARGEST_STATE,
    ColouredControls,
    advance_coloured,
    start_coloured,
)
from driftax.simulate.controls import Controls, advance_controls, has_controls, start_controls
from driftax.simulate.drivers import AbstractDriver
from driftax.simulate.schemes import AbstractScheme, NearlyAdditive
from driftax.statistics.observables import Observables
from driftax.statistics.streaming import Moments

_START = 2**32 - 1  # no step has this number
_COLOURED_SCHEME = NearlyAdditive()  # the linear noise of an extended equation moves by O(h) along itself
LEAF = 1024  # members of a leaf for elementwise laws: a few arrays of it fit a core's cache


class Columns(NamedTuple):
    """Where the columns of a leaf's statistics stand."""

    optimizer: np.ndarray  # [observable]
    model: np.ndarray  # [model, observable] the extrapolated value
    difference: np.ndarray  # [model, observable] model - optimizer
    refinement: np.ndarray  # [model, observable] fine - coarse integration; empty with one level
    controls: np.ndarray
    width: int


class Start(NamedTuple):
    """Where members start: a natural state [slot, dim], or params and a handover after some steps."""

    state: Slots
    number: Scalar  # steps taken before, on this rung
    handover: Int[Array, ""]  # steps the optimizer takes alone first


class Rung(eqx.Module):
    """All that runs together on one rung.

    Args:
        chain: the optimizer, in natural coordinates.
        equations: the models, in their own coordinates.
        scheme: integrates them.
        driver: the shared randomness; its half substeps are a multiple of those of every level.
        levels: of each equation: substeps per optimizer step, coarse first; two levels measure and remove the
            integrator's bias.
        observables: functions of the natural state whose means are taken.
        leaf: members of a leaf.
    """

    chain: Chain
    equations: tuple[Equation, ...]
    scheme: AbstractScheme
    driver: AbstractDriver
    observables: Observables
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    leaf: int = eqx.field(static=True)

    @property
    def refined(self) -> bool:
        """Whether equations are integrated at two levels."""
        return any(len(levels) > 1 for levels in self.levels)

    @property
    def coloured(self) -> int | None:
        """The position of the extended equation among the equations."""
        return next((i for i, e in enumerate(self.equations) if isinstance(e, ExtendedEquation)), None)

    def bilinear(self, state: int) -> bool:
        """Whether a state of that many coordinates has the controls of an extended equation."""
        return self.coloured is not None and state <= LARGEST_STATE

    def columns(self, state: int) -> Columns:
        """The layout of a leaf's columns for a state of that many coordinates."""
        q, m = len(self.observables.names), len(self.equations)
        blocks = np.arange(q * (1 + 3 * m))
        model = blocks[q : q * (1 + m)].reshape(m, q)
        difference = blocks[q * (1 + m) : q * (1 + 2 * m)].reshape(m, q)
        refinement = blocks[q * (1 + 2 * m) :].reshape(m, q)
        width = blocks.size
        controls = np.arange(0)
        if has_controls(self.chain, self.driver, state):
            controls = width + np.arange((2 + (COLUMNS if self.bilinear(state) else 0)) * state)
        if not self.refined:
            refinement = refinement[:, :0]
        return Columns(blocks[:q], model, difference, refinement, controls, width + len(controls))


class _Members(NamedTuple):
    optimizer: Float[Array, "slot dim member"]
    models: tuple[tuple[Float[Array, "slots dim member"], ...], ...]  # [equation][level], y as one more slot
    controls: Controls | None
    coloured: ColouredControls | None


def _over_members(function: Callable, *arguments):
    return jax.vmap(function, in_axes=-1, out_axes=-1)(*arguments)


def _optimizer_step(rung: Rung, number: Scalar, members: Array, draw) -> Array:
    def one(z, drawn):
        gradient = rung.driver.gradient(rung.chain, rung.chain.params(z), drawn)
        return rung.chain.step(number, z, gradient)

    return _over_members(one, members, draw)


def _model_step(rung: Rung, equation: Equation, level: int, number: Scalar, members: Array, draw) -> Array:
    """One optimizer step of an equation in `level` substeps."""

    def one(z, drawn):
        halves = rung.driver.half_drivers(drawn).astype(z.dtype)
        if isinstance(equation, ExtendedEquation):
            return _extended_step(equation, level, number, z, halves)

        def drift(step, point):
            return equation.step_drift(step, point.reshape(-1)).reshape(point.shape)

        def noise(step, point, driver):
            return rung.driver.noise(equation, step, point, drawn, driver)

        def substep(point, inside):
            begin, dt, pair = inside
            return rung.scheme.step(drift, noise, begin, dt, point, pair[0], pair[1]), None

        return jax.lax.scan(substep, z, _substeps(number, level, halves))[0]

    return _over_members(one, members, draw)


def _extended_step(
    equation: ExtendedEquation, level: int, number: Scalar, extended: Array, halves: Array
) -> Array:
    """One optimizer step of one member of an equation with a coloured noise, in `level` substeps.

    The coloured noise is drawn exactly on the finest grid, and every level looks at it at the ends of its own
    substeps: the scheme looks at the drift nowhere else.
    """
    z, y = extended[:-1], extended[-1]
    path = equation.path_of(y, halves)[:: len(halves) // (2 * level)]

    def substep(point, inside):
        (begin, dt, pair), before, after = inside

        def drift(step, where):
            return equation.step_drift(step, where, jnp.where(step == begin, before, after))

        point = _COLOURED_SCHEME.step(drift, equation.step_noise, begin, dt, point, pair[0], pair[1])
        return point, None

    substeps = _substeps(number, level, halves[:, :1])
    z, _ = jax.lax.scan(substep, z, (substeps, path[:-1], path[1:]))
    return jnp.concatenate([z, path[-1:]])


def _substeps(number: Scalar, level: int, halves: Array):
    """Begin, length (in optimizer steps) and drivers of the two halves of every substep of a level."""
    merge = len(halves) // (2 * level)  # fine halves per half of this level
    halves = jnp.sum(halves.reshape(2 * level, merge, *halves.shape[1:]), axis=1) / math.sqrt(merge)
    dt = jnp.full(level, 1.0 / level, dtype=halves.dtype)
    begin = number + jnp.arange(level, dtype=halves.dtype) / level
    return begin, dt, halves.reshape(level, 2, *halves.shape[1:])


def _advance(rung: Rung, key: Key, number: Scalar, index: Array, members: _Members) -> _Members:
    _, dim, count = members.optimizer.shape
    dtype = members.optimizer.dtype
    draw = rung.driver.draw(jax.random.fold_in(key, index), dim, count, dtype)
    models = tuple(
        tuple(
            _model_step(rung, equation, level, number, z, draw)
            for level, z in zip(substeps, levels, strict=True)
        )
        for equation, substeps, levels in zip(rung.equations, rung.levels, members.models, strict=True)
    )
    controls, coloured = members.controls, members.coloured
    if controls is not None and coloured is not None:
        equation, y = _coloured(rung, members)
        coloured = advance_coloured(coloured, equation, number, controls.path, y, draw)
    if controls is not None:
        controls = advance_controls(controls, rung.chain, number, draw)
    return _Members(_optimizer_step(rung, number, members.optimizer, draw), models, controls, coloured)


def _coloured(rung: Rung, members: _Members) -> tuple[ExtendedEquation, Array]:
    """The extended equation and its coloured noise [dim, member], the same at every level."""
    assert rung.coloured is not None
    equation = rung.equations[rung.coloured]
    assert isinstance(equation, ExtendedEquation)
    return equation, members.models[rung.coloured][0][-1]


def _columns(rung: Rung, members: _Members) -> Float[Array, "column member"]:
    def observe(z):
        return _over_members(rung.observables, z.astype(float))

    observed = observe(members.optimizer)
    values, differences, refinements = [], [], []
    for equation, levels in zip(rung.equations, members.models, strict=True):
        slots = len(equation.chain.slots)  # without the coloured noise of an extended state
        seen = [observe(_over_members(equation.chain.natural, z[:slots])) for z in levels]
        fine, refinement = seen[-1], seen[-1] - seen[0]
        # Talay-Tubaro: two integrations of weak order 2, one with half the substep of the other.
        value = fine + refinement / 3 if len(levels) > 1 else fine
        values.append(value)
        differences.append(value - observed)
        refinements.append(refinement)
    rows = [observed, *values, *differences, *refinements]
    if members.controls is not None:
        rows += [members.controls.optimizer, members.controls.equation]
    if members.coloured is not None:
        rows.append(members.coloured.rows())
    return jnp.concatenate([row.astype(float) for row in rows])


def _statistics(rung: Rung, members: _Members, size: Int[Array, ""]):
    """Count, mean and co-moments over the members that are finite everywhere; failures per process.

    Only the first `size` members of the leaf count.
    """
    columns = _columns(rung, members)
    wanted = jnp.arange(rung.leaf) < size
    finite = jnp.all(jnp.isfinite(columns), axis=0) & wanted
    failed = [jnp.sum(wanted & ~jnp.all(jnp.isfinite(members.optimizer), axis=(0, 1)))]
    for levels in members.models:
        fine = jnp.all(jnp.stack([jnp.isfinite(z) for z in levels]), axis=(0, 1, 2))
        failed.append(jnp.sum(wanted & ~fine))
    count = jnp.sum(finite)
    kept = jnp.where(finite, columns, 0.0)
    mean = jnp.sum(kept, axis=1) / jnp.maximum(count, 1)
    centred = jnp.where(finite, columns - mean[:, None], 0.0)
    return count, mean, centred @ centred.T, jnp.stack(failed)


def _start_members(rung: Rung, key: Key, start: Start) -> _Members:
    members = jnp.broadcast_to(start.state[..., None], (*start.state.shape, rung.leaf))

    def alone(index, optimizer):
        _, dim, count = optimizer.shape
        drawn = rung.driver.draw(jax.random.fold_in(key, index), dim, count, optimizer.dtype)
        return _optimizer_step(rung, start.number + index, optimizer, drawn)

    members = jax.lax.fori_loop(0, start.handover, alone, members)
    models = tuple(
        (_model_start(equation, key, members),) * len(levels)
        for equation, levels in zip(rung.equations, rung.levels, strict=True)
    )
    state = start.state.size
    controls = start_controls(members) if has_controls(rung.chain, rung.driver, state) else None
    coloured = None
    if controls is not None and rung.bilinear(state):
        coloured = start_coloured(state, start.state.shape[1], rung.leaf, members.dtype)
    return _Members(members, models, controls, coloured)


def _model_start(equation: Equation, key: Key, members: Array) -> Array:
    """The members of an equation at the optimizer's own."""
    z = _over_members(equation.chain.from_natural, members)
    if not isinstance(equation, ExtendedEquation):
        return z
    _, dim, count = z.shape
    return jnp.concatenate([z, equation.start(jax.random.fold_in(key, _START), dim, count, z.dtype)[None]])


def _run_leaf(rung: Rung, key: Key, size: Int[Array, ""], start: Start, segments: Int[Array, " record"]):
    members = _start_members(rung, key, start)

    def segment(carry, steps):
        members, done = carry

        def body(index, inside):
            return _advance(rung, key, start.number + index, index, inside)

        members = jax.lax.fori_loop(done, done + steps, body, members)
        return (members, done + steps), _statistics(rung, members, size)

    _, statistics = jax.lax.scan(segment, (members, start.handover), segments)
    return statistics


@eqx.filter_jit
def _run_leaves(rung: Rung, keys, sizes, start: Start, segments):
    """All leaves of a block, spread over the devices; one leaf at a time on each."""
    mesh = Mesh(np.asarray(jax.devices()), ("leaf",))
    arrays, static = eqx.partition((rung, start, segments), eqx.is_array)

    def local(own, shared):
        own_rung, own_start, own_segments = eqx.combine(shared, static)

        def run(leaf):
            return _run_leaf(own_rung, leaf[0], leaf[1], own_start, own_segments)

        def skip(leaf):
            return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), jax.eval_shape(run, leaf))

        return jax.lax.map(lambda leaf: jax.lax.cond(leaf[1] > 0, run, skip, leaf), own)

    spread = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(PartitionSpec("leaf"), PartitionSpec()),
        out_specs=PartitionSpec("leaf"),
        check_vma=False,
    )
    return spread((keys, sizes), arrays)


class LeafStatistics(NamedTuple):
    """Statistics of leaves: moments with axes [leaf, record, ...], failures [leaf, record, process]."""

    moments: Moments
    failed: np.ndarray

    def part(self, begin: int, end: int) -> "LeafStatistics":
        """Those of some of the leaves."""
        members, mean, comoment = (array[begin:end] for array in self.moments)
        return LeafStatistics(Moments(members, mean, comoment), self.failed[begin:end])


def run_leaves(
    rung: Rung, key: Key, first: int, sizes: np.ndarray, start: Start, segments: np.ndarray
) -> LeafStatistics:
    """Runs consecutive leaves of one rung.

    Every number of leaves is a program of its own: pad `sizes` with zeros to one that is compiled already.

    Args:
        rung: what runs.
        key: of the rung; leaf i uses `fold_in(key, i)`.
        first: number of the first leaf.
        sizes: how many members of each leaf count; a leaf of size 0 takes no time, and its statistics are 0.
        start: where members start.
        segments: optimizer steps between recorded steps.
    """
    devices = len(jax.devices())
    padded = -(-len(sizes) // devices) * devices
    dealt = np.arange(padded).reshape(-1, devices).T.reshape(-1)  # in turn, so that padding burdens all alike
    counted = jnp.asarray(np.pad(sizes, (0, padded - len(sizes)))[dealt])
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.asarray(dealt))
    result = _run_leaves(rung, keys, counted, start, jnp.asarray(segments))
    place = np.argsort(dealt)[: len(sizes)]
    count, mean, comoment, failed = (np.asarray(array)[place] for array in result)
    return LeafStatistics(Moments(count, mean, comoment), failed)
