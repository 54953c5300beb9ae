"""The local-order certificate: one-step residuals of an equation, without Monte Carlo.

For an equation with generator G and `A = d_t + G`, the residual `E f(state') - (f + A f + 1/2 A A f)` falls
like h^(p+1) at weak order p. It is evaluated on the monomials up to degree 4 of the increment `state' - z`,
where every term is a contraction of the drift, the covariance and their derivatives at z. In the last term G
is replaced by L, made of the mean and covariance of one step: an equation with `G - L = O(d)` changes it by
O(h d), which is never seen beside the O(d) of the term before it, and nothing is differentiated four times.

Source: re-derived (Milstein's fundamental theorem of weak convergence, milstein2004).
"""

from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._types import Flat, Scalar, Slots
from driftax.compiler.finite_step import generator
from driftax.compiler.law import LocalLaw, local_law
from driftax.compiler.obstruction import pairings, symmetric_sum
from driftax.compiler.step_moments import flat_covariance, flat_mean
from driftax.equation._value import ModifiedEquation
from driftax.equation.published import PublishedEquation
from driftax.regime import Regime

_ROUNDING = 1e-14  # of the state: the step is a difference of two states
_SETTLED = 0.01  # change of a local order between rungs that counts as settled
_FINEST = 19  # halvings of the time step at most


class Monomial(NamedTuple):
    """Residuals of one monomial along the ladder, and their exponents between neighbouring rungs."""

    name: str
    residuals: list[float]
    local_orders: list[float | None]


class Certificate(NamedTuple):
    """Residuals of an equation on all monomials: `order` is the smallest last exponent minus 1."""

    claimed_order: int
    time_steps: list[float]
    monomials: list[Monomial]
    order: float | None

    @property
    def worst(self) -> Monomial | None:
        """The monomial that decides the order."""
        seen = [(last, m) for m in self.monomials if (last := _last(m.local_orders)) is not None]
        return min(seen, key=lambda pair: pair[0])[1] if seen else None


def local_order(
    equation: ModifiedEquation | PublishedEquation,
    at: Slots,
    step: Scalar = 0.0,
    coordinate: int | None = None,
) -> Certificate:
    """Certifies the order of an equation at one state.

    Where the state has at most 12 coordinates and the law a joint quadrature, all monomials are taken;
    elsewhere those of one parameter and its moments, whose law is one-dimensional.

    Args:
        equation: at rung 1; it is moved down its ladder by halving the time step.
        at: the state [slot, dim], the same on every rung.
        step: steps of rung 1 taken before; finer rungs start at the same time.
        coordinate: the parameter to look at in a large state.
    """
    time_steps, rows = [], []
    for halving in range(_FINEST + 1):
        scale = 0.5**halving
        rung = equation.at(scale)
        number = jnp.asarray(step / scale, dtype=float)
        law = local_law(rung.chain, number, at, equation.nodes, coordinate)
        residual, floor = _residuals(rung, number, at, law)
        time_steps.append(float(rung.time_step))
        rows.append((np.asarray(residual), np.asarray(floor)))
        if halving >= 3 and _settled(rows):
            break
    names = [equation.chain.names(at.shape[1])[i] for i in law.index]
    orders = _exponents(rows)
    monomials = [
        Monomial(_name(index, names), [float(row[column]) for row, _ in rows], _known(orders[:, column]))
        for column, index in enumerate(_indices(len(law.index)))
    ]
    last = [_last(m.local_orders) for m in monomials]
    known = [order for order in last if order is not None]
    return Certificate(equation.weak_order, time_steps, monomials, min(known) - 1 if known else None)


