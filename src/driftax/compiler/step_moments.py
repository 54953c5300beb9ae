"""The first two moments of one step, and the noise channels that make them.

Three kinds of update, told apart by their trace (`driftax.optimizer.structure`), take three roads:

* coordinate-wise and smooth: one-coordinate quadrature, orthonormal polynomials of the noise as channels;
* coordinate-wise with kinks (sign, clip, max): the same between the kinks (`compiler.kinks`), integrated
  before anything is differentiated;
* coordinates that mix (norms, orthogonalisation): joint quadrature of the whole gradient.

Source: architecture of the library; the chaos expansion of a coordinate-wise map is classical (re-derived).
"""

from __future__ import annotations

import operator
from functools import reduce

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._rows import Rows
from driftax._types import Flat, Matrix, Scalar, Slots
from driftax.chain import Chain
from driftax.compiler.kinks import continuous_law, kink_scores, pair_nodes
from driftax.noise import AbstractContinuousNoise, CoordinateRule, sign_moments
from driftax.optimizer import SignSGD
from driftax.optimizer.structure import Structure, structure

_FEW = 3  # nodes of the rules that ensembles use; more of them, written out, are slow to compile
_ROUNDING = 1e-12  # of a variance: what is left of it below this is rounding error


class StepMoments(eqx.Module):
    """Mean and covariance of one step D.

    `D = mean + sum_n channels[n] * p_n(z)` with channels of shape [channel, slot, dim]; `gram` are the
    cross moments of the p_n between coordinates (None: independent), `dense` the whole covariance
    [slot dim, slot dim] where the channels do not give it.
    """

    mean: Slots
    channels: Float[Array, "channel slot dim"]
    gram: Float[Array, "channel channel dim dim"] | None
    dense: Float[Array, "state state"] | None

    def covariance(self) -> Matrix:
        """The covariance of D over the flat state [slot * dim]."""
        if self.dense is not None:
            return self.dense
        _, slots, dim = self.channels.shape
        if self.gram is None:
            dense = jnp.einsum("nsi,nti,ij->sitj", self.channels, self.channels, jnp.eye(dim))
        else:
            dense = jnp.einsum("msi,mnij,ntj->sitj", self.channels, self.gram, self.channels)
        return dense.reshape(slots * dim, slots * dim)


def shape_of(chain: Chain, dim: int) -> Structure:
    """How the update of a chain's optimizer treats its coordinates."""
    return structure(chain.optimizer, dim)


def node_increments(chain: Chain, number: Scalar, z: Slots, nodes) -> Float[Array, "node slot dim"]:
    """The step at every quadrature node of the gradient noise [node, dim]."""
    gradient = chain.gradient(z)
    if len(nodes) > _FEW:
        return jax.vmap(lambda node: chain.increment(number, z, gradient + node))(nodes)
    # Node by node: a map over nodes writes them all to memory.
    return jnp.stack([chain.increment(number, z, gradient + node) for node in nodes])


def coordinate_rule(chain: Chain, number: Scalar, z: Slots, nodes: int) -> CoordinateRule:
    """One-coordinate quadrature of a coordinate-wise step, between its kinks if it has any."""
    params = chain.params(z)
    shape = shape_of(chain, params.shape[0])
    if shape.smooth:
        return chain.noise.rule(chain.objective, params, nodes)
    law = continuous_law(chain)
    kinks = kink_scores(chain, number, z, shape)
    return law.piecewise_rule(chain.objective, params, kinks, fine=nodes > 5)


