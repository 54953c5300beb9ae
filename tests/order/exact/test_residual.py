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

    def product(step):
        result = jnp.ones(())
        for coordinate, power in zip(step, powers, strict=True):
            result = result * coordinate**power if power else result
        return result

    def f(step, point):
        return product(point - flat) + 0.0 * step

    def apply(function):
        def result(step, point):
            b, a = equation.step_drift(step, point), equation.step_covariance(step, point)
            in_time, slope = jax.grad(function, argnums=(0, 1))(step, point)
            return in_time + b @ slope + 0.5 * jnp.sum(a * jax.hessian(function, argnums=1)(step, point))

        return result

    first, second = apply(f), apply(apply(f))
    exact = jnp.sum(law.weights * jax.vmap(product)(law.increments(equation.chain, number, z)))
    return exact - first(number, flat) - 0.5 * second(number, flat)


def both(equation, z, powers, scale):
    """The certificate's residuals beside the definition's, and the time step."""
    rung = equation.at(scale)
    number = jnp.asarray(family.STEP / scale)
    law = local_law(rung.chain, number, z, rung.nodes)
    places = certificate._indices(len(law.index))
    chosen = [places.index(tuple(i for i, n in enumerate(p) for _ in range(n))) for p in powers]
    slow = eqx.filter_jit(lambda e, n, at: jnp.stack([definition(e, n, z, at, p) for p in powers]))
    fast, _ = certificate._residuals(rung, number, z, law)
    return np.asarray(fast)[chosen], np.asarray(slow(rung, number, law)), float(rung.time_step)


@pytest.mark.parametrize(
    ("name", "regime"), [("RMSpropW", Regime.BALLISTIC), ("AdamW", Regime.BATCH_EQUIVALENT)]
)
def test_residuals_of_order_1_equal_their_definition(name, regime):
    """Time derivative, third and fourth powers and obstruction included."""
    two, three = [(1, 0), (1, 1), (0, 2), (2, 1)], [(1, 0, 0), (1, 1, 0), (0, 1, 1), (0, 2, 1), (0, 2, 2)]
    powers = three if name.startswith("Adam") else two
    fast, slow, _ = both(
        derive(family.chain(name, regime), weak_order=1), family.state(name, 1), powers, 0.25
    )
    assert np.max(np.abs(slow)) > 1e-5
    np.testing.assert_allclose(fast, slow, atol=1e-13, rtol=1e-8)


def test_residuals_of_order_2_equal_their_definition_up_to_h_cubed():
    """Nothing that order 2 decides on is lost by the mean and covariance of one step in the second term."""
    equation, z = derive(family.chain("SGD", Regime.BATCH_EQUIVALENT)), family.state("SGD", 1)
    powers = [(1,), (2,)]
    fast, slow, h = both(equation, z, powers, 2.0**-4)
    fine_fast, fine_slow, fine_h = both(equation, z, powers, 2.0**-6)
    gap, fine_gap = np.abs(fast - slow) / h**3, np.abs(fine_fast - fine_slow) / fine_h**3
    assert np.all(fine_gap < 1.5 * gap + 1e-3)
    assert np.min(np.log2(np.abs(slow / fine_slow)) / 2) == pytest.approx(3, abs=0.05)


EXAMPLES = np.random.default_rng(5).normal(size=(5, 2)) * [1.0, 0.6] + [0.2, -0.3]


def curved_sum():
    def loss(x, a):
        return 0.5 * jnp.sum((x - a) ** 2) + 0.1 * jnp.sum((x - a) ** 3) + 0.2 * x[0] * x[1] * a[0]

    return FiniteSum(loss, jnp.asarray(EXAMPLES), 2)


@pytest.mark.parametrize(
    ("optimizer", "replacement"),
    [
        (RMSprop(0.1, 0.95, 0.2, 0.3, denominator=Denominator.UPDATED), True),
        (Adam(0.1, 0.9, 0.95, 0.2), False),
    ],
    ids=["rmsprop", "adam"],
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
    for scale in (2.0**-9, 2.0**-10):
        residual, floor = certificate._residuals(equation.at(scale), jnp.asarray(8 / scale), z, exact)
        rows.append((np.asarray(residual), np.asarray(floor)))
    exponents = certificate._exponents(rows)[-1]
    assert np.nanmin(exponents) == pytest.approx(3, abs=0.1)
