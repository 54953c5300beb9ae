"""The members of a leaf as one long vector [dim * member], for coordinate-wise optimizers under a constant law.

Every formula of the compiler for one member is then one for all members, elementwise on contiguous arrays with
members on the minor axis; mapping it over members would move them to the front, which is several times slower.
Only the objective sees members one by one. Correlated noise is correlated before it comes here, as normal scores.
"""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Scalar, Vector
from driftax.chain import Chain
from driftax.compiler.step_moments import shape_of
from driftax.noise import AbstractContinuousNoise, CoordinateRule, JointRule
from driftax.objective import AbstractObjective
from driftax.regime import Regime


class LongObjective(AbstractObjective):
    """The sum of the losses of all members."""

    objective: AbstractObjective
    size: int = eqx.field(static=True)  # parameters of one member

    @property
    def dim(self) -> None:
        return None

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.sum(jax.vmap(self.objective.loss, in_axes=-1)(params.reshape(self.size, -1)))

    def gradient(self, params: Vector) -> Vector:
        gradient = jax.vmap(self.objective.gradient, in_axes=-1, out_axes=-1)
        return gradient(params.reshape(self.size, -1)).reshape(-1)


class LongNoise(AbstractContinuousNoise):
    """The law of every member's gradient noise, coordinate by coordinate, as an image of normal scores."""

    law: AbstractContinuousNoise
    objective: AbstractObjective
    size: int = eqx.field(static=True)

    @property
    def independent(self) -> bool:
        return True

    @property
    def gaussian(self) -> bool:
        return self.law.gaussian

    @property
    def constant(self) -> bool:
        return True

    @property
    def complete(self) -> bool:
        return self.law.complete

    @property
    def dof(self) -> float:
        return self.law.dof

    @property
    def reach(self) -> tuple[float, float]:
        return self.law.reach

    @property
    def longest(self) -> float:
        return self.law.longest

    def at(self, scale: Scalar, regime: Regime) -> LongNoise:
        return eqx.tree_at(lambda noise: noise.law, self, self.law.at(scale, regime))

    def check(self, objective: AbstractObjective, params: Vector) -> None:
        """Checked as the law of one member."""

    def covariance(self, objective: AbstractObjective, params: Vector) -> Vector:
        own = self.law.covariance(self.objective, self._member(params))
        return self._every(own if own.ndim == 1 else jnp.diagonal(own), params)

    def noise(self, objective: AbstractObjective, params: Vector, normals: Vector) -> Vector:
        return self.image(objective, params, normals)

    def image(self, objective: AbstractObjective, params: Vector, score: Vector) -> Vector:
        if self.law.gaussian:  # linear: nothing to map, which would put members first
            member = self._member(params)
            return score * self._every(self.law.image(self.objective, member, jnp.ones_like(member)), params)
        return self._over_members(self.law.image, params, score)

    def score(self, objective: AbstractObjective, params: Vector, noise: Vector) -> Vector:
        return self._over_members(self.law.score, params, noise)

    def rule(self, objective: AbstractObjective, params: Vector, nodes: int) -> CoordinateRule:
        own = self.law.rule(self.objective, self._member(params), nodes)
        arrays, static = eqx.partition(own, eqx.is_array)
        return eqx.combine(jax.tree.map(lambda rows: self._every(rows, params), arrays), static)

    def gram(self, objective: AbstractObjective, params: Vector, nodes: int) -> None:
        return None

    def joint(self, objective: AbstractObjective, params: Vector, nodes: int) -> JointRule:
        raise NotImplementedError("members have no joint law")

    def _member(self, params: Vector) -> Array:
        """The law is constant: any params will do."""
        return jnp.zeros(self.size, params.dtype)

    def _every(self, rows: Array, params: Vector) -> Array:
        """The same for every member."""
        members = params.shape[0] // self.size
        return jnp.broadcast_to(rows[..., None], (*rows.shape, members)).reshape(*rows.shape[:-1], -1)

    def _over_members(self, function, params: Vector, values: Vector) -> Vector:
        one, member = self._member(params), values.reshape(self.size, -1)
        mapped = jax.vmap(lambda value: function(self.objective, one, value), in_axes=-1, out_axes=-1)
        return mapped(member).reshape(-1)


def has_long_chain(chain: Chain, dim: int) -> bool:
    """Whether members may stand in one vector: nothing of a step but the gradient depends on other coordinates."""
    law = chain.noise
    shape = shape_of(chain, dim)
    numbers = jax.tree.leaves(eqx.filter(chain.optimizer, eqx.is_array))
    return (
        isinstance(law, AbstractContinuousNoise)
        and law.constant
        and shape.elementwise
        and (law.independent or (law.roots is not None and shape.smooth))
        and all(number.ndim == 0 for number in numbers)
    )


def long_chain(chain: Chain, dim: int) -> Chain:
    """The chain of all members of a leaf; see `has_long_chain`."""
    law = chain.noise
    assert isinstance(law, AbstractContinuousNoise)
    long = (LongObjective(chain.objective, dim), LongNoise(law, chain.objective, dim))
    return eqx.tree_at(lambda c: (c.objective, c.noise), chain, long)


def scores(
    chain: Chain, normals: Float[Array, "part channel dim member"]
) -> Float[Array, "part used dim member"]:
    """Normal scores of every channel: the normals, correlated as the law's coordinates are."""
    law = chain.noise
    roots = law.roots if isinstance(law, AbstractContinuousNoise) else None
    if roots is None:
        return normals
    # Matrix by matrix: one product for all would put members first.
    rows = [
        jnp.stack([root.astype(normals.dtype) @ half[n] for n, root in enumerate(roots[: half.shape[0]])])
        for half in normals
    ]
    return jnp.stack(rows)
