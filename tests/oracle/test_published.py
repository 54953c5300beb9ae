"""Published equations beside the compiler: equal where they should be, and by how much they are not elsewhere."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import (
    SGD,
    Adam,
    Chain,
    DriftaxError,
    EmpiricalNoise,
    GaussianNoise,
    Momentum,
    Quadratic,
    Regime,
    RMSprop,
    SignSGD,
    StudentT,
    derive,
)
from driftax.equation import Method
from driftax.equation.extended import extend
from driftax.noise import WorkersNoise
from driftax.objective import FunctionObjective
from driftax.optimizer import DecayForm, Denominator, MomentumForm
from driftax.published import MODELS, claimed, models_of, publish
from driftax.simulate.drivers import driver_for

COVARIANCE = jnp.asarray([[0.4, 0.15, 0.0], [0.15, 0.3, -0.1], [0.0, -0.1, 0.5]])
BENT = FunctionObjective(
    lambda x: (
        0.5 * jnp.sum(jnp.asarray([1.0, 2.0, 0.5]) * x**2) + 0.1 * jnp.sum(x**4) + 0.2 * x[0] * x[1] ** 2
    ),
    3,
)
BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT
STEP = 7.0


def state(slots, seed=0):
    """A random state [slot, 3] with second moments around 1."""
    draws = np.random.default_rng(seed).normal(size=(slots, 3))
    if slots > 1:
        draws[-1] = 1.0 + 0.3 * np.tanh(draws[-1])
    return jnp.asarray(draws)


def rmsprop(denominator, decay):
    return RMSprop(0.1, 0.9, 0.1, decay, DecayForm.DECOUPLED, denominator)


def adam(denominator, decay, bias=True):
    return Adam(0.1, 0.7, 0.9, 0.1, decay, DecayForm.DECOUPLED, denominator, bias)


def gap(published, compiled, z):
    """The largest difference of drifts and of covariances, over the largest entry of each."""
    flat = z.reshape(-1)
    ours, theirs = (coefficients(one, flat) for one in (compiled, published))
    return [float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(a))) for a, b in zip(ours, theirs, strict=True)]


@eqx.filter_jit
def coefficients(equation, flat):
    return equation.step_drift(STEP, flat), equation.step_covariance(STEP, flat)


BOTH = [Denominator.PREVIOUS, Denominator.UPDATED]
_ONE = {rmsprop: Denominator.PREVIOUS, adam: Denominator.UPDATED}
CASES = [
    (order, regime, make(denominator, 0.3))
    for order, regime, make, denominator in itertools.product(
        (1, 2), (BALLISTIC, BATCH), (rmsprop, adam), BOTH
    )
    # The dear ones, order 2 of the batch-equivalent regime, with one denominator each.
    if (order == 2 and regime is BALLISTIC) or denominator is _ONE[make if order == 2 else adam]
]


@pytest.mark.parametrize(("order", "regime", "optimizer"), CASES)
def test_callisti_is_the_compiled_series(order, regime, optimizer):
    """Orders 1 and 2, both regimes and denominators, to 1e-10; the covariance where neither has terms of order 3."""
    chain = Chain(BENT, GaussianNoise(COVARIANCE), optimizer, regime)
    z = state(len(chain.slots))
    ours = derive(chain, weak_order=order, method=Method.TAYLOR, allow_obstructed=True)
    theirs = publish(f"callisti-2025-{order}", chain)
    drift, covariance = gap(theirs, ours, z)
    assert drift < 1e-10
    if order == 2 and regime is BALLISTIC:
        assert covariance < 1e-10


@pytest.mark.parametrize("optimizer", [rmsprop(Denominator.PREVIOUS, 0.3), adam(Denominator.UPDATED, 0.3)])
def test_the_factor_of_callisti_has_the_series_covariance_up_to_the_next_order(optimizer):
    """Batch-equivalent: `|S S^T - (a0 + h a1)|` falls like h^3 per step."""
    gaps = []
    for scale in (1 / 16, 1 / 64):
        chain = Chain(BENT, GaussianNoise(COVARIANCE), optimizer, BATCH).at(scale)
        flat = state(len(chain.slots)).reshape(-1)
        ours = derive(chain, weak_order=2, method=Method.TAYLOR, allow_obstructed=True)
        theirs = publish("callisti-2025-2", chain)
        difference = ours.step_covariance(STEP, flat) - theirs.step_covariance(STEP, flat)
        gaps.append(float(jnp.max(jnp.abs(difference))) / float(chain.time_step) ** 3)
    assert gaps[1] == pytest.approx(gaps[0], rel=0.5)


@pytest.mark.parametrize("regime", [BALLISTIC, BATCH])
@pytest.mark.parametrize(
    "optimizer", [rmsprop(Denominator.UPDATED, 0.3), adam(Denominator.UPDATED, 0.3, bias=False)]
)
def test_which_of_order_1_is_the_leading_equation(optimizer, regime):
    """Compagnoni's where noise does not grow, Malladi's where it does; the other is off by the gradient's square."""
    chain = Chain(BENT, GaussianNoise(COVARIANCE), optimizer, regime)
    z = state(len(chain.slots))
    ours = derive(chain, weak_order=1, method=Method.TAYLOR)
    plain = "compagnoni-2025-plain" if isinstance(optimizer, Adam) else "compagnoni-2025"
    right, wrong = (plain, "malladi-2022") if regime is BALLISTIC else ("malladi-2022", plain)
    flat = z.reshape(-1)
    expected = ours.step_drift(STEP, flat)
    np.testing.assert_allclose(publish(right, chain).step_drift(STEP, flat), expected, rtol=1e-10, atol=1e-13)
    off = publish(wrong, chain).step_drift(STEP, flat) - expected
    square = 0.1 * chain.gradient(z) ** 2 * (1 if regime is BALLISTIC else chain.time_step)
    sign = -1 if regime is BALLISTIC else 1
    np.testing.assert_allclose(off[-3:], sign * square, rtol=1e-9)
    np.testing.assert_allclose(off[:-3], 0, atol=1e-12)


