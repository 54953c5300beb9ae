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
from driftax.equation import ModifiedEquation
from driftax.simulate.controls import Controls, advance_controls, has_controls, start_controls
from driftax.simulate.drivers import AbstractDriver
from driftax.simulate.schemes import AbstractScheme
from driftax.statistics.observables import Observables
from driftax.statistics.streaming import Moments

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
        driver: the shared randomness, with `2 * max(levels)` half substeps.
        levels: substeps per optimizer step, coarse first; two levels measure and remove the integrator's bias.
        observables: functions of the natural state whose means are taken.
        leaf: members of a leaf.
    """

    chain: Chain
    equations: tuple[ModifiedEquation, ...]
    scheme: AbstractScheme
    driver: AbstractDriver
    observables: Observables
    levels: tuple[int, ...] = eqx.field(static=True)
    leaf: int = eqx.field(static=True)

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
            controls = width + np.arange(2 * state)
        if len(self.levels) == 1:
            refinement = refinement[:, :0]
        return Columns(blocks[:q], model, difference, refinement, controls, width + len(controls))


class _Members(NamedTuple):
    optimizer: Float[Array, "slot dim member"]
    models: tuple[tuple[Float[Array, "slot dim member"], ...], ...]  # [equation][level]
    controls: Controls | None


def _over_members(function: Callable, *arguments):
    return jax.vmap(function, in_axes=-1, out_axes=-1)(*arguments)


def _optimizer_step(rung: Rung, number: Scalar, members: Array, draw) -> Array:
    def one(z, drawn):
        gradient = rung.driver.gradient(rung.chain, rung.chain.params(z), drawn)
        return rung.chain.step(number, z, gradient)

    return _over_members(one, members, draw)


def _model_step(
    rung: Rung, equation: ModifiedEquation, level: int, number: Scalar, members: Array, draw
) -> Array:
    """One optimizer step of an equation in `level` substeps."""
    finest = rung.driver.halves
    dt = jnp.asarray(1.0 / level, dtype=members.dtype)

    def one(z, drawn):
        halves = rung.driver.half_drivers(drawn).astype(z.dtype)
        merge = finest // (2 * level)  # fine halves per half of this level
        halves = jnp.sum(halves.reshape(2 * level, merge, *halves.shape[1:]), axis=1) / math.sqrt(merge)

        def drift(step, point):
            return equation.step_drift(step, point.reshape(-1)).reshape(point.shape)

        def noise(step, point, driver):
            return rung.driver.noise(equation, step, point, drawn, driver)

        def substep(point, drivers):
            index, pair = drivers
            return rung.scheme.step(drift, noise, number + index * dt, dt, point, pair[0], pair[1]), None

        pairs = halves.reshape(level, 2, *halves.shape[1:])
        return jax.lax.scan(substep, z, (jnp.arange(level, dtype=z.dtype), pairs))[0]

    return _over_members(one, members, draw)


def _advance(rung: Rung, key: Key, number: Scalar, index: Array, members: _Members) -> _Members:
    _, dim, count = members.optimizer.shape
    dtype = members.optimizer.dtype
    draw = rung.driver.draw(jax.random.fold_in(key, index), dim, count, dtype)
    models = tuple(
        tuple(
            _model_step(rung, equation, level, number, z, draw)
            for level, z in zip(rung.levels, levels, strict=True)
        )
        for equation, levels in zip(rung.equations, members.models, strict=True)
    )
    controls = members.controls
    if controls is not None:
        controls = advance_controls(controls, rung.chain, number, draw)
    return _Members(_optimizer_step(rung, number, members.optimizer, draw), models, controls)


def _columns(rung: Rung, members: _Members) -> Float[Array, "column member"]:
    def observe(z):
        return _over_members(rung.observables, z.astype(float))

    observed = observe(members.optimizer)
    values, differences, refinements = [], [], []
    for equation, levels in zip(rung.equations, members.models, strict=True):
        seen = [observe(_over_members(equation.chain.natural, z)) for z in levels]
        fine, refinement = seen[-1], seen[-1] - seen[0]
        # Talay-Tubaro: two integrations of weak order 2, one with half the substep of the other.
        value = fine + refinement / 3 if len(rung.levels) > 1 else fine
        values.append(value)
        differences.append(value - observed)
        refinements.append(refinement)
    rows = [observed, *values, *differences, *refinements]
    if members.controls is not None:
        rows += [members.controls.optimizer, members.controls.equation]
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
        tuple(_over_members(equation.chain.from_natural, members) for _ in rung.levels)
        for equation in rung.equations
    )
    state = start.state.size
    controls = start_controls(members) if has_controls(rung.chain, rung.driver, state) else None
    return _Members(members, models, controls)


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
        return jax.lax.map(lambda leaf: _run_leaf(own_rung, leaf[0], leaf[1], own_start, own_segments), own)

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


def run_leaves(
    rung: Rung, key: Key, first: int, sizes: np.ndarray, start: Start, segments: np.ndarray
) -> LeafStatistics:
    """Runs consecutive leaves of one rung.

    Args:
        rung: what runs.
        key: of the rung; leaf i uses `fold_in(key, i)`.
        first: number of the first leaf.
        sizes: how many members of each leaf count.
        start: where members start.
        segments: optimizer steps between recorded steps.
    """
    devices = len(jax.devices())
    padded = -(-len(sizes) // devices) * devices
    counted = jnp.asarray(np.pad(sizes, (0, padded - len(sizes))))
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(first + jnp.arange(padded))
    result = _run_leaves(rung, keys, counted, start, jnp.asarray(segments))
    count, mean, comoment, failed = (np.asarray(array)[: len(sizes)] for array in result)
    return LeafStatistics(Moments(count, mean, comoment), failed)
