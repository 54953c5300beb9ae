"""One step of Adam, and of its order-1 equation, on the digits: `step(params, state, key)` to new params and state.

The state is that of `optax.adam`. All noise stands for minibatches of BATCH examples drawn with replacement.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import optax

from .digits_net import EXAMPLES, examples, losses

BATCH = 32
BETA1, BETA2 = 0.9, 0.999
_RATE, _EPS = 1e-3, 1e-8

optimizer = optax.adam(_RATE, BETA1, BETA2, _EPS)


def full_batch(params, state, key):
    """Adam with the gradient of all examples."""
    return _optax(params, state, full_gradient(params))


def minibatch(params, state, key):
    """Adam with the gradient of BATCH examples."""
    drawn = jax.random.randint(key, (BATCH,), 0, EXAMPLES, jnp.int32)
    pixels, digits = (jnp.asarray(each)[drawn] for each in examples())
    return _optax(params, state, jax.grad(lambda p: losses(p, pixels, digits).mean())(params))


def equation(params, state, key):
    """The order-1 equation; gradient and noise from one batched pullback of the vector of losses."""
    _, pullback = jax.vjp(_losses, params)
    cotangents = jnp.stack([jnp.full(EXAMPLES, 1 / EXAMPLES, jnp.float32), _random_weights(key)])
    (both,) = jax.vmap(pullback)(cotangents)
    return _euler(params, state, jax.tree.map(lambda x: x[0], both), jax.tree.map(lambda x: x[1], both))


def equation_one_pullback(params, state, key):
    """The same where only the sum of gradient and noise is wanted: a pullback is linear, so one is enough.

    The second moment is fed the square of the sum; given the parameters, its mean is that of the two squares.
    """
    _, pullback = jax.vjp(_losses, params)
    (sum_,) = pullback(1 / EXAMPLES + _random_weights(key) / math.sqrt(BATCH))
    return _optax(params, state, sum_)


def equation_per_example(params, state, key):
    """The same as `equation`, with the gradient of every example in memory."""

    def one(p, pixels, digits):
        return losses(p, pixels[None], digits[None])[0]

    each = jax.vmap(jax.grad(one), in_axes=(None, 0, 0))(params, *map(jnp.asarray, examples()))
    weights = _random_weights(key)
    gradient = jax.tree.map(lambda x: x.mean(0), each)
    return _euler(params, state, gradient, jax.tree.map(lambda x: jnp.tensordot(weights, x, axes=1), each))


def full_gradient(params):
    """The gradient of the mean loss."""
    return jax.grad(lambda p: _losses(p).mean())(params)


def exact_variance(params, direction):
    """The variance over the examples of their gradients along a direction."""
    return jax.jvp(_losses, (params,), (direction,))[1].var()


def _losses(params):
    return losses(params, *map(jnp.asarray, examples()))


def _random_weights(key):
    """Weights of the examples that turn their gradients into noise with exactly the covariance of one example."""
    normal = jax.random.normal(key, (EXAMPLES,), jnp.float32)
    return (normal - normal.mean()) / math.sqrt(EXAMPLES)


def _optax(params, state, gradient):
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state


def _euler(params, state, gradient, noise):
    """Noise enters the first moment; its square, whose mean is the variance, the drift of the second."""
    adam, *rest = state
    noise = jax.tree.map(lambda z: z / math.sqrt(BATCH), noise)
    count = adam.count + 1
    first = jax.tree.map(lambda m, g, z: m + (1 - BETA1) * (g + z - m), adam.mu, gradient, noise)
    second = jax.tree.map(lambda v, g, z: v + (1 - BETA2) * (g**2 + z**2 - v), adam.nu, gradient, noise)
    bias1, bias2 = (1 - jnp.float32(beta) ** count for beta in (BETA1, BETA2))
    params = jax.tree.map(
        lambda x, m, v: x - _RATE * (m / bias1) / (jnp.sqrt(v / bias2) + _EPS), params, first, second
    )
    return params, (adam._replace(count=count, mu=first, nu=second), *rest)
