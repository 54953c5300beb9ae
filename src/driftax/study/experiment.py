"""What a study compares, as a value: the chain, its start, its ladder and the models beside it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax import published
from driftax._errors import DriftaxError
from driftax._types import Slots
from driftax.chain import Chain
from driftax.compare.weak_error import RungStudy, rung_key
from driftax.equation import NODES, Method, derive
from driftax.equation.extended import NAME as EXTENDED
from driftax.equation.extended import Equation, ExtendedEquation, extend
from driftax.objective import FiniteSum
from driftax.regime import Regime
from driftax.simulate.drivers import channels_of, driver_for, stream_for
from driftax.simulate.ensemble import CHUNK, LARGE_LEAF, LEAF, Rung, Start
from driftax.simulate.normals import Randomness
from driftax.simulate.reweighting import reweighted, reweighted_equation, reweighting_driver
from driftax.simulate.schemes import (
    SCHEMES,
    AbstractScheme,
    EulerMaruyama,
    Integration,
    Splitting,
    WeakOrderTwo,
)
from driftax.simulate.sobol import MOST_COORDINATES
from driftax.simulate.steps import scheme_of
from driftax.statistics.observables import Observables

COMPILED = ("ode", "derived-1", "derived-2", EXTENDED)
MODELS = (*COMPILED, *published.MODELS)
_COLOURED_SUBSTEPS = 4  # per optimizer step, of an equation whose noise changes within a step
_GAUSSIAN_NODES = 3  # exact for the moments an order-2 equation needs
_BATCH_NODES = 2  # the same in the ballistic regime, where the fourth moment of a step is O(h^4)
_LEAF_NUMBERS = 2**17  # of one array of a leaf: more of them would not fit a core's cache
_SMALLEST_LEAF = 64
_LARGE = 1000  # parameters
_BATCH_LEAF = 32  # members of a leaf that holds per-example gradients
_FRESH_BATCHES = 16  # of the noise of a minibatch law; more of them couple it closer to the optimizer
_FEW_BATCHES = 2  # where the coupling is of no use
_BIAS_LEAVES = 8  # of the small study that measures the integrator where the large one does not
_BIAS_BATCH_LEAVES = 1


class Experiment(NamedTuple):
    """An optimizer and its equations on a ladder.

    Args:
        chain: the optimizer at rung 1, in natural coordinates.
        start: natural state [slot, dim] in the regime's units; members have its precision.
        step: steps of rung 1 taken before.
        handover: steps of rung 1 the optimizer takes alone first.
        ladder: factors on the time step, from coarse to fine.
        record: steps of rung 1 at which means are taken, counted from the start.
        at_maximum: whether the weak error is the largest over the recorded steps, not the last.
        models: names of the equations.
        observables: names of what is averaged.
        look_at: a natural state where order 2 is judged to exist, after `look_step` steps.
        look_step: see `look_at`.
        integration: of the equations.
        method: how coefficients are found.
        log_second_moments: the coordinates equations are integrated in.
        allow_obstructed: whether an order-2 equation runs where order 2 does not exist.
        randomness: where normals come from.
    """

    chain: Chain
    start: Slots
    step: int
    handover: int
    ladder: tuple[float, ...]
    record: tuple[int, ...]
    at_maximum: bool
    models: tuple[str, ...]
    observables: tuple[str, ...]
    look_at: Slots
    look_step: float = 0.0
    integration: Integration = Integration()
    method: Method = Method.FINITE_STEP
    log_second_moments: bool = False
    allow_obstructed: bool = False
    randomness: Randomness = Randomness.COUNTER

    @property
    def minibatch(self) -> bool:
        """Whether the gradient law is drawn afresh each step (minibatches, recorded gradients)."""
        return self.chain.noise.sampled

    @property
    def large(self) -> bool:
        """Whether one member is as much work as is best done at once: a network on its data."""
        return isinstance(self.chain.objective, FiniteSum) and self.start.shape[1] > _LARGE

    @property
    def reweighted(self) -> bool:
        """Whether the noise of equations comes from reweighted examples."""
        return reweighted(self.chain, _LARGE)

    @property
    def _extrapolates(self) -> bool:
        return self.integration.extrapolate and (not self.minibatch or self.reweighted)

    @property
    def _splits(self) -> bool:
        """Whether a minibatch law drives an equation with small noise."""
        return self.minibatch and self.chain.regime is Regime.BALLISTIC

    @property
    def scheme(self) -> AbstractScheme:
        """The one asked for; else small noise is split off, and noise of order 1 takes a scheme of order 2."""
        if self.reweighted:
            return EulerMaruyama()
        if self.integration.scheme is not None:
            return SCHEMES[self.integration.scheme]()
        if self.large:  # a step of it is a pass through the data
            return EulerMaruyama()
        ballistic = self.chain.regime is Regime.BALLISTIC
        return Splitting() if ballistic or self.minibatch else WeakOrderTwo()

    @property
    def levels(self) -> tuple[int, int]:
        """Substeps per optimizer step of the coarse and the fine integration."""
        coarse = self.integration.substeps or (2 if isinstance(self.scheme, WeakOrderTwo) else 1)
        return coarse, 2 * coarse

    @property
    def integrator(self) -> str:
        """How equations are integrated, in words."""
        coarse, fine = self.levels
        name = next(name for name, scheme in SCHEMES.items() if isinstance(self.scheme, scheme))
        if self._extrapolates:
            return f"{name}, {coarse} and {fine} substeps per step, extrapolated"
        return f"{name}, {coarse} substeps per step"

    def levels_of(self, model: str, levels: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """The substeps of a model where those of the others are `levels`."""
        levels = levels or self.levels
        coloured = model in (EXTENDED, published.EXTENDED)
        factor = math.ceil(_COLOURED_SUBSTEPS / levels[0]) if coloured else 1
        return tuple(factor * level for level in levels)

    @property
    def precision(self) -> np.dtype:
        """Of the members' states; statistics are always float64.

        Per-example gradients are memory: in single precision they take a fifth of the time, and the rounding
        of a step (1e-7 of the state) is far below the noise of a minibatch.
        """
        return np.dtype(np.float32) if self.minibatch else np.dtype(self.start.dtype)

    @property
    def _leaf(self) -> int:
        if self.large:
            return 1
        if self.minibatch:
            return _BATCH_LEAF
        if isinstance(self.chain.objective, FiniteSum):  # one gradient is a pass through the data
            return _SMALLEST_LEAF
        most = LEAF if self.randomness is Randomness.COUNTER else LARGE_LEAF
        fitting = _LEAF_NUMBERS // self.start.shape[1]
        return max(_SMALLEST_LEAF, min(most, 2 ** (fitting.bit_length() - 1)))

    def claimed(self, model: str) -> int:
        """The weak order a model claims."""
        if model not in COMPILED:
            return published.claimed(model)
        return 2 if model in ("derived-2", EXTENDED) else 1

    def check(self) -> None:
        """Refuses an order-2 equation where order 2 does not exist, before anything runs.

        Raises:
            DriftaxError: also for a start at a second moment of 0, around which no equation holds.
        """
        powers = self.chain.optimizer.slots.values()
        second = [row for row, power in zip(self.start, powers, strict=True) if power == 2]
        if self.models and not self.handover and any(float(jnp.min(row)) <= 0 for row in second):
            raise DriftaxError(
                "an equation from the optimizer's own start",
                "a second moment of 0, where the first steps are of size 1 and no equation holds",
                "handover = 8 in [start] (the equation then starts from the optimizer's ensemble), or nu = [...]",
            )
        if self.minibatch and self.randomness is not Randomness.COUNTER:
            raise DriftaxError(
                f'randomness = "{self.randomness.value}"',
                "a gradient law that draws examples, not normals",
                'randomness = "counter"',
            )
        if self.reweighted and self.integration.scheme not in (None, "euler-maruyama"):
            raise DriftaxError(
                f'scheme = "{self.integration.scheme}"',
                "the minibatches of a network, whose reweighted examples drive Euler steps",
                'scheme = "euler-maruyama", or none',
            )
        if self.large and self.integration.scheme == "weak-2":
            raise DriftaxError(
                'scheme = "weak-2"',
                f"{self.start.shape[1]:,} parameters, for each of which it takes a column of the noise",
                'scheme = "splitting" (weak order 2 where noise is small), or none: Euler-Maruyama, extrapolated',
            )
        for model in self.models:
            self.judged(model)

    def judged(self, model: str) -> Equation:
        """The equation of a model on rung 1, with what stands against its order where the study looks.

        Not for a large model in the ballistic regime: nothing is refused there, and moments of whole steps of it are
        many passes through the data.
        """
        unjudged = self.large and self.chain.regime is Regime.BALLISTIC
        at = None if unjudged else self.look_at
        return self.equation(model, self.chain, at=at, nodes=derivation_nodes(self.chain))

    def _check_coordinates(self, normals: int) -> None:
        """Refuses Sobol' points where a member needs more normals than they have coordinates."""
        if self.randomness is Randomness.SOBOL and normals > MOST_COORDINATES:
            raise DriftaxError(
                'randomness = "sobol"',
                f"{normals:,} normals per member on the finest rung, and Sobol' points of at most "
                f"{MOST_COORDINATES:,} coordinates",
                'fewer `steps` or a shorter ladder, or randomness = "counter"',
            )

    def equation(
        self, model: str, chain: Chain, at: Slots | None = None, nodes: int | None = None
    ) -> Equation:
        """The equation of a model on a rung, as it is simulated.

        Raises:
            DriftaxError: for an unknown model, order 2 where it does not exist, or an extended state where it
                is not worked out.
        """
        if model not in MODELS:
            raise DriftaxError(f"the model {model!r}", "no such model", "one of " + ", ".join(MODELS))
        if model not in COMPILED:
            return published.publish(model, chain)
        if model == EXTENDED and self.log_second_moments:
            chain = _with_log(chain)  # `check` judges natural coordinates, but these are refused
        if self.reweighted and model != EXTENDED:
            return reweighted_equation(chain, self.claimed(model), model != "ode")
        equation = derive(
            chain,
            weak_order=self.claimed(model),
            method=self.method,
            at=None if model == EXTENDED else at,
            step=self.look_step,
            allow_obstructed=self.allow_obstructed,
            stochastic=model != "ode",
            full=chain.regime is Regime.BATCH_EQUIVALENT,
            nodes=nodes or (_BATCH_NODES if self._splits else _GAUSSIAN_NODES),
        )
        if self.large and not equation.full:  # a correction of the noise is two more passes through the data
            equation = replace(equation, corrected_noise=False)
        return extend(equation) if model == EXTENDED else equation

    def coordinates(self, chain: Chain) -> Chain:
        """A chain in natural coordinates in those that equations are integrated in."""
        return _with_log(chain) if self.log_second_moments else chain

    def rung_study(self, position: int, seed: int) -> RungStudy:
        """The ensemble of one rung of the ladder, with no member run yet (nor of its `refinement`)."""
        if self._extrapolates:
            return self._study(position, seed, self.levels, 0)
        study = self._study(position, seed, self.levels[:1], _FRESH_BATCHES)
        # Batches are dear: only on the rung whose bias the verdict asks for.
        if not self.minibatch or position == len(self.ladder) - 1:
            study.refinement = self._study(position, seed, self.levels, _FEW_BATCHES)
            study.refinement.key = jax.random.fold_in(study.key, len(self.ladder))
            leaves = _BIAS_BATCH_LEAVES if self.minibatch else _BIAS_LEAVES
            study.refinement_members = leaves * study.refinement.rung.leaf
        return study

    def _study(self, position: int, seed: int, levels: tuple[int, ...], fresh: int) -> RungStudy:
        scale = self.ladder[position]
        chain = self.chain.at(jnp.asarray(scale, dtype=float))
        coordinates = self.coordinates(chain)
        equations = tuple(self.equation(model, coordinates) for model in self.models)
        of_models = tuple(self.levels_of(model, levels) for model in self.models)
        told_apart = (
            scheme_of(equation, self.scheme).parts * max(levels)
            for equation, levels in zip(equations, of_models, strict=True)
        )
        parts = max(told_apart, default=1)
        natural = tuple(e.natural if isinstance(e, ExtendedEquation) else e for e in equations)
        record = tuple(_whole(step / scale, "record") for step in self.record)
        self._check_coordinates(record[-1] * parts * channels_of(natural) * self.start.shape[1])
        stream = stream_for(self.randomness, natural, record[-1], self._leaf)
        own = _as(self.precision, chain)
        rung = Rung(
            own,
            _as(self.precision, equations),
            self.scheme,
            reweighting_driver(own, parts)
            if self.reweighted
            else driver_for(own, natural, parts, fresh, stream),
            Observables(self.chain.objective, self.chain.slots, self.observables),
            of_models,
            self._leaf,
            self.integration.controls,
            1 if self.large else CHUNK,
        )
        start = Start(
            _as(self.precision, self.start),
            jnp.asarray(self.step / scale, dtype=self.precision),
            jnp.asarray(_whole(self.handover / scale, "handover")),
        )
        return RungStudy(rung, rung_key(seed, position), scale, start, record)


def _as(precision: np.dtype, tree):
    return jax.tree.map(lambda leaf: leaf.astype(precision) if eqx.is_inexact_array(leaf) else leaf, tree)


def derivation_nodes(chain: Chain) -> int:
    """Quadrature nodes of an equation that is shown or judged (a sampled law has three of its own)."""
    return 3 if chain.noise.sampled else NODES


def _with_log(chain: Chain) -> Chain:
    return Chain(chain.objective, chain.noise, chain.optimizer, chain.regime, log_second_moments=True)


def _whole(steps: float, name: str) -> int:
    if abs(steps - round(steps)) > 1e-6:
        raise DriftaxError(
            f"`{name}` on a finer rung",
            f"{steps:g} steps",
            "a ladder whose factors divide it: [1.0, 0.5, 0.25]",
        )
    return round(steps)
