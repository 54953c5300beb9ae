"""An equation as its authors print it, as a value the engine runs like a compiled one.

The formulas stand in `driftax.published`, one file per paper. They are written in step time (one step of the optimizer
is one unit of time), in the optimizer's own units and with its own hyperparameters, so that one formula serves both
regimes: `learning_rate * drift` in the papers' clock is the drift of a step here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._types import Flat, Matrix, Scalar, Slots
from driftax.chain import Chain
from driftax.equation._value import Record

_NODES = 15


class Formula(NamedTuple):
    """What a paper prints, for one optimizer.

    Attributes:
        name: among the models of a study.
        title: in words.
        source: bibkey and place, or "re-derived".
        weak_order: claimed.
        drift: of a step, as a function of (chain, number, slots in the optimizer's own units).
        noise: the same, and linear in standard normals [channel, dim], of which the first channel is the
            gradient noise.
        channels: of independent normals per parameter.
        directional: whether derivatives are taken along directions alone, coordinate by coordinate.
        latex: label and LaTeX of each line.
        square: what one standard deviation of the squared gradient noise adds to a step, where an extended state
            carries that square (`driftax.equation.extended`).
    """

    name: str
    title: str
    source: str
    weak_order: int
    drift: Callable[[Chain, Scalar, Slots], Slots]
    noise: Callable[[Chain, Scalar, Slots, Float[Array, "channel dim"]], Slots]
    channels: int
    directional: bool
    latex: tuple[tuple[str, str], ...]
    square: Callable[[Chain, Scalar, Slots], Slots] | None = None


class PublishedEquation(eqx.Module):
    """`dZ = drift dt + S dW` with the coefficients of a formula, in the clock `t = step * time_step`.

    Args:
        chain: the optimizer, objective and law on its rung, in natural coordinates.
        formula: the coefficients.
    """

    chain: Chain
    formula: Formula = eqx.field(static=True)

    @property
    def weak_order(self) -> int:
        return self.formula.weak_order

    @property
    def nodes(self) -> int:
        """Quadrature nodes of the optimizer's step, beside which the formula is judged."""
        return _NODES

    @property
    def full(self) -> bool:
        return True

    @property
    def obstruction(self) -> None:
        """Not part of a formula: see `compiler.obstruction`."""
        return None

    @property
    def time_step(self) -> Scalar:
        return self.chain.time_step

    @property
    def record(self) -> Record:
        chain = self.chain
        names = (chain.optimizer.name, type(chain.objective).__name__, type(chain.noise).__name__)
        return Record(*names, chain.regime.value, "natural", 0, self.formula.source, "formula")

    def at(self, scale: Scalar) -> PublishedEquation:
        """The equation of another rung, `scale` times this one's time step."""
        return PublishedEquation(self.chain.at(scale), self.formula)

    def drift(self, t: Scalar, state: Flat) -> Flat:
        """Drift per unit of t, shape [slot * dim]."""
        return self.step_drift(t / self.time_step, state) / self.time_step

    def covariance(self, t: Scalar, state: Flat) -> Matrix:
        """Covariance per unit of t."""
        return self.step_covariance(t / self.time_step, state) / self.time_step

    def step_drift(self, number: Scalar, state: Flat) -> Flat:
        """Drift per step of the optimizer, at step `number` (which may be fractional)."""
        z = state.reshape(len(self.chain.slots), -1)
        number = jnp.asarray(number, dtype=z.dtype)
        rows = self.formula.drift(self.chain, number, self.chain.real_rows(z))
        return self.chain.in_units(rows).reshape(-1)

    def step_noise(self, number: Scalar, z: Slots, normals: Float[Array, "channel dim"]) -> Slots:
        """The noise of one whole step, `S(z) xi`, for independent standard normals xi.

        Under a sampled law the first channel is a draw of its noise instead.
        """
        number = jnp.asarray(number, dtype=z.dtype)
        noise = self.formula.noise(self.chain, number, self.chain.real_rows(z), normals)
        return self.chain.in_units(noise)

    def step_square(self, number: Scalar, z: Slots) -> Slots:
        """What the second orthonormal polynomial of the gradient noise adds to a step, as the formula has it."""
        assert self.formula.square is not None
        return self.chain.in_units(self.formula.square(self.chain, number, self.chain.real_rows(z)))

    def step_covariance(self, number: Scalar, state: Flat) -> Matrix:
        """Covariance per step of the optimizer, `S S^T`."""
        z = state.reshape(len(self.chain.slots), -1)
        none = jnp.zeros((self.formula.channels, z.shape[1]), z.dtype)
        root = jax.jacfwd(lambda normals: self.step_noise(number, z, normals).reshape(-1))(none)
        columns = root.reshape(state.size, -1)
        if not self.chain.noise.sampled:
            return columns @ columns.T
        drawn = self.chain.noise.covariance(self.chain.objective, self.chain.params(z))
        return columns @ (drawn if drawn.ndim == 2 else jnp.diag(drawn)) @ columns.T
