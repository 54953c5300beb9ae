from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from driftax._errors import DriftaxError
from driftax._types import Scalar, Vector
from driftax.noise._base import checked_batch
from driftax.noise.picks import AbstractPickedNoise, PickDraws, Picks, check_picks
from driftax.objective import AbstractObjective, FiniteSum


class MinibatchNoise(AbstractPickedNoise):
    """The minibatch law of a finite sum: the mean gradient of `batch_size` examples, drawn afresh each step.

    Exact moments to order 4 from the gradients of all examples. Sampling by epochs (reshuffling) is another
    process: its steps are not independent, and no equation of this library describes it.

    Its quadrature has three nodes per coordinate, which match the moments to order 4, or two, which match
    those to order 3: enough for an equation in the ballistic regime, and cheaper.

    Source: compagnoni2025 (gradient model); the cumulants are re-derived from inclusion probabilities.

    Args:
        batch_size: examples per step, at rung 1.
        replacement: whether a batch may hold an example twice; without it the finite-population factor
            (n - B)/(n - 1) and its analogues of orders 3 and 4 apply.

    Raises:
        DriftaxError: if `batch_size` is not at least 1.
    """

    batch_size: Scalar
    replacement: bool = eqx.field(static=True)

    def __init__(self, batch_size: int, replacement: bool = True):
        checked_batch("a minibatch law", batch_size)
        self.batch_size, self.replacement = batch_size, replacement

    @property
    def constant(self) -> bool:
        return False

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        size = _finite(objective).size
        check_picks("a minibatch law without replacement", self.batch_size, size, self.replacement)

    def picks(self, objective: AbstractObjective, params: Vector) -> Picks:
        gradients = _finite(objective).example_gradients(params)
        return Picks(
            gradients - jnp.mean(gradients, axis=0, keepdims=True), self.batch_size, self.replacement
        )

    def moments(self, objective: AbstractObjective, params: Vector) -> Float[Array, "order dim"]:
        """Central moments 2, 3, 4 of every coordinate of the minibatch gradient."""
        return self.picks(objective, params).shape.moments

    def draws(self, objective: AbstractObjective) -> PickDraws:
        return self._draws_from(_finite(objective).size)

    def gradient(self, objective: AbstractObjective, params: Vector, draw: Int[Array, " batch"]) -> Vector:
        return _finite(objective).batch_gradient(params, draw)

    def gradients(
        self, objective: AbstractObjective, params: Vector
    ) -> Callable[[Int[Array, " batch"]], Vector]:
        every = _finite(objective).example_gradients(params)
        return lambda draw: jnp.mean(every[draw], axis=0)


def _finite(objective: AbstractObjective) -> FiniteSum:
    if not isinstance(objective, FiniteSum):
        raise DriftaxError(
            "a minibatch law",
            f"the objective {type(objective).__name__}, which is not a sum over examples",
            'objective = "finite_sum", or a Gaussian gradient law',
        )
    return objective
