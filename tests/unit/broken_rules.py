"""Rules that are broken in one place each, and how each is refused."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from driftax.optimizer import AbstractOptimizer
from driftax.regime import Role

SMOOTH, MIXES = "none: smooth in the gradient", "not looked for, since coordinates mix"


class Broken(AbstractOptimizer):
    """RMSprop, of which every subclass breaks one thing."""

    learning_rate: float = 0.1
    decay: float = 0.9
    eps: float = 0.1
    slots = {"params": 0, "nu": 2}

    def nu(self, state, gradient):
        return self.decay * state.nu + (1 - self.decay) * gradient**2

    def move(self, nu, gradient):
        return gradient / (jnp.sqrt(nu) + self.eps)

    def update(self, step, state, gradient):
        nu = self.nu(state, gradient)
        return state._replace(params=state.params - self.learning_rate * self.move(nu, gradient), nu=nu)


class NoStep(AbstractOptimizer):
    learning_rate: float = 0.1
    slots = {"params": 0}


class ClockWithUpdate(Broken):
    def clock(self, step):
        return 1 - self.decay ** (step + 1)


class TwoSteps(Broken):
    def advance(self, clock, state, gradient):
        return state


MEMORY = [0.0]


class Remembers(Broken):
    def move(self, nu, gradient):
        MEMORY[0] += 1.0
        return gradient * MEMORY[0]


class Draws(Broken):
    def move(self, nu, gradient):
        return gradient + np.random.default_rng().normal()


class Mutates(Broken):
    def nu(self, state, gradient):
        gradient *= 1.0
        nu = state.nu
        nu *= self.decay
        return nu + (1 - self.decay) * gradient**2


class Branches(Broken):
    def move(self, nu, gradient):
        return gradient if nu[0] > 1 else 2 * gradient


class BranchesOnNumber(Broken):
    def move(self, nu, gradient):
        return gradient / (jnp.sqrt(nu) + self.eps) if self.eps > 0 else gradient


class UsesNumpy(Broken):
    def move(self, nu, gradient):
        return gradient / (np.sqrt(nu) + self.eps)


class UsesMath(AbstractOptimizer):
    learning_rate: float = 0.1
    decay: float = 0.9
    slots = {"params": 0}

    def clock(self, step):
        return math.sqrt(1 - self.decay ** (step + 1))

    def advance(self, clock, state, gradient):
        return state._replace(params=state.params - self.learning_rate * clock * gradient)


class Doubles(Broken):
    def move(self, nu, gradient):
        return gradient / (jnp.sqrt(nu) + self.eps) + jnp.zeros(gradient.shape)


class Widens(Broken):
    def nu(self, state, gradient):
        return jnp.mean(super().nu(state, gradient))


class ReturnsNothing(Broken):
    def update(self, step, state, gradient):
        super().update(step, state, gradient)


class LosesASlot(Broken):
    def update(self, step, state, gradient):
        return (state.params - self.learning_rate * gradient,)


class UndeclaredSlot(Broken):
    slots = {"params": 0}


class WrongPower(Broken):
    slots = {"params": 0, "nu": 1}
    normalised = True


class PlainNormalised(Broken):
    def move(self, nu, gradient):
        return gradient


class UnsaidSign(AbstractOptimizer):
    learning_rate: float = 0.1
    slots = {"params": 0}

    def update(self, step, state, gradient):
        return state._replace(params=state.params - self.learning_rate * jnp.sign(gradient))


class EpsInRoot(Broken):
    def move(self, nu, gradient):
        return gradient / jnp.sqrt(nu + self.eps)


class TinyEpsInRoot(EpsInRoot):
    eps: float = 1e-8


class L2AsDecoupled(Broken):
    weight_decay: float = 0.0

    def update(self, step, state, gradient):
        return super().update(step, state, gradient + self.weight_decay * state.params)


class HiddenConstant(Broken):
    def move(self, nu, gradient):
        return gradient / (jnp.sqrt(nu) + 0.1)


class Counts(Broken):
    slots = {"params": 0, "nu": 2, "count": 0}

    def update(self, step, state, gradient):
        return super().update(step, state, gradient)._replace(count=state.count + 1)


class Jumps(Broken):
    def update(self, step, state, gradient):
        return super().update(step, state, gradient * 0.5 ** jnp.floor(step / 10))


class NoDerivativeInTime(Broken):
    def update(self, step, state, gradient):
        return super().update(step, state, gradient * (1 + 0.1 * jnp.sqrt(jnp.abs(step - 8.5))))


class CountsSteps(Broken):
    lr_decay: float = 0.3

    roles = {
        "learning_rate": Role.LEARNING_RATE,
        "decay": Role.DECAY,
        "eps": Role.EPS,
        "lr_decay": Role.FIXED,
    }

    def update(self, step, state, gradient):
        nu = self.nu(state, gradient)
        rate = self.learning_rate / (1 + self.lr_decay * step)
        return state._replace(params=state.params - rate * self.move(nu, gradient), nu=nu)


class Previous(Broken):
    slots = {"params": 0, "nu": 2, "last": 1}

    def update(self, step, state, gradient):
        return super().update(step, state, gradient)._replace(last=gradient + 0 * state.last)


class FixedMemory(Broken):
    roles = {"learning_rate": Role.LEARNING_RATE, "decay": Role.FIXED, "eps": Role.EPS}


class ForgetsTheRate(Broken):
    def update(self, step, state, gradient):
        return super().update(step, state, gradient)._replace(params=state.params - 0.1 * jnp.sign(gradient))


class UnknownNumber(Broken):
    beta: float = 0.9


class NumberWithoutRole(Broken):
    beta: float = 0.9
    roles = {"learning_rate": Role.LEARNING_RATE, "decay": Role.DECAY, "eps": Role.EPS}


class RoleWithoutNumber(Broken):
    roles = {"learning_rate": Role.LEARNING_RATE, "decay": Role.DECAY, "eps": Role.EPS, "b9": Role.DECAY}


class RoleInWords(Broken):
    roles = {"learning_rate": Role.LEARNING_RATE, "decay": "decay", "eps": Role.EPS}


class Option(Broken):
    nesterov: bool = True


class WordOption(Broken):
    form: str = "raw"


class ParamsSecond(Broken):
    slots = {"nu": 2, "params": 0}


class ScalarStart(Broken):
    def init(self, params):
        return self.unpack((params, params))._replace(nu=jnp.zeros(()))


class ShortStart(Broken):
    def init(self, params):
        return (params,)


class MovedStart(Broken):
    def init(self, params):
        return self.unpack((params + 1, jnp.zeros_like(params)))


class PacksBackwards(Broken):
    def pack(self, state):
        return jnp.stack(tuple(state)[::-1])


class NotFinite(Broken):
    def update(self, step, state, gradient):
        nu = self.nu(state, gradient)
        return state._replace(params=state.params - self.learning_rate * gradient / jnp.sqrt(state.nu), nu=nu)


class Rounds(Broken):
    def move(self, nu, gradient):
        return jnp.round(gradient / jnp.sqrt(nu))


class Sharp(Broken):
    def move(self, nu, gradient):
        return jnp.tanh(1e3 * gradient / jnp.sqrt(nu))


class StopsGradients(Broken):
    def move(self, nu, gradient):
        return gradient / (jax.lax.stop_gradient(jnp.sqrt(nu)) + self.eps)


class NotALadder(Broken):
    def at(self, scale, regime):
        return self.scaled({"learning_rate": 0.5 * scale})


class WrongClock(Broken):
    def time_step(self, regime):
        return self.learning_rate**3


FAILS = [
    (NoStep, "neither `update` nor `advance`", "def update(self, step, state, gradient)"),
    (ClockWithUpdate, "a `clock` of its own", "def advance(self, clock, state, gradient)"),
    (TwoSteps, "another step than `update(step, state, gradient)`", "without an `update`"),
    (Remembers, "two results from one input", "goes into slots"),
    (Draws, "two results from one input", "goes into slots"),
    (Mutates, "changed in place", "in place of nu *= decay"),
    (Branches, "return gradient if nu[0] > 1 else 2 * gradient", "jnp.where"),
    (BranchesOnNumber, "if self.eps > 0 else gradient", "eqx.field(static=True)"),
    (UsesNumpy, "np.sqrt(nu)", "the function of jax.numpy"),
    (UsesMath, "math.sqrt", "jax.numpy in place of math"),
    (Doubles, "type float64 from vectors of shape [2] and type float32", "jnp.zeros_like(gradient)"),
    (Widens, "nu of shape []", "vectors of one shape"),
    (ReturnsNothing, "a result of type NoneType", "return state._replace(params=..., nu=...)"),
    (
        LosesASlot,
        "1 vectors where the slots are ['params', 'nu']",
        "return state._replace(params=..., nu=...)",
    ),
    (UndeclaredSlot, "has no attribute 'nu'", "every vector of the state in slots"),
    (WrongPower, "nu of power 1 that is of power 2", "slots = {'params': 0, 'nu': 2}"),
    (PlainNormalised, "not the same when gradients are rescaled", "normalised = False"),
    (UnsaidSign, "a step that is the same when gradients are rescaled", "normalised = True"),
    (EpsInRoot, "eps declared as EPS that is a gradient to the power 2", "'eps': Role.EPS_ROOT"),
    (TinyEpsInRoot, "eps declared as EPS that is a gradient to the power 2", "'eps': Role.EPS_ROOT"),
    (L2AsDecoupled, "weight_decay declared as DECOUPLED_DECAY", "'weight_decay': Role.L2_DECAY"),
    (HiddenConstant, "compares a gradient with a constant", "Role.EPS"),
    (Counts, "1 is added to it in every step: a counter", "the argument `step`"),
    (Jumps, "a jump by", "no //, floor"),
    (NoDerivativeInTime, "with the derivative in time [[", "smooth in `step`"),
    (CountsSteps, "vanishes faster than the time step", "Role.RATE"),
    (Previous, "a state (last) that moves by", "without a memory of the last step alone"),
    (FixedMemory, "a state (nu) that moves by", "in which its memory grows"),
    (ForgetsTheRate, "a state (params) that moves by", ""),
    (UnknownNumber, "the number beta", "'beta': Role.FIXED"),
    (NumberWithoutRole, "the number beta, which has none", "'beta': Role.FIXED"),
    (RoleWithoutNumber, "a role for b9, which is no field", "b9: float"),
    (RoleInWords, "decay: 'decay'", "Role.DECAY"),
    (Option, "True, which is an option", "nesterov: bool = eqx.field(default=..., static=True)"),
    (WordOption, "'raw', which is an option", "form: str = eqx.field(default=..., static=True)"),
    (ParamsSecond, "{'nu': 2, 'params': 0}", "the params first"),
    (ScalarStart, "nu of shape []", "jnp.zeros_like(params)"),
    (ShortStart, "1 vectors for the slots ['params', 'nu']", "self.unpack((params, ...))"),
    (MovedStart, "params [1.5 2.5] from [0.5 1.5]", "as they are"),
    (PacksBackwards, "from [[0.0, 1.0], [2.0, 3.0]]", "no `pack` and `unpack` of your own"),
    (NotFinite, "params = [", "eps above 0 beside a root"),
    (Rounds, "a step with infinitely many jumps", "does not round"),
    (Sharp, "narrower than the gradient noise", "jnp.sign, jnp.clip"),
    (StopsGradients, "between automatic and finite differences", "no jax.lax.stop_gradient"),
    (NotALadder, "at scale 0.5 and then 0.25", "no `at` and `scaled` of your own"),
    (WrongClock, "a time step that moves by 0.001953", "the time step moves by the scale itself"),
]
