"""The exact law of one step on a set of coordinates of the state, as a finite quadrature."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._types import Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.kinks import continuous_law, local_grid
from driftax.compiler.step_moments import coordinate_rule, node_increments, shape_of
from driftax.noise import AbstractContinuousNoise, sign_moments
from driftax.optimizer import SignSGD

_DENSE = 12  # state coordinates beyond which fourth-order tensors are no longer taken whole

# Kinks are looked for in a loop, which op by op is compiled again on every rung.
_compiled_rule = eqx.filter_jit(coordinate_rule)
_compiled_grid = eqx.filter_jit(local_grid)


class LocalLaw(eqx.Module):
    """Quadrature of one step: joint moments of the coordinates `index` of the flat state.

    `nodes` [node, dim] are gradient noises. Where a joint quadrature exists and the state is small, `index` is
    the whole state. Elsewhere it is the slots of one coordinate, whose law is one-dimensional whatever the
    dimension (unless coordinates mix).
    """

    nodes: Float[Array, "node dim"]
    weights: Float[Array, " node"]
    index: tuple[int, ...] = eqx.field(static=True)
    precision: float = eqx.field(default=1e-13, static=True)  # of its moments, relative

    def increments(self, chain: Chain, number: Scalar, z: Slots) -> Float[Array, "node index"]:
        """The step at every node, on the coordinates of `index`."""
        steps = node_increments(chain, number, z, self.nodes)
        return steps.reshape(len(self.nodes), -1)[:, np.asarray(self.index)]


def local_law(chain: Chain, number: Scalar, z: Slots, nodes: int, coordinate: int | None = None) -> LocalLaw:
    """The law of one step around a state.

    Args:
        chain: the optimizer on its rung.
        number: steps taken before.
        z: the state [slot, dim].
        nodes: quadrature nodes per coordinate.
        coordinate: the parameter to look at where the whole state is too large; by default the one with the
            largest gradient variance.
    """
    slots, dim = z.shape
    shape = shape_of(chain, dim)
    whole = slots * dim <= _DENSE
    everything = tuple(range(slots * dim))
    if not shape.elementwise:
        joint = chain.noise.joint(chain.objective, chain.params(z), nodes)
        index = everything if whole else _slots_of(0 if coordinate is None else coordinate, slots, dim)
        return LocalLaw(joint.nodes, joint.weights, index)
    if shape.smooth and whole and isinstance(chain.noise, AbstractContinuousNoise) and chain.noise.gaussian:
        # Nodes per coordinate shrink with the dimension, so that the tensor grid stays small.
        per_coordinate = {1: nodes, 2: nodes, 3: min(nodes, 9), 4: min(nodes, 7)}.get(dim, 5)
        joint = chain.noise.joint(chain.objective, chain.params(z), per_coordinate)
        if joint.exact_degree > 5:
            return LocalLaw(joint.nodes, joint.weights, everything)
    if isinstance(chain.optimizer, SignSGD) and dim <= 2:
        return _sign_law(chain, z)
    number = jnp.asarray(number, dtype=float)
    rule = (coordinate_rule if shape.smooth else _compiled_rule)(chain, number, z, nodes)
    if dim == 1:
        return LocalLaw(rule.nodes, rule.weights[:, 0], everything)
    if not shape.smooth and dim == 2 and whole:
        return LocalLaw(*_compiled_grid(chain, number, z, shape, nodes), everything, precision=1e-10)
    if coordinate is None:
        spread = jnp.einsum("ji,ji->i", rule.weights, rule.nodes**2)
        coordinate = int(jnp.argmax(spread))
    return LocalLaw(rule.nodes, rule.weights[:, coordinate], _slots_of(coordinate, slots, dim))


def _sign_law(chain: Chain, z: Slots) -> LocalLaw:
    """The orthants of the gradient of one or two parameters, each with its exact probability."""
    assert isinstance(chain.optimizer, SignSGD)
    params = chain.params(z)
    inside, _ = chain.optimizer.decays(params)
    moments = sign_moments(continuous_law(chain), chain.objective, params, inside)
    dim = params.shape[0]
    signs = jnp.asarray([[1.0], [-1.0]] if dim == 1 else [[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    weights = 1 + signs @ moments.mean
    if dim == 2:
        covariance = moments.covariance[0, 1] if moments.covariance.ndim == 2 else 0.0
        weights = weights + signs[:, 0] * signs[:, 1] * (covariance + moments.mean[0] * moments.mean[1])
    nodes = signs - chain.gradient(z)[None] - inside[None]  # any noise with that sign of the gradient
    return LocalLaw(nodes, weights / len(signs), tuple(range(dim)))


def _slots_of(coordinate: int, slots: int, dim: int) -> tuple[int, ...]:
    return tuple(slot * dim + coordinate for slot in range(slots))