@pytest.mark.parametrize("model", ["compagnoni-2025", "compagnoni-2025-paper", "compagnoni-2025-plain"])
def test_the_variants_of_adamw_differ_by_the_look_ahead(model):
    chain = Chain(BENT, GaussianNoise(COVARIANCE), adam(Denominator.PREVIOUS, 0.3))
    z = state(3)
    plain = publish("compagnoni-2025-plain", chain)
    one = publish(model, chain)
    drift = (one.step_drift(STEP, z.reshape(-1)) - plain.step_drift(STEP, z.reshape(-1))).reshape(3, 3)
    ahead = 0.3 * (chain.gradient(z) - z[1])
    pull = -0.1 * publish_gain(chain, z)
    np.testing.assert_allclose(drift[0], 0 if model.endswith("plain") else pull * ahead, atol=1e-14)
    normals = jnp.asarray([[0.3, -1.0, 0.5]])
    noise = one.step_noise(STEP, z, normals)
    if model == "compagnoni-2025":
        np.testing.assert_allclose(noise[0], pull * noise[1], rtol=1e-12)
    else:
        np.testing.assert_array_equal(noise[0], 0)


def publish_gain(chain, z):
    """`sqrt(iota_2) / iota_1 / (sqrt(v) + eps sqrt(iota_2))`, written out."""
    first, second = 1 - 0.7 ** (STEP + 1), 1 - 0.9**STEP
    return np.sqrt(second) / first / (np.sqrt(z[2]) + 0.1 * np.sqrt(second))


@pytest.mark.parametrize(
    "law",
    [GaussianNoise(jnp.diag(COVARIANCE)), GaussianNoise(COVARIANCE), StudentT(0.5, 1.0), StudentT(0.5, 3.0)],
)
@pytest.mark.parametrize("form", list(DecayForm))
def test_signsgd_is_the_compiled_equation_of_order_1(law, form):
    """For every law and its full covariance: Cauchy's included."""
    chain = Chain(BENT, law, SignSGD(0.05, 0.2, form))
    drift, covariance = gap(publish("compagnoni-2025", chain), derive(chain, weak_order=1), state(1))
    assert max(drift, covariance) < 1e-10