@eqx.filter_jit
def _residuals(equation: ModifiedEquation | PublishedEquation, number: Scalar, z: Slots, law: LocalLaw):
    """Residuals of all distinct monomials of the coordinates of the law, and their rounding errors."""
    chain, index = equation.chain, np.asarray(law.index)
    flat = z.reshape(-1)
    b = equation.step_drift(number, flat)[index]
    a = equation.step_covariance(number, flat)[np.ix_(index, index)]
    mean = flat_mean(chain, equation.nodes)
    direction = mean(number, flat)
    m = direction[index]
    if equation.full or chain.regime is Regime.BATCH_EQUIVALENT:
        first, second, third = _expansion(equation, number, flat, index)
    else:  # ballistic: what is left out of the equation is O(h^3) in every residual too
        first = 0.5 * generator(lambda k, y: mean(k, y)[index], number, flat, direction, None)
        second, third = jnp.outer(m, m), symmetric_sum(jnp.einsum("i,jk->ijk", m, a))
    first, second, fourth = b + first, a + second, pairings(a)
    step = law.increments(chain, number, z)
    weights, rounding = jnp.abs(law.weights), jnp.broadcast_to(_ROUNDING * jnp.abs(flat[index]), step.shape)
    residuals, floors = [], []
    for tensor, letters in ((first, "i"), (second, "ij"), (third, "ijk"), (fourth, "ijkl")):
        spec = "q," + ",".join(f"q{letter}" for letter in letters) + "->" + letters
        degree = len(letters)

        def moment(steps, weights=weights, spec=spec, degree=degree):
            return jnp.einsum(spec, weights, *[steps] * degree)

        size, slope = jax.jvp(moment, (jnp.abs(step),), (rounding,))
        chosen = tuple(np.asarray(_degree(len(index), degree)).T)
        residuals.append((moment(step, law.weights) - tensor)[chosen])
        floors.append((law.precision * size + slope)[chosen])
    return jnp.concatenate(residuals), jnp.concatenate(floors)


def _expansion(equation: ModifiedEquation | PublishedEquation, number: Scalar, flat: Flat, index: np.ndarray):
    """`1/2 A A f` on the monomials of degree 1 and 2, and all of degree 3."""
    whole_mean = flat_mean(equation.chain, equation.nodes)
    whole_covariance = flat_covariance(equation.chain, equation.nodes)
    direction, moments = whole_mean(number, flat), whole_covariance(number, flat)

    def mean(step, point):
        return whole_mean(step, point)[index]

    def covariance(step, point):
        return whole_covariance(step, point)[np.ix_(index, index)]

    def along(function):
        return jax.vmap(lambda row: jax.jvp(lambda y: function(number, y), (flat,), (row,))[1])(
            moments[index]
        )

    m, c = direction[index], moments[np.ix_(index, index)]
    transport = along(mean)
    first = 0.5 * generator(mean, number, flat, direction, moments)
    second = jnp.outer(m, m) + 0.5 * (transport + transport.T)
    second = second + 0.5 * generator(covariance, number, flat, direction, moments)
    return first, second, symmetric_sum(jnp.einsum("i,jk->ijk", m, c) + 0.5 * along(covariance))


def _degree(count: int, degree: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(count), degree))


def _indices(count: int) -> list[tuple[int, ...]]:
    return [index for degree in (1, 2, 3, 4) for index in _degree(count, degree)]


def _name(index: tuple[int, ...], names: list[str]) -> str:
    powers = Counter(index)
    return " ".join(names[i] if n == 1 else f"{names[i]}^{n}" for i, n in sorted(powers.items()))


def _exponents(rows: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """log2 of the ratio of neighbouring residuals; nan across a sign change and next to one, or in rounding error."""
    table = np.asarray([np.where(np.abs(residual) > floor, residual, np.nan) for residual, floor in rows])
    with np.errstate(invalid="ignore"):
        ratio = table[:-1] / table[1:]
        ratio[1:][ratio[:-1] < 0] = (
            np.nan
        )  # a residual that has just crossed 0 is smaller than its order says
        return np.log2(np.where(ratio > 0, ratio, np.nan))


def _known(column: np.ndarray) -> list[float | None]:
    return [float(order) if np.isfinite(order) else None for order in column]


def _last(orders: list[float | None]) -> float | None:
    known = [order for order in orders if order is not None]
    return known[-1] if known else None


def _settled(rows: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    """Whether every exponent has stopped moving on the last three rungs, or its residual is rounding error."""
    before, after = _exponents(rows[-3:])
    residual, floor = rows[-1]
    return bool(np.all((np.abs(residual) <= floor) | (np.abs(after - before) < _SETTLED)))
