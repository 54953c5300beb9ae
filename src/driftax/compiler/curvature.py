"""The top preconditioned curvature of a step, in units of its stability bound.

With second moments frozen, a step that is elementwise in the gradient is `s' = s + A s + b g` around a state, where
s are the params and the other vectors of one coordinate. In a direction of curvature l (`g = l x`) its multiplier is
-1 at `l k = 1` with `k = -e_x^T (2 I + A)^(-1) b`: the bound 1/k is 2/lr for SGD, 2 (1 + decay)/lr for a heavy ball and
2 (1 + b1) (sqrt(nu) + eps) / (lr (1 - b1)) for Adam. With one k per coordinate and the Hessian H, the top eigenvalue of
`K^(1/2) H K^(1/2)` is 1 at the edge of stability.

Source: cohen2021 and cohen2022 (bounds of SGD, heavy ball and Adam); for any elementwise step re-derived.
"""

from __future__ import annotations

from collections.abc import Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.sparse.linalg import LinearOperator, eigsh

from driftax._types import Scalar, Slots, Vector
from driftax.chain import Chain
from driftax.compiler.step_moments import shape_of, step_moments
from driftax.noise import AbstractContinuousNoise
from driftax.objective import AbstractObjective

_DENSE = 64  # parameters up to which the whole matrix is taken
_TOLERANCE = 1e-3  # of Lanczos' eigenvalue, relative
_NODES = 3


class _Slope(AbstractObjective):
    """A loss whose gradient is given."""

    given: Vector

    @property
    def dim(self) -> None:
        return None

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.sum(self.given * params)

    def gradient(self, params: Vector) -> Vector:
        return self.given


def no_curvature(chain: Chain, dim: int) -> str | None:
    """Why the steps of a chain have no preconditioned curvature; None where they have one."""
    shape, law = shape_of(chain, dim), chain.noise
    if not shape.elementwise:
        return f"the coordinates of a step mix (`{shape.mixing}`)"
    if shape.smooth or (isinstance(law, AbstractContinuousNoise) and law.constant):
        return None
    return (
        "a step with kinks (sign, clip, max) has a slope only on average over a constant law with densities"
    )


def inverse_bounds(chain: Chain, number: Scalar, z: Slots) -> Vector:
    """One over the bound on the curvature of every coordinate [dim]; 0 where the step does not move it.

    A step with kinks is averaged over the gradient law first.

    Args:
        chain: one for which `no_curvature` finds nothing; natural coordinates.
        number: steps taken before.
        z: the state [slot, dim].
    """
    powers, gradient = list(chain.optimizer.slots.values()), chain.gradient(z)
    moving = np.asarray([i for i, power in enumerate(powers) if power != 2])
    first = np.asarray(powers)[:, None] == 1
    frozen = np.asarray(powers)[:, None] == 2
    smooth, still = shape_of(chain, z.shape[1]).smooth, jnp.zeros_like(gradient)

    def step(z: Slots, gradient: Vector) -> Slots:
        if smooth:
            return chain.increment(number, z, gradient)
        sloped = eqx.tree_at(lambda c: c.objective, chain, _Slope(gradient))
        return step_moments(sloped, number, z, _NODES, joint=False).mean

    def along(at: Slots, rows: np.ndarray) -> Slots:
        tangent = jnp.broadcast_to(jnp.asarray(rows, z.dtype), z.shape)
        return jax.jvp(lambda state: step(state, still), (at,), (tangent,))[1]

    def linear(at: Slots) -> tuple[Vector, Float[Array, ""]]:
        """The inverse bounds with second moments as `at`, and how far the step at z is from that line."""
        a = jnp.stack([along(at, np.arange(len(z))[:, None] == i)[moving] for i in moving])
        b = jax.jvp(lambda g: step(at, g), (still,), (jnp.ones_like(still),))[1][moving]
        matrix = 2 * jnp.eye(len(moving), dtype=z.dtype)[:, :, None] + jnp.swapaxes(a, 0, 1)
        solved = jnp.linalg.solve(jnp.moveaxis(matrix, -1, 0), b.T[:, :, None])[:, 0, 0]
        told = jnp.sum(a[:, 0] * (z - at)[moving], axis=0) + b[0] * gradient
        return -solved, jnp.nansum(jnp.abs(step(z, gradient)[0] - step(at, still)[0] - told))

    # A step divides by the second moments before it or after it: the line that it lies on tells which.
    before = jnp.where(first, 0.0, z)
    change = step(z, gradient) - step(before, still)
    after = before + jnp.where(frozen, change / (1 + along(before, frozen)), 0.0)
    (k_before, off_before), (k_after, off_after) = linear(before), linear(after)
    k = jnp.where(off_after < off_before, k_after, k_before)
    return jnp.where(jnp.isfinite(k), jnp.maximum(k, 0.0), 0.0)


def top_curvature(chain: Chain, number: Scalar, z: Slots) -> float:
    """The top eigenvalue of `K^(1/2) H K^(1/2)`: above 1 past the edge of stability; nan where H is not finite.

    Args:
        chain: as for `inverse_bounds`.
        number: steps taken before.
        z: the state [slot, dim].
    """
    root = jnp.sqrt(_inverse_bounds(chain, number, z))
    params = chain.params(z)
    dim = params.shape[0]

    def product(vector: np.ndarray) -> np.ndarray:
        direction = jnp.asarray(vector.reshape(-1), params.dtype)
        return np.asarray(_product(chain, params, root, direction), dtype=float)

    begin = np.random.default_rng(0).standard_normal(dim)
    if not np.all(np.isfinite(product(begin))):
        return float("nan")
    if dim <= _DENSE:
        matrix = np.stack([product(row) for row in np.eye(dim)])
        return float(np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[-1])
    operator = LinearOperator((dim, dim), matvec=product, dtype=float)
    return float(eigsh(operator, 1, which="LA", v0=begin, tol=_TOLERANCE, return_eigenvectors=False)[0])


def curvature_along(chain: Chain, number: Scalar, z: Slots, steps: Iterable[int]) -> list[tuple[int, float]]:
    """The top curvature along the noiseless path, as (step, value), to the last state at which it is finite.

    Args:
        chain: as for `inverse_bounds`.
        number: steps taken before.
        z: the state [slot, dim] at step 0.
        steps: where to look; they rise.
    """
    found, done = [], 0
    for step in steps:
        z, done = _advanced(chain, number + done, z, step - done), step
        value = top_curvature(chain, number + done, z) if bool(jnp.all(jnp.isfinite(z))) else float("nan")
        if not np.isfinite(value):
            break
        found.append((step, value))
    return found


_inverse_bounds = eqx.filter_jit(inverse_bounds)


@eqx.filter_jit
def _product(chain: Chain, params: Vector, root: Vector, vector: Vector) -> Vector:
    return root * jax.jvp(chain.objective.gradient, (params,), (root * vector,))[1]


@eqx.filter_jit
def _advanced(chain: Chain, number: Scalar, z: Slots, steps: Scalar) -> Slots:
    """The state after noiseless steps."""
    return jax.lax.fori_loop(
        0, steps, lambda i, z: chain.step(number + i, z, chain.gradient(z)).astype(z.dtype), z
    )
