"""The coupled ensemble of one rung: the optimizer and its equations, leaf by leaf, statistics only.

A leaf is a fixed number of consecutive members with a key of its own; its statistics do not depend on which
leaves run beside it, on how many devices, or in which order. Members stand on the last axis of every array.
No path is stored: a leaf returns the mean and co-moments of its columns at the recorded steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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
from driftax.simulate.schemes import AbstractScheme
from driftax.simulate.steps import drawn, equation_step, optimizer_step, over_members, scheme_of
from driftax.statistics.observables import Observables
from driftax.statistics.streaming import Moments

_START = 2**32 - 1  # no step has this number
_LARGEST = 1e150  # of a value that is averaged: the sum of its squares is still a number
CHUNK = 8  # leaves of elementwise laws
LEAF = 1024  # members of a leaf for elementwise laws: a few arrays of it fit a core's cache
LARGE_LEAF = (
    4096  # where a step takes so little that starting its kernels counts, or members share out a space
)


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
        driver: the shared randomness; its parts are a multiple of those of every level.
        levels: of each equation: substeps per optimizer step, coarse first; two levels measure and remove the
            integrator's bias.
        observables: functions of the natural state whose means are taken.
        leaf: members of a leaf.
        controls: whether there are controls, where they exist.
        chunk: leaves that are run, sent and stored together.
    """

    chain: Chain
    equations: tuple[Equation, ...]
    scheme: AbstractScheme
    driver: AbstractDriver
    observables: Observables
    levels: tuple[tuple[int, ...], ...] = eqx.field(static=True)
    leaf: int = eqx.field(static=True)
    controls: bool = eqx.field(static=True, default=True)
    chunk: int = eqx.field(static=True, default=CHUNK)

    def controlled(self, state: int) -> bool:
        """Whether a state of that many coordinates has controls."""
        return self.controls and has_controls(self.chain, self.driver, state)

    def remainder(self, model: int) -> float:
        """The bias of an integration over what half its substeps change: 1 / (2^order - 1), in its leading term."""
        return 1 / (2 ** scheme_of(self.equations[model], self.scheme).weak_order - 1)

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
        if self.controlled(state):
            controls = width + np.arange((2 + (COLUMNS if self.bilinear(state) else 0)) * state)
        if not self.refined:
            refinement = refinement[:, :0]
        return Columns(blocks[:q], model, difference, refinement, controls, width + len(controls))


class _Members(NamedTuple):
    optimizer: Float[Array, "slot dim member"]
    models: tuple[tuple[Float[Array, "slots dim member"], ...], ...]  # [equation][level], y as one more slot
    controls: Controls | None
    coloured: ColouredControls | None


class _Leaf(NamedTuple):
    members: _Members
    random: Any  # the state of the driver