@pytest.mark.parametrize(
    ("optimizer", "order"),
    [(SGD(0.1, 0.2), 1), (SGD(0.1, 0.2), 2)]
    + [(Momentum(0.02, 0.8, form), order) for form in MomentumForm for order in (1, 2)],
)
def test_li_tai_e_is_the_compiled_series(optimizer, order):
    chain = Chain(BENT, GaussianNoise(COVARIANCE), optimizer)
    ours = derive(chain, weak_order=order, method=Method.TAYLOR)
    drift, covariance = gap(publish(f"li-tai-e-2019-{order}", chain), ours, state(len(chain.slots)))
    assert drift < 1e-10
    assert covariance < 1e-10


def test_the_stability_variant_has_the_sign_turned():
    chain = Chain(BENT, GaussianNoise(COVARIANCE), SGD(0.1))
    flat = state(1).reshape(-1)
    one, two, plus = (
        publish(f"li-tai-e-2019-{name}", chain).step_drift(STEP, flat) for name in ("1", "2", "stability")
    )
    np.testing.assert_allclose(plus - one, one - two, rtol=1e-12)
    assert claimed("li-tai-e-2019-stability") == 1


def test_the_extended_equation_is_the_compiled_one_to_its_order():
    """Drift and noise of every slot: the difference per step falls like h^3 (drift) and h^(5/2) (noise)."""
    gaps = []
    for scale in (1 / 64, 1 / 256):
        chain = Chain(BENT, GaussianNoise(COVARIANCE), rmsprop(Denominator.PREVIOUS, 0.0), BATCH).at(scale)
        ours = extend(derive(chain, weak_order=2, allow_obstructed=True))
        theirs = publish("callisti-2025-extended", chain)
        z, y = state(2), jnp.asarray([0.4, -1.2, 0.9])
        off = ours.step_drift(STEP, z, y) - theirs.step_drift(STEP, z, y)
        gaps.append(float(jnp.max(jnp.abs(off))) / float(chain.time_step) ** 2)
    assert gaps[1] < 0.5 * gaps[0]


@pytest.mark.parametrize("model", MODELS)
def test_a_published_model_moves_along_the_ladder(model):
    optimizer = next(
        o for o in (SGD(0.1), SignSGD(0.1), rmsprop(*PREVIOUS), adam(*PREVIOUS)) if runs(model, o)
    )
    regime = BATCH if model.endswith("extended") else BALLISTIC
    law = GaussianNoise(0.2)
    chain = Chain(
        Quadratic(jnp.eye(3)),
        WorkersNoise(law, 4) if model.startswith("distributed") else law,
        optimizer,
        regime,
    )
    equation = publish(model, chain)
    assert equation.weak_order == claimed(model)
    assert float(equation.at(0.25).time_step) == pytest.approx(0.25 * float(chain.time_step))


PREVIOUS = (Denominator.PREVIOUS, 0.0)


def runs(model, optimizer):
    return model in models_of(optimizer) or (model.endswith("extended") and isinstance(optimizer, RMSprop))


@pytest.mark.parametrize(
    ("model", "chain", "words"),
    [
        ("malladi-2022", lambda: Chain(BENT, GaussianNoise(0.1), SGD(0.1)), "li-tai-e-2019-1"),
        ("malladi", lambda: Chain(BENT, GaussianNoise(0.1), rmsprop(*PREVIOUS)), "malladi-2022"),
        ("malladi-2022", lambda: Chain(BENT, StudentT(0.1, 1.5), rmsprop(*PREVIOUS)), "signsgd"),
        ("callisti-2025-2", lambda: Chain(BENT, StudentT(0.1, 5.0), rmsprop(*PREVIOUS)), "gaussian"),
        (
            "callisti-2025-2",
            lambda: Chain(BENT, GaussianNoise(lambda x: 1 + x**2), rmsprop(*PREVIOUS), BATCH),
            "derived-1",
        ),
        (
            "callisti-2025-1",
            lambda: Chain(BENT, GaussianNoise(0.1), RMSprop(0.1, bias_correction=True)),
            "false",
        ),
        (
            "li-tai-e-2019-1",
            lambda: Chain(BENT, GaussianNoise(0.1), Momentum(0.1, nesterov=True)),
            "derived-1",
        ),
        ("callisti-2025-extended", lambda: Chain(BENT, GaussianNoise(0.1), rmsprop(*PREVIOUS)), "derived-2"),
    ],
)
def test_what_a_paper_does_not_speak_of_is_refused(model, chain, words):
    with pytest.raises(DriftaxError, match=words):
        publish(model, chain())


