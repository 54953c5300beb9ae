"""How the numbers of every optimizer move along the ladder."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Adagrad,
    Adam,
    AMSGrad,
    Chain,
    DriftaxError,
    GaussianNoise,
    Lion,
    Momentum,
    Quadratic,
    Regime,
    RMSprop,
    Scheduled,
    SignSGD,
    Signum,
)
from driftax.optimizer import DecayForm, cosine, linear
from unit.optimizer_steps import DECOUPLED, EMA, GRADIENTS, HEAVY, PREVIOUS, START, UPDATED, run

# ---------------------------------------------------------------- the ladder

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
# s is the factor on the time step: what every number is multiplied by (a decay: its 1 - decay).
TABLE = {
    ("normalised", BALLISTIC): {"learning_rate": 1, "decay": 1, "eps": 0, "decoupled": 0, "l2": 0},
    ("normalised", BATCH): {"learning_rate": 0.5, "decay": 1, "eps": -0.5, "decoupled": 0.5, "l2": 0},
    ("plain", BALLISTIC): {"learning_rate": 1, "decoupled": 0, "l2": 0},
    ("plain", BATCH): {"learning_rate": 1, "decoupled": 0, "l2": 0},
}


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0])
def test_every_number_moves_by_the_table(scale, form, regime):
    decay = dict(weight_decay=0.3, weight_decay_form=form)
    optimizers = {
        "normalised": [
            SignSGD(0.1, **decay),
            RMSprop(0.1, 0.9, 0.05, **decay),
            Adam(0.1, 0.8, 0.95, 0.05, **decay),
            AMSGrad(0.1, 0.8, 0.95, 0.05, **decay),
            Signum(0.1, 0.8, **decay),
            Scheduled(RMSprop(0.1, 0.9, 0.05, **decay), {"decay": linear(10, 0.5)}).base,
        ],
        "plain": [SGD(0.1, **decay), Momentum(0.1, 0.8, EMA, **decay)],
    }
    for family, members in optimizers.items():
        powers = TABLE[family, regime]
        for optimizer in members:
            finer = optimizer.at(scale, regime)
            assert type(finer) is type(optimizer) and finer.weight_decay_form is form
            for name in ("learning_rate", "eps"):
                if hasattr(optimizer, name):
                    expected = getattr(optimizer, name) * scale ** powers[name]
                    assert float(getattr(finer, name)) == pytest.approx(expected, rel=1e-14)
            for name in ("decay", "b1", "b2"):
                if hasattr(optimizer, name):
                    expected = 1 - (1 - getattr(optimizer, name)) * scale
                    assert float(getattr(finer, name)) == pytest.approx(expected, rel=1e-14)
            assert float(finer.weight_decay) == pytest.approx(0.3 * scale ** powers[form.value], rel=1e-14)


def test_the_time_step():
    for optimizer in (SignSGD(0.1), RMSprop(0.1), Adam(0.1)):
        assert optimizer.time_step(BALLISTIC) == 0.1
        assert optimizer.time_step(BATCH) == pytest.approx(0.01)
        for regime in Regime:
            finer = optimizer.at(0.25, regime).time_step(regime)
            assert float(finer) == pytest.approx(0.25 * optimizer.time_step(regime))
    assert SGD(0.1).time_step(BATCH) == SGD(0.1).time_step(BALLISTIC) == 0.1
    assert float(SGD(0.1).at(0.25, BATCH).time_step(BATCH)) == pytest.approx(0.025)


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_a_heavy_ball_counts_by_its_learning_rate_over_one_minus_decay(regime):
    heavy = Momentum(0.01, 0.9, weight_decay=0.3)
    assert float(heavy.time_step(regime)) == pytest.approx(0.1)
    assert float(heavy.learning_rate) == pytest.approx(0.01, rel=1e-14)
    finer = heavy.at(0.25, regime)
    assert float(finer.time_step(regime)) == pytest.approx(0.025)
    assert float(finer.learning_rate) == pytest.approx(0.01 / 16)
    assert float(finer.decay) == pytest.approx(1 - 0.1 / 4) and float(finer.weight_decay) == 0.3
    average = Momentum(0.1, 0.9, EMA)
    for s in (1.0, 0.25):  # the same equation
        own, theirs = heavy.at(s, regime), average.at(s, regime)
        no_decay = Momentum(float(own.learning_rate), float(own.decay))
        np.testing.assert_allclose(run(no_decay), run(theirs), rtol=1e-11)


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_a_beta_inside_a_sign_is_the_same_on_every_rung(regime):
    finer = Lion(0.1, 0.7, 0.9, 0.3).at(0.25, regime)
    assert finer.b1 == 0.7 and float(finer.b2) == pytest.approx(1 - 0.1 / 4)
    batch = regime is BATCH
    assert float(finer.learning_rate) == pytest.approx(0.1 * (0.5 if batch else 0.25))
    assert float(finer.weight_decay) == pytest.approx(0.3 * (0.5 if batch else 1.0))


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_the_clock_of_adagrad(regime, form):
    """x moves by h per step where nu counts in h (ballistic) or h^2 (batch-equivalent, noise 1/sqrt(h))."""
    optimizer, s, size = Adagrad(0.2, 0.05, 0.1, 0.3, 0.4, form), 0.25, 0.5 if regime is BALLISTIC else 1.0
    finer = optimizer.at(s, regime)
    h = float(optimizer.time_step(regime))
    assert h == pytest.approx(0.04) and float(finer.time_step(regime)) == pytest.approx(s * h)
    units = h if regime is BALLISTIC else h**2
    assert float(optimizer.units(regime)["nu"]) == pytest.approx(units)
    expected = {
        "learning_rate": 0.2 * s ** (1 - size),
        "eps": 0.05 * s**-size,
        "learning_rate_decay": 0.1 * s,
        "initial_accumulator": 0.3 * s ** (-2 * size),
        "weight_decay": 0.4 * (s**size if form is DECOUPLED else 1),
    }
    for name, value in expected.items():
        assert float(getattr(finer, name)) == pytest.approx(value, rel=1e-14)
    start = jnp.asarray(START)
    chains = [Chain(Quadratic(np.eye(3)), GaussianNoise(0.5), o, regime) for o in (optimizer, finer)]
    first, second = (chain.start(start) for chain in chains)
    np.testing.assert_allclose(first, second, rtol=1e-13)  # one start on the whole ladder


def test_signum_has_no_limit_in_the_batch_equivalent_regime():
    def chain(regime, optimizer):
        return Chain(Quadratic([[1.0]]), GaussianNoise(0.5), optimizer, regime)

    scheduled = Scheduled(Signum(0.1), {"learning_rate": cosine(10)})
    for optimizer in (Signum(0.1), scheduled):
        chain(BALLISTIC, optimizer)
        with pytest.raises(DriftaxError, match="grows without bound") as caught:
            chain(BATCH, optimizer)
        assert "ballistic" in caught.value.instead
    chain(BATCH, Lion(0.1))


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
def test_rescaled_at_is_the_same_optimizer_in_other_units(form, regime):
    """Gradients, first moments in units of 1/r, second moments of 1/r^2: the step of params is the same."""
    decay = dict(weight_decay=0.3, weight_decay_form=form)
    for optimizer in (
        SGD(0.1, **decay),
        SignSGD(0.1, **decay),
        RMSprop(0.1, 0.9, 0.05, denominator=UPDATED, **decay),
        RMSprop(0.1, 0.9, 0.05, denominator=PREVIOUS, **decay),
        Adam(0.1, 0.8, 0.95, 0.05, denominator=PREVIOUS, **decay),
        Adam(0.1, 0.8, 0.95, 0.05, denominator=UPDATED, **decay),
        Momentum(0.1, 0.8, HEAVY, True, **decay),
        Momentum(0.1, 0.8, EMA, True, **decay),
        Lion(0.1, 0.7, 0.95, **decay),
        AMSGrad(0.1, 0.8, 0.95, 0.05, **decay),
        Adagrad(0.1, 0.05, 0.2, **decay),
        Scheduled(Momentum(0.1, 0.8, **decay), {"decay": linear(50, 0.5), "learning_rate": cosine(30)}),
        Scheduled(Adam(0.1, 0.8, 0.95, 0.05, **decay), {"b1": linear(50, 0.5), "weight_decay": cosine(30)}),
    ):
        r = 0.6
        powers = np.array(list(optimizer.slots.values()))
        units = r**powers if regime is BATCH else np.ones(len(powers))
        if isinstance(optimizer, Adagrad):  # its sum has a limit in the units of the rung alone
            units[1] = r**4 if regime is BATCH else r**2
        units = units[:, None]
        gradient_unit = r if regime is BATCH else 1.0
        slots = np.array([START, [0.3, -0.2, 0.5], [0.5, 0.9, 0.4]])[powers]
        plain, rescaled = optimizer.at(r**2, regime), optimizer.rescaled_at(r, regime)
        clock = optimizer.clock(3.0)
        expected = plain.pack(
            plain.advance(clock, plain.unpack(jnp.asarray(slots)), jnp.asarray(GRADIENTS[0]))
        )
        found = rescaled.pack(
            rescaled.advance(
                clock, rescaled.unpack(jnp.asarray(slots * units)), jnp.asarray(GRADIENTS[0] * gradient_unit)
            )
        )
        np.testing.assert_allclose(found / units, expected, rtol=1e-13)
