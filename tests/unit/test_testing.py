"""The battery for rules of one's own: every optimizer passes it, and every broken rule fails where it is broken."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Adagrad,
    Adam,
    AMSGrad,
    DriftaxError,
    Grouped,
    Lion,
    Momentum,
    NAdam,
    RAdam,
    Regime,
    RMSprop,
    Scheduled,
    SignSGD,
    Signum,
    derive,
)
from driftax.optimizer import (
    AbstractOptimizer,
    DampenedMomentum,
    DecayForm,
    Denominator,
    MomentumForm,
    MomentumRMSprop,
    cosine,
    warmup_cosine,
)
from driftax.optimizer.from_optax import optax_by_name
from driftax.regime import Role
from driftax.testing import check_optimizer, equations
from driftax.testing.parts import check_parts

L2 = DecayForm.L2
SMOOTH, MIXES = "none: smooth in the gradient", "not looked for, since coordinates mix"
ONE = "1: linear in the gradient"
BUILT_IN = {
    "sgd": (SGD(0.1, 0.2), SMOOTH),
    "nesterov": (Momentum(0.1, 0.9, MomentumForm.EMA, True, 0.1, L2), SMOOTH),
    "dampened": (DampenedMomentum(0.1, 0.9, 0.5), SMOOTH),
    "signsgd": (SignSGD(0.1, 0.1), ONE),
    "signum": (Signum(0.1), ONE),
    "lion": (Lion(0.1, weight_decay=0.1, weight_decay_form=L2), ONE),
    "adagrad": (Adagrad(0.1, 0.05, 0.1, 0.3, 0.1), SMOOTH),
    "rmsprop": (RMSprop(0.1, 0.9, 0.05, 0.1, L2, Denominator.PREVIOUS), SMOOTH),
    "rmsprop_momentum": (MomentumRMSprop(0.1, momentum=0.9, centered=True), SMOOTH),
    "adam": (Adam(1e-3, weight_decay=0.1), SMOOTH),
    "amsgrad": (AMSGrad(0.1), "1: quadratic in the gradient"),
    "nadam": (NAdam(0.1, momentum_decay=0.004), SMOOTH),
    "radam": (RAdam(0.1), SMOOTH),
    "scheduled": (Scheduled(SGD(0.1), {"learning_rate": warmup_cosine(20, 1000)}), SMOOTH),
    "scheduled_adam": (
        Scheduled(Adam(0.1), {"learning_rate": cosine(1000, 0.1), "b1": cosine(900, 0.5)}),
        SMOOTH,
    ),
}
OPTAX = {
    "adamw": (Regime.BALLISTIC, SMOOTH),
    "yogi": (Regime.BATCH_EQUIVALENT, "1: quadratic in the gradient"),
    "lars": (Regime.BALLISTIC, MIXES),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_optimizer_passes(name):
    optimizer, kinks = BUILT_IN[name]
    report = check_optimizer(optimizer, certificate=False)
    assert report.row("kinks").outcome == kinks and report.row("coordinates").outcome == "each on its own"
    assert report.row("powers of [gradient]").number < 1e-12
    assert report.row("mean step").number < 1e-4 and report.row("its derivative").number < 1e-8
    assert report.row("limit of the drift").number == pytest.approx(1.0, abs=0.2)


def test_groups_pass():
    grouped = Grouped((RMSprop(0.1, weight_decay=0.1), RMSprop(0.05)), sizes=(1, 1))
    assert check_optimizer(grouped, certificate=False).row("kinks").outcome == SMOOTH


@pytest.mark.parametrize("name", OPTAX)
def test_optimizers_of_optax_pass(name):
    regime, kinks = OPTAX[name]
    report = check_optimizer(optax_by_name(name, {"learning_rate": 0.1}, regime), certificate=False)
    assert report.row("kinks").outcome == kinks
    other = next(other for other in Regime if other is not regime)
    assert report.row(f"ladder, {other.value}").outcome.startswith("refused: a family that moves by")


@pytest.mark.parametrize(
    "optimizer", [RMSprop(0.1, 0.9, 0.1), Momentum(0.01, 0.9), SignSGD(0.1)], ids=lambda o: o.name
)
def test_the_certificate_finds_both_orders(optimizer):
    report = check_optimizer(optimizer)
    assert report.row("order 1, ballistic").number == pytest.approx(1, abs=0.05)
    assert report.row("order 2, ballistic").number == pytest.approx(2, abs=0.05)
    assert report.row("order 1, batch-equivalent").number == pytest.approx(1, abs=0.05)
    second = report.row("order 2, batch-equivalent")
    if optimizer.normalised:
        assert second.outcome.startswith("refused: ") and "does not fall with the time step" in second.outcome
    else:
        assert second.number == pytest.approx(2, abs=0.05)


def test_a_report_prints_as_a_table():
    report = check_optimizer(SGD(0.1), certificate=False)
    lines = str(report).splitlines()
    assert lines[0] == f"SGD: {len(report.rows)} checks" and len(lines) == len(report.rows) + 1
    assert report.optimizer == "SGD"
    assert "learning_rate * s" in str(report) and "\x1b" not in str(report)


def test_single_precision_is_left_as_it_was():
    """The battery works in 64 bits of its own accord."""
    with jax.enable_x64(False):
        report = check_optimizer(SGD(0.1), certificate=False)
        assert jnp.ones(1).dtype == jnp.float32
    assert report.row("mean step").number < 1e-10


# ---------------------------------------------------------------- broken rules


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


def test_the_rule_that_is_broken_is_right_before():
    report = check_optimizer(Broken(), certificate=False)
    assert report.row("kinks").outcome == SMOOTH and report.row("slots").outcome == "params, nu [gradient]^2"


@pytest.mark.parametrize(("rule", "found", "instead"), FAILS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_rule_is_refused_where_it_is_broken(rule, found, instead):
    with pytest.raises(DriftaxError) as refusal:
        check_optimizer(rule(), certificate=False)
    assert found in refusal.value.found and instead in refusal.value.instead, refusal.value
    assert refusal.value.asked and refusal.value.instead


@pytest.mark.parametrize(("given", "found"), [(Broken, "the class Broken"), (3, "int")])
def test_what_is_no_optimizer_is_refused(given, found):
    with pytest.raises(DriftaxError, match=found):
        check_parts(given, dim=2)  # of `check_optimizer` the run-time types are checked first


def test_a_state_of_ones_own():
    optimizer, at = RMSprop(0.1, 0.9, 0.1), jnp.asarray([[1.2], [0.5]])
    report = check_optimizer(optimizer, certificate=False, at=at, step=5.0)
    own = check_optimizer(optimizer, certificate=False)
    assert report.row("mean step").number != own.row("mean step").number
    with pytest.raises(DriftaxError, match="one row per slot"):
        check_optimizer(optimizer, certificate=False, at=at[:1])


def test_one_parameter_cannot_mix():
    with pytest.raises(DriftaxError, match="dim = 2 or more"):
        check_optimizer(SGD(0.1), dim=1)


def test_a_certificate_that_falls_short_is_an_error(monkeypatch):
    """An equation without its noise claims order 2 and is of order 1."""
    monkeypatch.setattr(equations, "derive", functools.partial(derive, stochastic=False))
    with pytest.raises(DriftaxError, match="the order 1.0") as refusal:
        check_optimizer(SGD(0.1))
    assert "order 2, ballistic" in refusal.value.asked and "params[0]^2" in refusal.value.found
