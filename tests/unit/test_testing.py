"""The battery for rules of one's own: every optimizer passes it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from driftax import (
    SGD,
    Adagrad,
    Adam,
    AMSGrad,
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
)
from driftax.optimizer import (
    DampenedMomentum,
    DecayForm,
    Denominator,
    MomentumForm,
    MomentumRMSprop,
    cosine,
    warmup_cosine,
)
from driftax.optimizer.from_optax import optax_by_name
from driftax.testing import check_optimizer
from unit.broken_rules import MIXES, SMOOTH

L2 = DecayForm.L2
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
