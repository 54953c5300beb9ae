"""The finite-step method against the taylor method, dense references, and an integral of the sign."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adam, Chain, GaussianNoise, Quadratic, Regime, RMSprop, SignSGD, derive
from driftax.compiler.finite_step import generator
from driftax.compiler.step_moments import flat_covariance, flat_mean
from driftax.equation import Method
from driftax.noise import sign_moments
from driftax.noise.rule import gauss_hermite
from driftax.optimizer import DecayForm, Denominator
from oracle import cases, closed_forms

BALLISTIC, BATCH = Regime.BALLISTIC, Regime.BATCH_EQUIVALENT


# ---------------------------------------------------------------- dense references


def test_the_generator_in_closed_form():
    """`(d_k + b . grad + 1/2 M : grad grad) f` of `f = k^2 (sin x y, x^2 y^3)`."""
    x, y, k = 0.7, -0.4, 3.0
    b, M = np.array([0.3, -0.8]), np.array([[0.5, 0.2], [0.2, 0.9]])

    def f(number, z):
        return number**2 * jnp.stack([jnp.sin(z[0] * z[1]), z[0] ** 2 * z[1] ** 3])

    value = np.array([np.sin(x * y), x**2 * y**3])
    slope = np.array([[y * np.cos(x * y), x * np.cos(x * y)], [2 * x * y**3, 3 * x**2 * y**2]])
    mixed = np.cos(x * y) - x * y * np.sin(x * y)
    second = np.array(
        [
            [[-(y**2) * np.sin(x * y), mixed], [mixed, -(x**2) * np.sin(x * y)]],
            [[2 * y**3, 6 * x * y**2], [6 * x * y**2, 6 * x**2 * y]],
        ]
    )
    first = k**2 * slope @ b
    diffusion = 0.5 * k**2 * np.einsum("fij,ij->f", second, M)
    at = (k, jnp.asarray([x, y]), jnp.asarray(b))
    np.testing.assert_allclose(
        generator(f, *at, jnp.asarray(M)), 2 * k * value + first + diffusion, rtol=1e-13
    )
    np.testing.assert_allclose(generator(f, *at, None), 2 * k * value + first, rtol=1e-13)
    np.testing.assert_allclose(
        generator(f, *at, jnp.asarray(M), in_time=False), first + diffusion, rtol=1e-13
    )


@pytest.mark.parametrize("law", cases.LAWS)
@pytest.mark.parametrize(
    "optimizer", [RMSprop(0.2, 0.93, 0.15, 0.37), Adam(0.2, 0.85, 0.93, 0.15)], ids=["rmsprop", "adam"]
)
def test_moments_of_a_step_against_a_dense_tensor_grid(law, optimizer):
    """One-coordinate sums and Gram matrices against the joint grid of all coordinates."""
    x, m, v = cases.state(2)
    noise, covariance = cases.LAWS[law]
    chain = Chain(cases.objective(2), noise, optimizer)
    z = jnp.stack([x, v] if len(optimizer.slots) == 2 else [x, m, v])
    nodes, weights, _ = gauss_hermite(31)
    root = np.linalg.cholesky(np.asarray(covariance(x)))
    gradient = np.asarray(cases.objective(2).gradient(x))
    pairs = [(a, b) for a in range(31) for b in range(31)]
    step = jax.jit(jax.vmap(lambda g: chain.increment(5.0, z, g).reshape(-1)))
    steps = np.asarray(step(jnp.asarray([gradient + root @ nodes[list(pair)] for pair in pairs])))
    weight = np.asarray([weights[a] * weights[b] for a, b in pairs])
    mean = weight @ steps
    second = (steps * weight[:, None]).T @ steps - np.outer(mean, mean)
    # An updated denominator is no polynomial: 15 nodes are exact to about 1e-8 at this learning rate.
    np.testing.assert_allclose(flat_mean(chain, 15)(5.0, z.reshape(-1)), mean, atol=1e-7)
    np.testing.assert_allclose(flat_covariance(chain, 15)(5.0, z.reshape(-1)), second, atol=1e-7)


# ---------------------------------------------------------------- the ladder to the taylor method

CASES = [
    (RMSprop(0.2, 0.94, 0.15, 0.37), "matrix", BALLISTIC, (2,)),
    (RMSprop(0.2, 0.94, 0.15, denominator=Denominator.PREVIOUS), "diagonal", BATCH, (1, 2)),
    (Adam(0.2, 0.9, 0.94, 0.15, 0.37), "diagonal", BALLISTIC, (2,)),
    (SignSGD(0.2, 0.37), "matrix", BALLISTIC, (2,)),
    (SignSGD(0.2, 0.37), "diagonal", BATCH, (1, 2)),
]


@pytest.mark.parametrize(
    ("optimizer", "law", "regime", "orders"), CASES, ids=lambda x: getattr(x, "value", type(x).__name__)
)
def test_finite_step_tends_to_taylor(optimizer, law, regime, orders):
    """Per unit of t they differ by O(h^2) at order 2; at order 1 by O(h), the ballistic covariance by O(h^2)."""
    x, m, v = cases.state(2)
    flat = jnp.concatenate({1: [x], 2: [x, v], 3: [x, m, v]}[len(optimizer.slots)])
    chain = Chain(cases.objective(2), cases.LAWS[law][0], optimizer, regime)
    for order in orders:
        gaps = []
        for scale in (2.0**-7, 2.0**-9):
            pair = [
                cases.coefficients(
                    derive(chain, weak_order=order, method=method, nodes=9).at(scale), 8.0 / scale, flat
                )
                for method in Method
            ]
            gaps.append([float(jnp.max(jnp.abs(a - b))) for a, b in zip(*pair, strict=True)])
        assert min(gaps[1]) > 1e-11
        exponents = np.log2(np.asarray(gaps[0]) / np.asarray(gaps[1])) / 2
        assert exponents[0] == pytest.approx(order, abs=0.1)
        assert exponents[1] == pytest.approx(2 if regime is BALLISTIC else order, abs=0.1)


# ---------------------------------------------------------------- the sign


def test_the_derivative_of_a_frozen_node_mean_of_signs_is_zero():
    """The trap: nodes do not move with the params, so the mean of their signs is a step function."""
    nodes, weights, _ = gauss_hermite(15)

    def frozen(x):
        return jnp.sum(jnp.asarray(weights) * jnp.sign(x + jnp.asarray(nodes)))

    x = 0.3
    assert float(jax.grad(frozen)(x)) == 0.0
    law, loss = GaussianNoise([1.0]), Quadratic([[1.0]])
    exact = jax.jacfwd(lambda p: sign_moments(law, loss, p, jnp.zeros(1)).mean)(jnp.asarray([x]))
    truth = np.sqrt(2 / np.pi) * np.exp(-0.5 * x**2)
    assert float(exact[0, 0]) == pytest.approx(truth, rel=1e-13)


@pytest.mark.parametrize("form", DecayForm, ids=lambda f: f.value)
@pytest.mark.parametrize("method", Method, ids=lambda m: m.value)
def test_signsgd_of_order_2_has_the_derivative_of_the_integral(method, form):
    """The whole second-order drift; -1/2 (D b0) b0 would be 0 with frozen nodes."""
    x, rate, decay = cases.state(2)[0], 1e-5, 0.2
    chain = Chain(cases.objective(2), cases.LAWS["matrix"][0], SignSGD(rate, decay, form), Regime.BALLISTIC)
    second, first = (
        cases.coefficients(derive(chain, weak_order=p, method=method), 0.0, x)[0] for p in (2, 1)
    )
    found = np.asarray(second - first) / rate
    inside = form is DecayForm.L2

    def loss(p):
        return cases.objective(2).loss(p) + (0.5 * decay * jnp.sum(p**2) if inside else 0.0)

    point = closed_forms.local(loss, cases.LAWS["matrix"][1], x)
    expected = closed_forms.signsgd(point, rate, 0.0 if inside else decay).b1
    assert np.max(np.abs(expected)) > 0.04
    np.testing.assert_allclose(found, expected, atol=1e-4)
