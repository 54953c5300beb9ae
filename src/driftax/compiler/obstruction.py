"""What no equation on the optimizer's own state can reproduce: third- and fourth-order terms of one step.

`E f(state')` contains `T3 d^3 f + T4 d^4 f` with

    T3 = 1/6 kappa3(D) - 1/4 A_il d_l A_jk   (symmetrised),      T4 = 1/24 kappa4(D)

(kappa: joint cumulants of one step D, A its covariance), which a diffusion does not have. Order 2 exists
where both are O(h^3) as the time step h falls.

Source: re-derived; the batch-equivalent third-order term of RMSprop and Adam is new.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from math import factorial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.law import LocalLaw, local_law
from driftax.compiler.step_moments import flat_covariance

_FINER = 1 / 16  # between the three rungs on which a coefficient is looked at
_VANISHING = 1 / 8  # one of O(h^3) falls to 1/16 of h^2 over that factor, one of O(h^2.5) to 1/4
_GROWING = 2.0  # one that more than doubles over that factor, twice, grows
_NEGLIGIBLE = 1e-9


class Obstruction(NamedTuple):
    """The largest coefficients of T3 and T4 at a state, divided by h^2, and the derivatives they stand at."""

    third: float
    fourth: float
    third_at: str
    fourth_at: str


def obstruction(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Obstruction:
    """The obstruction at one state of one rung.

    Args:
        chain: the optimizer on its rung.
        number: steps taken before.
        z: the state [slot, dim].
        nodes: quadrature nodes per coordinate.
    """
    third, fourth, names = _coefficients(chain, number, z, nodes)
    return _largest(third, fourth, names)


class Term(NamedTuple):
    """A coefficient that breaks an order: `value h^2` on the finest rung, of size h^(2 - rate) between the rungs."""

    degree: int
    where: str
    value: float
    rate: float


def persistent(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Term | None:
    """The largest coefficient of T3 and T4 that is not of O(h^3) as the time step h falls; None if all are.

    Every coefficient is judged on its own: a large one that vanishes hides a small one that does not. It must fail
    over the last step and over both, so that neither a change of sign on one rung nor rounding decides.
    """

    def stays(coarse, middle, fine):
        return (fine >= _VANISHING * middle) & (fine >= _VANISHING**2 * coarse) | ~np.isfinite(fine)

    terms = _terms(chain, number, z, nodes, stays)
    return max(terms, key=lambda term: abs(term.value) if np.isfinite(term.value) else np.inf, default=None)


def growing(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Term | None:
    """The coefficient of T3 and T4 that grows fastest relative to h^2, so that not even order 1 exists.

    It more than doubles on both steps of the rungs. So does the third cumulant of a skewed gradient in the
    batch-equivalent regime, like h^(-1/2).
    """

    def grows(coarse, middle, fine):
        return (fine > _GROWING * middle) & (middle > _GROWING * coarse)

    return max(_terms(chain, number, z, nodes, grows), key=lambda term: term.rate, default=None)


def _terms(chain: Chain, number: Scalar, z: Slots, nodes: int, breaks: Callable) -> list[Term]:
    """The coefficients whose sizes on the rungs 1/16, 1/256 and 1/4096 break an order."""
    rungs = [_coefficients(chain.at(s), number / s, z, nodes) for s in (_FINER, _FINER**2, _FINER**3)]
    names, found = rungs[0][2], []
    for degree in (3, 4):
        tensors = [(third, fourth)[degree - 3] for third, fourth, _ in rungs]
        sizes = [np.abs(tensor) for tensor in tensors]
        chosen = breaks(*sizes) & ~(sizes[-1] < _NEGLIGIBLE)
        for index in _distinct(len(names), degree):
            if chosen[index]:
                middle, fine = (max(float(size[index]), 1e-300) for size in sizes[1:])
                rate = float(np.log(fine / middle) / -np.log(_FINER))
                value = _times_repeats(tensors[-1], index)
                found.append(Term(degree, _derivative(index, names), value, rate))
    return found


def _coefficients(
    chain: Chain, number: Scalar, z: Slots, nodes: int
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """T3 and T4 over h^2, and the names of their coordinates."""
    law = local_law(chain, number, z, nodes)
    third, fourth = _tensors(chain, jnp.asarray(number, dtype=float), z, law, nodes)
    step_squared = float(chain.time_step) ** 2
    names = chain.names(z.shape[1])
    return np.asarray(third) / step_squared, np.asarray(fourth) / step_squared, [names[i] for i in law.index]


@eqx.filter_jit
def _tensors(chain: Chain, number: Scalar, z: Slots, law: LocalLaw, nodes: int):
    index = jnp.asarray(law.index)
    flat = z.reshape(-1)
    centred = law.increments(chain, number, z)
    centred = centred - jnp.einsum("q,qi->i", law.weights, centred)[None]
    covariance = flat_covariance(chain, nodes)

    def inside(point):
        return covariance(number, point)[jnp.ix_(index, index)]

    rows = covariance(number, flat)[index]
    transport = jax.vmap(lambda row: jax.jvp(inside, (flat,), (row,))[1])(rows)  # A_il d_l A_jk
    moment = jnp.einsum("q,qi,qj,qk->ijk", law.weights, centred, centred, centred)
    third = (moment - 0.5 * symmetric_sum(transport)) / 6
    local = jnp.einsum("q,qi,qj->ij", law.weights, centred, centred)
    quartic = jnp.einsum("q,qi,qj,qk,ql->ijkl", law.weights, centred, centred, centred, centred)
    return third, (quartic - pairings(local)) / 24


def symmetric_sum(tensor):
    """The sum of t[i, jk] over which of the three indices stands first (t symmetric in the last two)."""
    return tensor + jnp.moveaxis(tensor, 0, 1) + jnp.moveaxis(tensor, 0, 2)


def pairings(matrix):
    """`a_ij a_kl + a_ik a_jl + a_il a_jk`."""
    return (
        jnp.einsum("ij,kl->ijkl", matrix, matrix)
        + jnp.einsum("ik,jl->ijkl", matrix, matrix)
        + jnp.einsum("il,jk->ijkl", matrix, matrix)
    )


def _largest(third: np.ndarray, fourth: np.ndarray, names: list[str]) -> Obstruction:
    third_value, third_at = _largest_entry(third, names)
    fourth_value, fourth_at = _largest_entry(fourth, names)
    return Obstruction(third_value, fourth_value, third_at, fourth_at)


def _largest_entry(tensor: np.ndarray, names: list[str]) -> tuple[float, str]:
    """The largest coefficient of a distinct derivative in a symmetric tensor, and that derivative."""
    best, where = 0.0, "-"
    for index in _distinct(len(names), tensor.ndim):
        value = _times_repeats(tensor, index)
        if not abs(value) <= abs(best):
            best, where = value, _derivative(index, names)
        if not np.isfinite(best):
            break
    return best, where


def _distinct(count: int, degree: int) -> list[tuple[int, ...]]:
    return list(combinations_with_replacement(range(count), degree))


def _times_repeats(tensor: np.ndarray, index: tuple[int, ...]) -> float:
    """What stands at a derivative, over all orders of its indices."""
    repeats = np.prod([factorial(index.count(i)) for i in set(index)])
    return float(tensor[index]) * factorial(tensor.ndim) / float(repeats)


def _derivative(index: tuple[int, ...], names: list[str]) -> str:
    return " ".join(f"d/d{names[i]}" for i in index)