def step_moments(chain: Chain, number: Scalar, z: Slots, nodes: int, joint: bool = True) -> StepMoments:
    """Moments of one step at state z.

    For coordinate-wise updates the cost is linear in the dimension for independent coordinates, and for the
    mean always.

    Args:
        chain: the optimizer on its rung.
        number: how many steps were taken before; may be fractional.
        z: the state [slot, dim].
        nodes: quadrature nodes per coordinate, where the law leaves a choice.
        joint: whether the cross moments between coordinates are wanted.
    """
    params = chain.params(z)
    shape = shape_of(chain, params.shape[0])
    if not shape.elementwise:
        return _mixed_moments(chain, number, z, nodes)
    if isinstance(chain.optimizer, SignSGD):
        return _sign_moments(chain, z)
    rule = coordinate_rule(chain, number, z, nodes)
    increments = node_increments(chain, number, z, rule.nodes)
    mean = _over_nodes(rule.weights[None], increments)[0]
    channels = _over_nodes(rule.polynomials * rule.weights[None], increments)
    if not rule.complete:
        centred = increments - mean[None]
        own = jnp.einsum("ji,jsi,jti->sti", rule.weights, centred, centred)
        if not chain.noise.independent:
            dense = _pair_covariance(chain, number, z, nodes, mean) if joint else None
            return StepMoments(mean, channels, None, dense)
        # The root is for the noise; derivatives are taken of the covariance itself.
        dense = jnp.einsum("sti,ij->sitj", own, jnp.eye(len(params))).reshape(z.size, z.size)
        return StepMoments(mean, jnp.concatenate([channels, remainder_root(own, channels)]), None, dense)
    gram = chain.noise.gram(chain.objective, params, nodes) if joint else None
    return StepMoments(mean, channels, gram, None)


def _over_nodes(
    weights: Float[Array, "row node dim"], values: Float[Array, "node slot dim"]
) -> Float[Array, "row slot dim"]:
    """Weighted sums over nodes; few of them term by term, since einsum makes a matrix product per coordinate."""
    if len(values) > _FEW:
        return jnp.einsum("nji,jsi->nsi", weights, values)
    steps = [Rows.of(value) for value in values]
    sums = [reduce(operator.add, [w * step for w, step in zip(row, steps, strict=True)]) for row in weights]
    return jnp.stack([total.stacked for total in sums])


def independent_channels(chain: Chain, dim: int) -> int:
    """How many channels `step_moments` finds with few nodes."""
    if not shape_of(chain, dim).smooth or not chain.noise.complete:
        return 1 + (1 if isinstance(chain.optimizer, SignSGD) else len(chain.slots))
    return 2


def remainder_root(
    whole: Float[Array, "slot slot dim"], channels: Float[Array, "channel slot dim"]
) -> Float[Array, "column slot dim"]:
    """Per coordinate, the triangular root of the covariance between slots that the channels leave out."""
    rest = whole - jnp.einsum("nsi,nti->sti", channels, channels)
    slots = whole.shape[0]
    root = [[jnp.zeros_like(rest[0, 0])] * slots for _ in range(slots)]  # root[slot][column]
    for j in range(slots):
        pivot = rest[j, j] - sum(root[j][k] ** 2 for k in range(j))
        some = pivot > _ROUNDING * whole[j, j]
        # What is nothing has a derivative of 0, not 0/0.
        safe = jnp.sqrt(jnp.where(some, pivot, 1.0))
        root[j][j] = jnp.where(some, safe, 0.0)
        for i in range(j + 1, slots):
            below = rest[i, j] - sum(root[i][k] * root[j][k] for k in range(j))
            root[i][j] = jnp.where(some, below / safe, 0.0)
    return jnp.stack([jnp.stack([root[slot][column] for slot in range(slots)]) for column in range(slots)])


def _sign_moments(chain: Chain, z: Slots) -> StepMoments:
    """Exact moments of a sign step, in closed form."""
    optimizer, params = chain.optimizer, chain.params(z)
    assert isinstance(optimizer, SignSGD)
    inside, outside = optimizer.decays(params)
    moments = sign_moments(continuous_law(chain), chain.objective, params, inside)
    rate = optimizer.learning_rate
    mean = (-rate * (moments.mean + outside))[None]
    linear = (-rate * moments.linear)[None]
    if moments.covariance.ndim == 1:
        rest = moments.covariance - moments.linear**2
        some = rest > 0  # a sign that is certain has no noise, and its root a derivative of 0
        root = jnp.where(some, jnp.sqrt(jnp.where(some, rest, 1.0)), 0.0)
        return StepMoments(mean, jnp.stack([linear, rate * root[None]]), None, None)
    return StepMoments(mean, linear[None], None, rate**2 * moments.covariance)


