"""Measurements of a JAX model: gradients by vmap(grad) in passes, Hessian products by the jvp of a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement._value import Measurement
from driftax.measurement.curvature import stability_edge
from driftax.measurement.curvature_result import curvature_of
from driftax.measurement.estimate import estimate
from driftax.measurement.krylov import Product
from driftax.measurement.units import TOTAL, units_of

_ASKED = "measure(loss_fn, params, batches)"
_CHUNKS = 8  # of the examples, for curvature
Groups = dict[str, list[int]]


def measure(
    loss_fn: Callable[[Any, Any], Any],
    params: Any,
    batches: Any,
    *,
    group: Callable[[str], str] | None = None,
    unit_size: int = 1,
    batch: int | None = None,
    data_size: int | None = None,
    tails: bool = True,
    curvature: bool = False,
    eigenvalues: int = 1,
    preconditioner: Any = None,
    learning_rate: float | None = None,
    momentum: float = 0.0,
    averaged: bool = True,
    pass_size: int = 64,
    max_memory: int = 2**30,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> Measurement:
    """Gradient noise, noise scale, signal ratios, tails and curvature of a JAX model at fixed params.

    Args:
        loss_fn: the loss of ONE example, a scalar, of (params, example).
        params: any pytree; its floating-point arrays are measured.
        batches: a pytree of arrays whose first axis counts the examples, or a list (or any iterable, not a
            tuple) of such batches. All of them are used, in order, each once.
        group: parameter group of a leaf, of its path such as `['dense']['kernel']`; top-level keys if left out.
        unit_size: examples whose gradients are averaged in a unit.
        batch: examples in a step of the optimizer, for signal ratios and phases; `unit_size` if left out.
        data_size: size of the data set, if the examples are drawn from it without replacement.
        tails: fit the tails.
        curvature: trace and top eigenvalues of the Hessian, tr(H Sigma), the edge of stability.
        eigenvalues: how many of the largest.
        preconditioner: a pytree like params, the diagonal P above 0 (`sqrt(nu) + eps` for RMSprop and Adam).
        learning_rate: of the optimizer, for the edge of stability.
        momentum: its decay of the first moment.
        averaged: whether the first moment is an average, as in Adam, or a sum, as in heavy ball.
        pass_size: units in one pass.
        max_memory: bytes for the gradients of all units.
        seed: of the probes of the Hessian.
        progress: told the share that is done, and what is being done.

    Raises:
        DriftaxError: for a loss that is no scalar, examples that do not fit together, too few of them, or too
            little memory.

    Example:
        >>> rows = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
        >>> loss = lambda params, row: 0.5 * jnp.sum((params["centre"] - row) ** 2)
        >>> found = measure(loss, {"centre": jnp.ones(3)}, rows, batch=8, curvature=True)
        >>> round(found.estimate("hessian_trace").value, 3)
        3.0

    Source: mccandlish2018, Appendix A.
    """
    moving, fixed = eqx.partition(params, eqx.is_inexact_array)
    examples = examples_of(loss_fn, params, batches)
    leaves = jax.tree_util.tree_leaves_with_path(moving)
    units = _units(examples, unit_size)
    count = jax.tree.leaves(units)[0].shape[0]
    dim = sum(leaf.size for _, leaf in leaves)
    _check_memory(count, dim, max_memory)
    tell = progress or (lambda share, words: None)

    # Leaves of one group stand beside each other, so that a group is a slice.
    groups, order, place = _grouped(leaves, group), [], 0
    slices: dict[str, slice] = {}
    for name, members in groups.items():
        size = sum(leaves[i][1].size for i in members)
        slices[name], place = slice(place, place + size), place + size
        order += members
    model = _Model(loss_fn, moving, fixed)
    rows = _gradients(model, units, order, pass_size, lambda share: tell(0.5 * share, "gradients"))
    found = None
    if curvature:
        tell(0.5, "curvature")
        products, whole = _products(model, units, order, pass_size)
        found = curvature_of(
            products,
            rows,
            _chunk_of(count),
            slices,
            scale=None if preconditioner is None else _diagonal(preconditioner, moving, order),
            edge=None if learning_rate is None else stability_edge(learning_rate, momentum, averaged),
            eigenvalues=eigenvalues,
            whole=whole,
            unit_size=unit_size,
            data_size=data_size,
            batch=batch or unit_size,
            seed=seed,
        )
    tell(0.9, "estimates")
    flat = _flat(moving, order, 0).reshape(-1)
    gathered = units_of(
        {name: rows[:, part] for name, part in slices.items()},
        params={name: flat[part] for name, part in slices.items()},
        unit_size=unit_size,
        data_size=data_size,
    )
    return estimate(
        gathered,
        batch=batch,
        tails=tails,
        curvature=found,
        provenance={"framework": f"jax {jax.__version__}", "precision": str(rows.dtype), "seed": seed},
    )


def examples_of(loss_fn: Callable[[Any, Any], Any], params: Any, batches: Any) -> Any:
    """One pytree of all examples, each of which has a loss.

    Raises:
        DriftaxError: for params without numbers, examples that do not fit together, and a loss that is no scalar.
    """
    examples = _joined(batches)
    _check(loss_fn, params, examples)
    return examples


def _joined(batches: Any) -> Any:
    several = isinstance(batches, list) or (
        isinstance(batches, Iterable) and not isinstance(batches, dict | tuple) and not eqx.is_array(batches)
    )
    if not several or eqx.is_array_like(batches):
        return jax.tree.map(jnp.asarray, batches)
    parts = [jax.tree.map(jnp.asarray, batch) for batch in batches]
    if not parts:
        raise DriftaxError(_ASKED, "no batches", "a pytree of arrays, or a list of them")
    try:
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    except (TypeError, ValueError) as error:
        found = f"batches that do not fit together: {str(error).splitlines()[0][:160]}"
        raise DriftaxError(_ASKED, found, "batches of one structure") from None


def _check(loss_fn: Any, params: Any, examples: Any) -> None:
    if not jax.tree.leaves(eqx.filter(params, eqx.is_inexact_array)):
        raise DriftaxError(_ASKED, "no floating-point array in params", "params with arrays to differentiate")
    arrays = jax.tree.leaves(examples)
    sizes = {array.shape[0] if array.ndim else None for array in arrays}
    if len(sizes) != 1 or None in sizes:
        found = f"first axes {sorted(map(str, sizes))} in the arrays of the examples"
        raise DriftaxError(_ASKED, found, "arrays whose first axis counts the examples")
    one = jax.tree.map(lambda array: array[0], examples)
    try:
        told = eqx.filter_eval_shape(loss_fn, params, one)
    except DriftaxError:
        raise
    except Exception as error:
        words = " ".join(str(error).split())[:200]
        shapes = [list(array.shape) for array in jax.tree.leaves(one)]
        raise DriftaxError(
            f"{_ASKED} with an example of shapes {shapes}",
            f"{type(error).__name__} in loss_fn: {words}",
            "def loss_fn(params, example): ... the scalar loss of one example",
        ) from error
    shape = getattr(told, "shape", None)
    if shape != ():
        found = f"a loss of shape {list(shape)}" if shape is not None else f"a {type(told).__name__}"
        raise DriftaxError(
            _ASKED,
            f"{found} for one example (without its batch axis)",
            "def loss_fn(params, example): ... the scalar loss of one example",
        )


def _units(examples: Any, unit_size: int) -> Any:
    """Examples in consecutive units [unit, unit_size, ...]; what is left over is not used."""
    size = jax.tree.leaves(examples)[0].shape[0]
    count = size // unit_size if unit_size >= 1 else 0
    if count == 0:
        found = f"unit_size = {unit_size} and {size} examples"
        raise DriftaxError(_ASKED, found, "unit_size of 1 or more, and 8 units at least")
    return jax.tree.map(lambda a: a[: count * unit_size].reshape(count, unit_size, *a.shape[1:]), examples)


def _check_memory(count: int, dim: int, most: int) -> None:
    itemsize = jnp.zeros(0).dtype.itemsize
    need = count * dim * itemsize
    if need > most:
        fits = most // (dim * itemsize)
        raise DriftaxError(
            f"the gradients of {count} units",
            f"{dim:,} params: {need / 2**30:.3g} GiB, above max_memory",
            f"{fits} units (fewer examples, or a larger unit_size), or max_memory={need}"
            if fits >= 8
            else f"max_memory={need} (bytes)",
        )


def _grouped(leaves: Sequence[Any], group: Callable[[str], str] | None) -> Groups:
    groups: Groups = {}
    for i, (path, _) in enumerate(leaves):
        if group is not None:
            name = str(group(jax.tree_util.keystr(path)))
        else:
            name = jax.tree_util.keystr(path[:1], simple=True) if path else "params"
        name = f"{name} (group)" if name == TOTAL else name
        groups.setdefault(name, []).append(i)
    return groups


def _flat(tree: Any, order: Sequence[int], lead: int) -> np.ndarray:
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaves[i].reshape(*leaves[i].shape[:lead], -1) for i in order], axis=-1)


class _Model(NamedTuple):
    """A loss of one example with its params: those that are differentiated, and the rest."""

    loss_fn: Callable[[Any, Any], Any]
    moving: Any
    fixed: Any

    def mean(self, moving: Any, unit: Any) -> Any:
        """The loss of a unit."""
        return jnp.mean(jax.vmap(lambda one: self.loss_fn(eqx.combine(moving, self.fixed), one))(unit))


# Compiled once for a loss and shapes, however often it is measured.
@eqx.filter_jit
def _unit_gradients(model: _Model, units: Any) -> Any:
    return jax.vmap(jax.grad(model.mean), in_axes=(None, 0))(model.moving, units)


@eqx.filter_jit
def _hessian_times(model: _Model, units: Any, direction: Any) -> Any:
    def mean(at: Any) -> Any:
        return jnp.mean(jax.vmap(model.mean, in_axes=(None, 0))(at, units))

    return jax.jvp(jax.grad(mean), (model.moving,), (direction,))[1]


def _gradients(
    model: _Model, units: Any, order: Sequence[int], at_once: int, tell: Callable[[float], None]
) -> np.ndarray:
    """Gradients of the units [n, dim]."""
    count = jax.tree.leaves(units)[0].shape[0]
    rows = []
    for start in range(0, count, at_once):
        part = jax.tree.map(lambda array, start=start: array[start : start + at_once], units)
        rows.append(_flat(_unit_gradients(model, part), order, 1))
        tell(min(start + at_once, count) / count)
    joined = np.concatenate(rows)
    return joined if joined.dtype == np.float64 else joined.astype(np.float32)


def _chunk_of(count: int) -> np.ndarray:
    """The chunk of every unit [n]; all chunks are of one size, but for units that are left over."""
    chunks = min(_CHUNKS, count // 2)
    return np.minimum(np.arange(count) // (count // chunks), chunks)


def _products(
    model: _Model, units: Any, order: Sequence[int], at_once: int
) -> tuple[list[Product], Product | None]:
    """The Hessians of the chunks, and that of all of them where it goes through in one pass."""
    chunk = _chunk_of(jax.tree.leaves(units)[0].shape[0])
    leaves, structure = jax.tree.flatten(model.moving)

    def of(chosen: np.ndarray) -> Product:
        part = jax.tree.map(lambda array: array[chosen], units)

        def apply(vector: np.ndarray) -> np.ndarray:
            parts: list[Any] = [None] * len(leaves)
            place = 0
            for i in order:
                values = vector[place : place + leaves[i].size].reshape(leaves[i].shape)
                parts[i] = jnp.asarray(values, leaves[i].dtype)
                place += leaves[i].size
            direction = jax.tree.unflatten(structure, parts)
            return _flat(_hessian_times(model, part, direction), order, 0).reshape(-1).astype(np.float64)

        return apply

    full = min(_CHUNKS, len(chunk) // 2)
    whole = of(chunk < full) if len(chunk) <= at_once else None
    return [of(chunk == number) for number in range(full)], whole


def _diagonal(preconditioner: Any, moving: Any, order: Sequence[int]) -> np.ndarray:
    """The diagonal P [dim] in the order of the groups."""
    shapes = [leaf.shape for leaf in jax.tree.leaves(moving)]
    given = [np.shape(leaf) for leaf in jax.tree.leaves(preconditioner)]
    if given != shapes:
        found = f"a preconditioner of shapes {given}, params of shapes {shapes}"
        raise DriftaxError(
            _ASKED, found, "a pytree like params: jax.tree.map(lambda nu: jnp.sqrt(nu) + eps, nu)"
        )
    return _flat(preconditioner, order, 0).reshape(-1).astype(np.float64)
