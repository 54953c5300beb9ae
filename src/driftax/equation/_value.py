"""The stochastic differential equation as a value."""

from __future__ import annotations

import enum
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp

from driftax._types import Flat, Matrix, Scalar
from driftax.chain import Chain
from driftax.compiler import finite_step, taylor
from driftax.compiler.obstruction import Obstruction


class Method(enum.Enum):
    """How the coefficients are found."""

    FINITE_STEP = "finite-step"  # moments of one step at the actual hyperparameters
    TAYLOR = "taylor"  # their first two coefficients in the time step


class Record(NamedTuple):
    """Where an equation comes from: what to state beside any number computed from it."""

    optimizer: str
    objective: str
    noise: str
    regime: str
    coordinates: str
    nodes: int
    source: str
    integration: str


class ModifiedEquation(eqx.Module):
    """`dZ = drift dt + sqrt(covariance) dW` in the clock `t = step * time_step`.

    Coefficients are functions of (t, flat state): the state is the slots of the chain one after the other.

    Args:
        chain: the optimizer, objective and law it was compiled from, at its rung.
        weak_order: the order claimed, 1 or 2.
        method: how the coefficients are found.
        nodes: quadrature nodes per coordinate.
        stochastic: False drops the noise (an ODE).
        full: False leaves out terms of O(h^3) in the ballistic regime: `1/2 M : grad grad m` in the drift, the
            correction of the covariance.
        obstruction: what no equation on this state can reproduce, where it was computed.
        record: provenance.
        corrected_noise: False leaves out the correction of the noise that ensembles draw, whose covariance is O(h^3)
            in the ballistic regime.
    """

    chain: Chain
    obstruction: Obstruction | None
    weak_order: int = eqx.field(static=True)
    method: Method = eqx.field(static=True)
    nodes: int = eqx.field(static=True)
    stochastic: bool = eqx.field(static=True)
    full: bool = eqx.field(static=True)
    record: Record = eqx.field(static=True)
    corrected_noise: bool = eqx.field(static=True, default=True)

    @property
    def time_step(self) -> Scalar:
        return self.chain.time_step

    def at(self, scale: Scalar) -> ModifiedEquation:
        """The equation of another rung, `scale` times this one's time step."""
        return eqx.tree_at(lambda equation: equation.chain, self, self.chain.at(scale))

    def drift(self, t: Scalar, state: Flat) -> Flat:
        """Drift per unit of t, shape [slot * dim]."""
        return self.step_drift(t / self.time_step, state) / self.time_step

    def covariance(self, t: Scalar, state: Flat) -> Matrix:
        """Covariance per unit of t; at order 2 possibly indefinite at O(time_step^2)."""
        return self.step_covariance(t / self.time_step, state) / self.time_step

    def step_drift(self, number: Scalar, state: Flat) -> Flat:
        """Drift per step of the optimizer, at step `number` (which may be fractional)."""
        number = jnp.asarray(number, dtype=state.dtype)
        if self.method is Method.TAYLOR:
            return taylor.drift(self.chain, self.weak_order, self.nodes, number, state)
        return finite_step.drift(self.chain, self.weak_order, self.nodes, number, state, self.full)

    def step_covariance(self, number: Scalar, state: Flat) -> Matrix:
        """Covariance per step of the optimizer."""
        if not self.stochastic:
            return jnp.zeros((state.size, state.size), dtype=state.dtype)
        number = jnp.asarray(number, dtype=state.dtype)
        if self.method is Method.TAYLOR:
            return taylor.covariance(self.chain, self.weak_order, self.nodes, number, state)
        return finite_step.covariance(self.chain, self.weak_order, self.nodes, number, state, self.full)