@pytest.mark.parametrize("make", [rmsprop, adam])
def test_the_equation_for_the_previous_second_moment_stays_itself_beside_the_other_optimizer(make):
    z = state(2 if make is rmsprop else 3)
    previous, updated = (Chain(BENT, GaussianNoise(COVARIANCE), make(each, 0.3)) for each in BOTH)
    right, beside, itself = (
        publish("callisti-2025-2", previous),
        publish("callisti-2025-2-previous", updated),
        publish("callisti-2025-2-previous", previous),
    )
    assert gap(beside, right, z) == gap(itself, right, z) == [0.0, 0.0]
    assert gap(publish("callisti-2025-2", updated), right, z)[0] > 1e-4


def test_state_dependent_variances_enter_the_drift_of_nu():
    """Ballistic order 2 with a covariance that moves: `-1/2 c (d Sigma_d) u`."""
    chain = Chain(BENT, GaussianNoise(lambda x: 0.3 + 0.2 * x**2), rmsprop(Denominator.UPDATED, 0.0))
    ours = derive(chain, weak_order=2, method=Method.TAYLOR)
    drift, _ = gap(publish("callisti-2025-2", chain), ours, state(2))
    assert drift < 1e-10


def test_under_a_drawn_law_the_noise_is_the_draw_itself():
    """RMSprop on recorded gradients: (rate D)^2 Sigma in formula and certificate, and in what ensembles draw.

    Statistical: 60,000 noises, false alarm 1e-6 per entry (5 standard errors).
    """
    law = EmpiricalNoise(np.random.default_rng(0).normal(size=(20, 3)) @ np.linalg.cholesky(COVARIANCE).T, 4)
    chain = Chain(BENT, law, rmsprop(Denominator.UPDATED, 0.3))
    equation, z = publish("compagnoni-2025", chain), state(2)
    damping = 0.1 / (np.sqrt(z[1]) + 0.1)
    expected = damping[:, None] * np.asarray(law.covariance(BENT, z[0])) * damping[None]
    np.testing.assert_allclose(equation.step_covariance(STEP, z.reshape(-1))[:3, :3], expected, rtol=1e-12)
    driver = driver_for(chain, (equation,), 2, 3)
    draw, _ = driver.draw(jax.random.key(1), jnp.asarray(0), 3, 30_000, z.dtype)

    def noises(one):
        return jax.vmap(lambda drive: equation_noise(equation, driver, z, one, drive))(
            driver.part_drivers(one)
        )

    drawn = np.asarray(jax.vmap(noises, in_axes=-1)(draw)).reshape(-1, 3)
    products = drawn[:, :, None] * drawn[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(drawn) / 2)  # the two parts of a step are uncorrelated only
    assert np.all(np.abs(products.mean(axis=0) - expected) < 5 * error)


def equation_noise(equation, driver, z, draw, drive):
    """The params' part of the noise of one step."""
    return driver.noise(equation, jnp.asarray(STEP), z, draw, drive)[0]


def test_a_formula_with_a_noise_of_its_own_is_refused_under_a_drawn_law():
    chain = Chain(BENT, EmpiricalNoise(np.eye(3)), rmsprop(Denominator.UPDATED, 0.0))
    with pytest.raises(DriftaxError, match="drawn"):
        publish("callisti-2025-2", chain)
