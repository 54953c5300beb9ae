"""What no equation on the optimizer's own state can reproduce: third- and fourth-order terms of one step.

`E f(state')` contains `T3 d^3 f + T4 d^4 f` with

    T3 = 1/6 kappa3(D) - 1/4 A_il d_l A_jk   (symmetrised),      T4 = 1/24 kappa4(D)

(kappa: joint cumulants of one step D, A its covariance), which a diffusion does not have. Order 2 exists
where they vanish relative to h^2 as the time step h falls.

Source: re-derived; the batch-equivalent third-order term of RMSprop and Adam is new.
"""

from __future__ import annotations

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
_VANISHING = 0.5  # one that falls by less than half over a factor 16 in the time step does not vanish
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


def persistent(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Obstruction | None:
    """What of the obstruction does not vanish relative to h^2 as the time step h falls; None if all of it does.

    Every coefficient is judged on its own, on the rungs 1/16 and 1/256: a large one that vanishes hides a
    small one that does not.
    """
    rungs = [_coefficients(chain.at(s), number / s, z, nodes) for s in (_FINER, _FINER**2)]
    kept = [
        np.where((np.abs(fine) < _NEGLIGIBLE) | (np.abs(fine) < _VANISHING * np.abs(coarse)), 0.0, fine)
        for coarse, fine in zip(rungs[0][:2], rungs[1][:2], strict=True)
    ]
    return _largest(kept[0], kept[1], rungs[1][2]) if any(np.any(tensor) for tensor in kept) else None


class Growth(NamedTuple):
    """A coefficient that breaks order 1: of that degree, at that derivative, of size h^(2 - rate)."""

    degree: int
    where: str
    rate: float


def growing(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Growth | None:
    """What of T3 and T4 grows relative to h^2 as the time step h falls, so that not even order 1 exists.

    The fastest coefficient that more than doubles on both steps of the rungs 1/16, 1/256 and 1/4096. So does the
    third cumulant of a skewed gradient in the batch-equivalent regime, like h^(-1/2).
    """
    rungs = [_coefficients(chain.at(s), number / s, z, nodes) for s in (_FINER, _FINER**2, _FINER**3)]
    found = None
    for degree in (3, 4):
        first, second, third = (np.abs(rung[degree - 3]) for rung in rungs)
        grows = (third > _NEGLIGIBLE) & (third > _GROWING * second) & (second > _GROWING * first)
        rate = np.where(grows, np.log(np.maximum(third, 1e-300) / np.maximum(second, 1e-300)), 0.0)
        largest = float(np.max(rate)) / -np.log(_FINER)
        if np.any(grows) and (found is None or largest > found.rate):
            index = np.unravel_index(np.argmax(rate), rate.shape)
            found = Growth(degree, " ".join(f"d/d{rungs[0][2][i]}" for i in index), largest)
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
    for index in combinations_with_replacement(range(tensor.shape[0]), tensor.ndim):
        repeats = np.prod([factorial(index.count(i)) for i in set(index)])
        value = float(tensor[index]) * factorial(tensor.ndim) / float(repeats)
        if not abs(value) <= abs(best):
            best, where = value, " ".join(f"d/d{names[i]}" for i in index)
        if not np.isfinite(best):
            break
    return best, where