def _pair_covariance(chain: Chain, number: Scalar, z: Slots, nodes: int, mean: Slots) -> Matrix:
    """The covariance of a coordinate-wise step with kinks whose noises are correlated, pair by pair."""
    slots, dim = z.shape
    shape = shape_of(chain, dim)

    def row(i):
        rule = pair_nodes(chain, number, z, shape, nodes, i)
        outer = node_increments(chain, number, z, rule.outer)[:, :, i]  # [outer, slot]
        flat = rule.inner.reshape(-1, dim)
        inner = node_increments(chain, number, z, flat).reshape(*rule.inner.shape[:2], slots, dim)
        given = jnp.einsum("abj,absj->asj", rule.inner_weights, inner)  # E[D_j | noise of i]
        product = jnp.einsum("a,as,atj->stj", rule.outer_weights, outer, given)
        own = jnp.einsum("a,as,at->st", rule.outer_weights, outer, outer)
        return product.at[:, :, i].set(own)

    second = jnp.stack([row(i) for i in range(dim)], axis=1)  # [slot of i, i, slot of j, j]
    product = second - mean[:, :, None, None] * mean[None, None, :, :]
    dense = product.reshape(slots * dim, slots * dim)
    return 0.5 * (dense + dense.T)


def _mixed_moments(chain: Chain, number: Scalar, z: Slots, nodes: int) -> StepMoments:
    """Moments of a step whose coordinates mix, by joint quadrature."""
    rule = chain.noise.joint(chain.objective, chain.params(z), nodes)
    increments = node_increments(chain, number, z, rule.nodes)
    mean = jnp.einsum("q,qsi->si", rule.weights, increments)
    centred = (increments - mean[None]).reshape(len(rule.weights), -1)
    covariance = jnp.einsum("q,qi,qj->ij", rule.weights, centred, centred)
    return StepMoments(mean, jnp.zeros_like(mean)[None], None, covariance)


def linear_response(chain: Chain, number: Scalar, z: Slots, nodes: int) -> Float[Array, "state dim"]:
    """`E[D n^T]` for the standard normals n behind the gradient noise: how a step follows its noise."""
    law = chain.noise
    assert isinstance(law, AbstractContinuousNoise)
    params = chain.params(z)
    if not shape_of(chain, params.shape[0]).elementwise:
        rule = law.joint(chain.objective, params, nodes)
        assert rule.normals is not None
        increments = node_increments(chain, number, z, rule.nodes).reshape(len(rule.weights), -1)
        return jnp.einsum("q,qi,qn->in", rule.weights, increments, rule.normals)
    first = step_moments(chain, number, z, nodes, joint=False).channels[0]
    root = law.root(chain.objective, params)
    return (first[:, :, None] * root[None]).reshape(-1, params.shape[0])


def flat_mean(chain: Chain, nodes: int):
    """The mean step as a function of (number, flat state)."""

    def mean(number: Scalar, flat: Flat) -> Flat:
        z = flat.reshape(len(chain.slots), -1)
        return step_moments(chain, number, z, nodes, joint=False).mean.reshape(-1)

    return mean


def row_mean(chain: Chain, nodes: int):
    """The mean step as a function of (number, rows of the state)."""

    def mean(number: Scalar, z: Rows) -> Rows:
        return Rows.of(step_moments(chain, number, z.stacked, nodes, joint=False).mean)

    return mean


def flat_covariance(chain: Chain, nodes: int):
    """The covariance of a step as a function of (number, flat state)."""

    def covariance(number: Scalar, flat: Flat) -> Matrix:
        z = flat.reshape(len(chain.slots), -1)
        return step_moments(chain, number, z, nodes).covariance()

    return covariance
