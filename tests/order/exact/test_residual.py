"""The certificate's residuals against their definition, and against all batches of a finite sum."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import equinox as eqx
import family
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adam, Chain, FiniteSum, MinibatchNoise, Regime, RMSprop, derive
from driftax.compiler.law import LocalLaw, local_law
from driftax.equation import certificate
from driftax.optimizer import Denominator


def definition(equation, number, z, law, powers):
    """`E f(state') - (f + A f + 1/2 A A f)` with A = d_k + G applied twice, f a product of powers of state' - z."""
    flat = z.reshape(-1)

    def f(step, point):
        return jnp.prod((point - flat) ** jnp.asarray(powers))

    def apply(function):
        def result(step, point):
            b, a = equation.step_drift(step, point), equation.step_covariance(step, point)
            in_time, slope = jax.grad(function, argnums=(0, 1))(step, point)
            return in_time + b @ slope + 0.5 * jnp.sum(a * jax.hessian(function, argnums=1)(step, point))

        return result

    first, second = apply(f), apply(apply(f))
    steps = law.increments(equation.chain, number, z)
    exact = jnp.sum(law.weights * jnp.prod(steps ** jnp.asarray(powers)[None, :], axis=1))
    return exact - first(number, flat) - 0.5 * second(number, flat)


@pytest.mark.parametrize("regime", Regime, ids=lambda r: r.value)
def test_residuals_against_their_definition(regime):
    """They differ by O(h^3): the same exponents and the same obstruction."""
    equation = derive(family.chain("RMSpropW", regime))
    z = family.state("RMSprop", 1)
    powers = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (2, 1), (3, 0)]
    naive = eqx.filter_jit(
        lambda rung, number, law: jnp.stack([definition(rung, number, z, law, list(p)) for p in powers])
    )
    values = {}
    for scale in (2.0**-5, 2.0**-7):
        rung = equation.at(scale)
        law = local_law(rung.chain, z, rung.nodes)
        number = jnp.asarray(family.STEP / scale)
        fast, _ = certificate._residuals(rung, number, z, law)
        names = certificate._indices(2)
        chosen = [names.index((0,) * p + (1,) * q) for p, q in powers]
        values[scale] = (np.asarray(fast)[chosen], np.asarray(naive(rung, number, law)), float(rung.time_step))
    (fast, slow, h), (fine_fast, fine_slow, fine_h) = values.values()
    gap, fine_gap = np.abs(fast - slow) / h**3, np.abs(fine_fast - fine_slow) / fine_h**3
    assert np.all(fine_gap < 1.5 * gap + 1e-3)
    exponents = np.log2(np.abs(slow / fine_slow)) / 2
    assert min(exponents) == pytest.approx(2 if regime is Regime.BATCH_EQUIVALENT else 3, abs=0.05)
    if regime is Regime.BATCH_EQUIVALENT:
        place = powers.index((2, 1))
        _, value = family.predicted("RMSprop", 1)
        assert fine_slow[place] / fine_h**2 == pytest.approx(value, rel=0.03)
        assert fine_fast[place] == pytest.approx(fine_slow[place], rel=0.01)


EXAMPLES = np.random.default_rng(5).normal(size=(5, 2)) * [1.0, 0.6] + [0.2, -0.3]


def curved_sum():
    def loss(x, a):
        return 0.5 * jnp.sum((x - a) ** 2) + 0.1 * jnp.sum((x - a) ** 3) + 0.2 * x[0] * x[1] * a[0]

    return FiniteSum(loss, jnp.asarray(EXAMPLES), 2)


@pytest.mark.parametrize(
    ("optimizer", "replacement"),
    [
        (RMSprop(0.1, 0.95, 0.2, 0.3, denominator=Denominator.UPDATED), True),
        (RMSprop(0.1, 0.95, 0.2, 0.3, denominator=Denominator.PREVIOUS), False),
        (Adam(0.1, 0.9, 0.95, 0.2), False),
    ],
    ids=["rmsprop updated", "rmsprop previous", "adam"],
)
def test_the_equation_under_minibatch_noise_against_all_batches(optimizer, replacement):
    """Order 2 for the true law: a skewed law on 10 or 25 points, correlated between the coordinates."""
    objective = curved_sum()
    law = MinibatchNoise(2, replacement)
    equation = derive(Chain(objective, law, optimizer))
    z = family.state(type(optimizer).__name__, 2)
    batches = itertools.product(range(5), repeat=2) if replacement else itertools.permutations(range(5), 2)
    gradients = np.asarray(objective.example_gradients(z[0]))
    noise = np.asarray([gradients[list(batch)].mean(axis=0) for batch in batches]) - gradients.mean(axis=0)
    assert np.abs((noise**3).mean(axis=0)).max() > 0.01
    exact = LocalLaw(jnp.asarray(noise), jnp.full(len(noise), 1 / len(noise)), tuple(range(z.size)))
    rows = []
    for scale in (2.0**-4, 2.0**-5, 2.0**-6):
        residual, floor = certificate._residuals(equation.at(scale), jnp.asarray(8 / scale), z, exact)
        rows.append((np.asarray(residual), np.asarray(floor)))
    exponents = certificate._exponents(rows)[-1]
    assert np.nanmin(exponents) == pytest.approx(3, abs=0.15)
