from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from driftax._types import Vector
from driftax.objective._base import AbstractObjective


class FiniteSum(AbstractObjective):
    r"""The mean loss over a data set, `F(x) = 1/n sum_i l(x, example_i)`.

    Args:
        example_loss: the loss of one example, a function of (params [dim], example).
        examples: a pytree of arrays whose leading axis counts the examples.
        dim: number of parameters `example_loss` takes.
    """

    example_loss: Callable = eqx.field(static=True)
    examples: PyTree[Array]
    _dim: int = eqx.field(static=True)

    def __init__(self, example_loss: Callable, examples: PyTree[Array], dim: int):
        self.example_loss, self.examples, self._dim = example_loss, examples, dim

    @property
    def dim(self) -> int:
        return self._dim

    @property
    def size(self) -> int:
        """The number of examples n."""
        return jax.tree.leaves(self.examples)[0].shape[0]

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.mean(self.losses(params))

    def losses(self, params: Vector) -> Float[Array, " size"]:
        """The loss of every example."""
        return jax.vmap(self.example_loss, in_axes=(None, 0))(params, self.examples)

    def gradient(self, params: Vector) -> Vector:
        return jax.grad(self.loss)(params)

    def example_gradients(self, params: Vector) -> Float[Array, "size dim"]:
        """The gradient of every example's loss."""
        return jax.vmap(jax.grad(self.example_loss), in_axes=(None, 0))(params, self.examples)

    def weighted_gradients(
        self, params: Vector, weights: Float[Array, "batch size"]
    ) -> Float[Array, "batch dim"]:
        """The gradients of `sum_i weights[k, i] loss_i`, one for every k, from one forward pass."""
        _, pull = jax.vjp(self.losses, params)
        # One after the other: a map over them takes more memory, and convolutions half as long again.
        return jnp.stack([pull(row)[0] for row in weights.astype(params.dtype)])

    def gradient_variance(self, params: Vector) -> Vector:
        """The variance of every coordinate of the gradient of one example picked at random.

        The mean gradient of B of them, picked with replacement, has this over B.
        """
        return jnp.var(self.example_gradients(params), axis=0)

    def batch_gradient(self, params: Vector, index: Int[Array, " batch"]) -> Vector:
        """The mean gradient over the examples named by `index`."""
        batch = jax.tree.map(lambda leaf: leaf[index], self.examples)

        def loss(at):
            return jnp.mean(jax.vmap(self.example_loss, in_axes=(None, 0))(at, batch))

        return jax.grad(loss)(params)
