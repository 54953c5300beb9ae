"""optax as its users run an ensemble: one trajectory, `vmap` over members, `scan` over steps, `jax.random`."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from ..interleave import Answer
from ..problem import EPS, SIGMA, Problem


def discrete(problem: Problem, members: int) -> Callable[[int], Answer]:
    hessian = jnp.asarray(problem.hessian, jnp.float32)
    optimizer = _optimizer(problem)

    def step(key, number, params, state):
        noise = jax.random.normal(jax.random.fold_in(key, number), params.shape, params.dtype)
        update, state = optimizer.update(hessian @ (params - SIGMA * noise), state, params)
        params = optax.apply_updates(params, update)
        return params, state

    @jax.jit
    def ensemble(keys, start):
        params = jnp.broadcast_to(start, (members, problem.dim))
        state = jax.vmap(optimizer.init)(params)

        def advance(carry, number):
            params, state = jax.vmap(step, in_axes=(0, None, 0, 0))(keys, number, *carry)
            squares = jnp.sum(params**2, axis=1)
            return (params, state), (jnp.mean(squares), jnp.mean(squares**2))

        return jax.lax.scan(advance, (params, state), jnp.arange(problem.steps))[1]

    def run(seed: int) -> Answer:
        keys = jax.random.split(jax.random.key(seed), members)
        second, fourth = ensemble(keys, jnp.asarray(problem.params, jnp.float32))
        second, fourth = float(second[-1]), float(fourth[-1])
        return Answer(second, ((fourth - second**2) / members) ** 0.5)

    return run


def _optimizer(problem: Problem) -> optax.GradientTransformation:
    rate = problem.learning_rate
    match problem.optimizer:
        case "RMSprop":
            return optax.rmsprop(rate, decay=problem.decay, eps=EPS, eps_in_sqrt=False)
        case "Adam":
            return optax.adam(rate, *problem.betas, eps=EPS)
        case "SignSGD":
            return optax.sign_sgd(rate)
    return optax.sgd(rate)
