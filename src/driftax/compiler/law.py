"""The exact law of one step on a set of coordinates of the state, as a finite quadrature."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.step_moments import node_increments, sign_optimizer

_DENSE = 12  # state coordinates beyond which fourth-order tensors are no longer taken whole


class LocalLaw(eqx.Module):
    """Quadrature of one step: joint moments of the coordinates `index` of the flat state.

    `nodes` [node, dim] are gradient noises, or the signs of the gradient for a sign optimizer. Where a joint
    quadrature exists and the state is small, `index` is the whole state. Elsewhere it is the slots of one
    coordinate, whose law is one-dimensional whatever the dimension.
    """

    nodes: Float[Array, "node dim"]
    weights: Float[Array, " node"]
    index: tuple[int, ...] = eqx.field(static=True)

    def increments(self, chain: Chain, number: Scalar, z: Slots) -> Float[Array, "node index"]:
        """The step at every node, on the coordinates of `index`."""
        if chain.optimizer.smooth:
            steps = node_increments(chain, number, z, self.nodes)
        else:
            _, outside = sign_optimizer(chain).decays(chain.params(z))
            steps = -chain.optimizer.learning_rate * (self.nodes + outside[None, :])
        return steps.reshape(len(self.nodes), -1)[:, np.asarray(self.index)]


def local_law(chain: Chain, z: Slots, nodes: int, coordinate: int | None = None) -> LocalLaw:
    """The law of one step around a state.

    Args:
        chain: the optimizer on its rung.
        z: the state [slot, dim].
        nodes: quadrature nodes per coordinate.
        coordinate: the parameter to look at where the whole state is too large; by default the one with the
            largest gradient variance.
    """
    slots, dim = z.shape
    if not chain.optimizer.smooth:
        return _sign_law(chain, z, 0 if coordinate is None else coordinate)
    params = chain.params(z)
    # Nodes per coordinate shrink with the dimension, so that the tensor grid stays small.
    per_coordinate = {1: nodes, 2: nodes, 3: min(nodes, 9), 4: min(nodes, 7)}.get(dim, 5)
    joint = chain.noise.joint(chain.objective, params, per_coordinate) if slots * dim <= _DENSE else None
    if joint is not None:
        return LocalLaw(*joint, tuple(range(slots * dim)))
    rule = chain.noise.rule(chain.objective, params, nodes)
    if coordinate is None:
        spread = jnp.einsum("ji,ji->i", rule.weights, rule.nodes**2)
        coordinate = int(jnp.argmax(spread))
    index = tuple(slot * dim + coordinate for slot in range(slots))
    return LocalLaw(rule.nodes, rule.weights[:, coordinate], index)


def _sign_law(chain: Chain, z: Slots, coordinate: int) -> LocalLaw:
    """The orthants of the gradient: all of them for one or two parameters, else one coordinate's two signs."""
    params = chain.params(z)
    inside, _ = sign_optimizer(chain).decays(params)
    moments = chain.noise.sign_moments(chain.objective, params, inside)
    dim = params.shape[0]
    if dim == 2:
        covariance = moments.covariance[0, 1] if moments.covariance.ndim == 2 else 0.0
        signs = jnp.asarray([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
        product = covariance + moments.mean[0] * moments.mean[1]
        weights = (1 + signs @ moments.mean + signs[:, 0] * signs[:, 1] * product) / 4
        return LocalLaw(signs, weights, (0, 1))
    signs = jnp.stack([jnp.ones(dim), -jnp.ones(dim)])
    weights = (1 + signs[:, coordinate] * moments.mean[coordinate]) / 2
    return LocalLaw(signs, weights, (coordinate,))