def _advance(rung: Rung, number: Scalar, index: Array, leaf: _Leaf) -> _Leaf:
    """The leaf after one optimizer step, of which `index` counts those since the start."""
    members, random = leaf
    _, dim, count = members.optimizer.shape
    draw, random = rung.driver.draw(random, index, dim, count, members.optimizer.dtype)
    shared = drawn(rung.chain, dim, draw)
    models = tuple(
        tuple(
            equation_step(equation, rung.scheme, rung.driver, level, number, z, shared)
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
    optimizer = optimizer_step(rung.chain, rung.driver, number, members.optimizer, shared)
    return _Leaf(_Members(optimizer, models, controls, coloured), random)


def _coloured(rung: Rung, members: _Members) -> tuple[ExtendedEquation, Array]:
    """The extended equation and its coloured noise [dim, member], the same at every level."""
    assert rung.coloured is not None
    equation = rung.equations[rung.coloured]
    assert isinstance(equation, ExtendedEquation)
    return equation, members.models[rung.coloured][0][-1]


def _columns(rung: Rung, members: _Members) -> Float[Array, "column member"]:
    def observe(z):
        return over_members(rung.observables, z.astype(float))

    observed = observe(members.optimizer)
    values, differences, refinements = [], [], []
    for model, (equation, levels) in enumerate(zip(rung.equations, members.models, strict=True)):
        slots = len(equation.chain.slots)  # without the coloured noise of an extended state
        seen = [observe(over_members(equation.chain.natural, z[:slots])) for z in levels]
        fine, refinement = seen[-1], seen[-1] - seen[0]
        # Talay-Tubaro: two integrations of one weak order, one with half the substep of the other.
        value = fine + refinement * rung.remainder(model) if len(levels) > 1 else fine
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
    """Count, mean and co-moments over the members that are finite in every process; failures per process.

    Only the first `size` members of the leaf count.
    """
    columns = _columns(rung, members)
    wanted = jnp.arange(rung.leaf) < size
    inside = jnp.abs(columns) < _LARGEST
    finite = jnp.all(inside, axis=0) & wanted
    layout = rung.columns(members.optimizer[..., 0].size)
    own = np.concatenate([layout.optimizer, layout.controls])
    fine = [jnp.all(jnp.isfinite(members.optimizer), axis=(0, 1)) & jnp.all(inside[own], axis=0)]
    for model, levels in enumerate(members.models):
        own = np.concatenate([layout.model[model], layout.refinement[model]])
        states = jnp.all(jnp.stack([jnp.isfinite(z) for z in levels]), axis=(0, 1, 2))
        fine.append(states & jnp.all(inside[own], axis=0))
    failed = [jnp.sum(wanted & ~one) for one in fine]
    count = jnp.sum(finite)
    kept = jnp.where(finite, columns, 0.0)
    mean = jnp.sum(kept, axis=1) / jnp.maximum(count, 1)
    centred = jnp.where(finite, columns - mean[:, None], 0.0)
    return count, mean, centred @ centred.T, jnp.stack(failed)


def _start_leaf(rung: Rung, key: Key, start: Start) -> _Leaf:
    members = jnp.broadcast_to(start.state[..., None], (*start.state.shape, rung.leaf))
    dim = start.state.shape[1]

    def alone(index, leaf):
        optimizer, random = leaf
        draw, random = rung.driver.draw(random, index, dim, rung.leaf, optimizer.dtype)
        shared = drawn(rung.chain, dim, draw)
        return optimizer_step(rung.chain, rung.driver, start.number + index, optimizer, shared), random

    random = rung.driver.start(key, dim, rung.leaf)
    members, random = jax.lax.fori_loop(0, start.handover, alone, (members, random))
    models = tuple(
        (_model_start(equation, key, members),) * len(levels)
        for equation, levels in zip(rung.equations, rung.levels, strict=True)
    )
    state = start.state.size
    controls = start_controls(members) if rung.controlled(state) else None
    coloured = None
    if controls is not None and rung.bilinear(state):
        coloured = start_coloured(state, dim, rung.leaf, members.dtype)
    return _Leaf(_Members(members, models, controls, coloured), random)


def _model_start(equation: Equation, key: Key, members: Array) -> Array:
    """The members of an equation at the optimizer's own."""
    z = over_members(equation.chain.from_natural, members)
    if not isinstance(equation, ExtendedEquation):
        return z
    _, dim, count = z.shape
    return jnp.concatenate([z, equation.start(jax.random.fold_in(key, _START), dim, count, z.dtype)[None]])


def _run_leaf(rung: Rung, key: Key, size: Int[Array, ""], start: Start, segments: Int[Array, " record"]):
    def segment(carry, steps):
        rows, done = carry

        def body(index, rows):
            return _in_rows(_advance(rung, start.number + index, index, _stacked(rows)))

        rows = jax.lax.fori_loop(done, done + steps, body, rows)
        return (rows, done + steps), _statistics(rung, _stacked(rows).members, size)

    begin = (_in_rows(_start_leaf(rung, key, start)), start.handover)
    _, statistics = jax.lax.scan(segment, begin, segments)
    return statistics


def _in_rows(leaf: _Leaf) -> _Leaf:
    """With states as tuples of slots: an array of slots carried by a loop is copied together at every step."""
    return _with_states(leaf, tuple)


def _stacked(leaf: _Leaf) -> _Leaf:
    return _with_states(leaf, jnp.stack)


def _with_states(leaf: _Leaf, form) -> _Leaf:
    members, random = leaf
    models = tuple(tuple(form(z) for z in levels) for levels in members.models)
    return _Leaf(members._replace(optimizer=form(members.optimizer), models=models), random)


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
