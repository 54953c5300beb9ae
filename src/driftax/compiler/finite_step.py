"""The finite-step method: coefficients from the moments of one step at the actual hyperparameters.

With m the mean and C the covariance of one step, J the Jacobian of m, M = C + m m^T and
`L = m . grad + 1/2 M : grad grad`, in step time (one step = one unit):

    order 1:  drift = m                      covariance = C
    order 2:  drift = m - 1/2 (d_k + L) m    covariance = C - 1/2 (J C + C J^T) - 1/2 (d_k + L) C

Source: re-derived (callisti2025, litaie2019 for the special cases); no limit of small steps is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from driftax._rows import Rows
from driftax._types import Flat, Matrix, Scalar
from driftax.chain import Chain
from driftax.compiler.step_moments import flat_covariance, flat_mean, row_mean


def generator(
    function: Callable,
    number: Scalar,
    flat: Flat | Rows,
    drift: Flat | Rows,
    moments: Matrix | None,
    in_time: bool = True,
):
    """`(d_k + drift . grad + 1/2 moments : grad grad) function` at (number, flat).

    Args:
        function: of (number, flat state), any array result; without `moments`, of rows too.
        number: the step, a float.
        flat: the state.
        drift: direction of the first-order part.
        moments: symmetric matrix of the second-order part; None leaves it out.
        in_time: whether d_k is included.
    """
    number = jnp.asarray(number, dtype=flat.dtype)
    tangent = jnp.ones_like(number) if in_time else jnp.zeros_like(number)
    value = jax.jvp(function, (number, flat), (tangent, drift))[1]
    if moments is None or isinstance(flat, Rows):
        return value

    def along(direction, row):
        def first(point):
            return jax.jvp(lambda y: function(number, y), (point,), (row,))[1]

        return jax.jvp(first, (flat,), (direction,))[1]

    def add(total, pair):
        return total + along(*pair), None

    # Row by row: all rows at once would hold a second derivative of every example's gradient.
    rows = (jnp.eye(flat.size, dtype=flat.dtype), moments)
    second, _ = jax.lax.scan(add, jnp.zeros_like(value), rows)
    return value + 0.5 * second


def drift(chain: Chain, order: int, nodes: int, number: Scalar, flat: Flat, full: bool = True) -> Flat:
    """The drift per step. `full=False` leaves out `1/2 M : grad grad m`, O(h^3) in the ballistic regime."""
    if order == 1 or not full:
        rows = Rows.of(flat.reshape(len(chain.slots), -1))
        return _directional_drift(chain, order, nodes, number, rows).stacked.reshape(-1)
    mean = flat_mean(chain, nodes)
    m = mean(number, flat)
    moments = flat_covariance(chain, nodes)(number, flat) + jnp.outer(m, m)
    return m - 0.5 * generator(mean, number, flat, m, moments)


def _directional_drift(chain: Chain, order: int, nodes: int, number: Scalar, z: Rows) -> Rows:
    """The drift where it takes derivatives along itself alone."""
    mean = row_mean(chain, nodes)
    m = mean(number, z)
    return m if order == 1 else m - 0.5 * generator(mean, number, z, m, None)


def covariance(chain: Chain, order: int, nodes: int, number: Scalar, flat: Flat, full: bool = True) -> Matrix:
    """The covariance per step; at order 2 possibly indefinite at O(h^3).

    `full=False` keeps C alone, whose correction is O(h^3) in the ballistic regime.
    """
    cov = flat_covariance(chain, nodes)
    c = cov(number, flat)
    if order == 1 or not full:
        return c
    mean = flat_mean(chain, nodes)
    m = mean(number, flat)
    jacobian = jax.jacfwd(lambda y: mean(number, y))(flat)
    mixed = jacobian @ c
    correction = generator(cov, number, flat, m, c + jnp.outer(m, m))
    return c - 0.5 * (mixed + mixed.T) - 0.5 * correction
