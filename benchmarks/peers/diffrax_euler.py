"""diffrax's Euler method, one solve per member under `vmap`; only the state at the end is kept."""

from __future__ import annotations

from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp

from ..interleave import Answer
from ..problem import Problem
from .closed_forms import equation


def run(problem: Problem, order: int, substeps: int, members: int, tree: bool) -> Callable[[int], Answer]:
    """E|x|^2 at the end, driven by an UnsafeBrownianPath or a VirtualBrownianTree."""
    written = equation(problem, order, lambda array: jnp.asarray(array, jnp.float32), jnp.sqrt)
    start = jnp.asarray(problem.start, jnp.float32)
    steps = problem.steps * substeps
    dt = jnp.float32(problem.learning_rate / substeps)
    zero, end = jnp.float32(0.0), jnp.float32(problem.learning_rate * problem.steps)
    shape = (order, problem.dim)

    def drift(t, z, args):
        return jnp.stack(written.drift(tuple(z)))

    def noise(z, w):
        return jnp.stack(written.noise(tuple(z), w[0], w[-1]))

    class Product(diffrax.ControlTerm):  # the noise as a product: no matrix is formed
        def prod(self, vf, control):
            return noise(vf, control)

    def solve(key):
        kind = jax.ShapeDtypeStruct(shape, jnp.float32)
        if tree:
            path = diffrax.VirtualBrownianTree(zero, end, tol=dt / 2, shape=kind, key=key)
        else:
            path = diffrax.UnsafeBrownianPath(kind, key)
        terms = diffrax.MultiTerm(diffrax.ODETerm(drift), Product(lambda t, z, args: z, path))
        solution = diffrax.diffeqsolve(
            terms,
            diffrax.Euler(),
            zero,
            end,
            dt,
            start,
            saveat=diffrax.SaveAt(t1=True),
            adjoint=diffrax.ForwardMode(),
            max_steps=steps + 8,
        )
        return jnp.sum(solution.ys[0, 0] ** 2)

    ensemble = jax.jit(jax.vmap(solve))
    return lambda seed: Answer.of(ensemble(jax.random.split(jax.random.key(seed), members)))
