"""The bound on curvature of every built-in form, against closed forms and against the paths themselves."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adam, Chain, GaussianNoise, Lion, MinibatchNoise, Momentum, Quadratic, RMSprop, SignSGD
from driftax.compiler.curvature import curvature_along, inverse_bounds, no_curvature, top_curvature
from driftax.objective import FiniteSum
from driftax.optimizer import SGD, Denominator, MomentumForm

RATE, NU = 0.25, 0.04
FROZEN = 1 - 1e-12  # a second moment that does not move
SMALL = 1e-6


def adam(**more) -> Adam:
    return Adam(RATE, b1=0.8, b2=FROZEN, eps=0.1, bias_correction=False, **more)


# The bound on curvature at nu = NU.
BOUNDS = {
    "sgd": (SGD(RATE), 2 / RATE),
    "sgd, decay": (SGD(RATE, weight_decay=0.5), 2 / RATE - 0.5),
    "heavy ball": (Momentum(RATE, 0.8), 2 * 1.8 / RATE),
    "ema": (Momentum(RATE, 0.8, form=MomentumForm.EMA), 2 * 1.8 / (0.2 * RATE)),
    "nesterov": (Momentum(RATE, 0.8, nesterov=True), 2 * 1.8 / (RATE * 2.6)),
    "rmsprop": (RMSprop(RATE, decay=FROZEN, eps=0.1), 2 * (0.2 + 0.1) / RATE),
    "adam": (adam(), 2 * 1.8 * 0.3 / (0.2 * RATE)),
    "adam, previous": (adam(denominator=Denominator.PREVIOUS), 2 * 1.8 * 0.3 / (0.2 * RATE)),
}


def chain_of(optimizer, curvature: float) -> tuple[Chain, jnp.ndarray]:
    chain = Chain(Quadratic([[curvature]]), GaussianNoise(0.1), optimizer)
    rows = {"params": SMALL, "mu": 0.0, "nu": NU}
    return chain, jnp.asarray([[rows[slot]] for slot in chain.slots])


@pytest.mark.parametrize("name", BOUNDS)
def test_a_path_turns_from_convergence_to_divergence_at_the_bound(name):
    optimizer, bound = BOUNDS[name]
    sizes = []
    for share in (0.97, 1.03):
        chain, z = chain_of(optimizer, share * bound)
        assert top_curvature(chain, 0.0, z) == pytest.approx(share, rel=1e-6)
        z = jax.lax.fori_loop(0, 60, lambda _, z, chain=chain: chain.step(0.0, z, chain.gradient(z)), z)
        sizes.append(abs(float(z[0, 0])) / SMALL)
    assert sizes[0] < 1 / 5 and sizes[1] > 5


@pytest.mark.parametrize("denominator", Denominator)
def test_the_second_moment_that_divides_is_the_one_that_counts(denominator):
    """A fast second moment and a large gradient: v_k and v_{k+1} differ by a factor of 13."""
    optimizer = RMSprop(RATE, decay=0.5, eps=0.1, denominator=denominator)
    chain, z = Chain(Quadratic([[2.0]]), GaussianNoise(0.1), optimizer), jnp.asarray([[0.5], [NU]])
    after = 0.5 * NU + 0.5 * (2.0 * 0.5) ** 2
    divisor = np.sqrt(after if denominator is Denominator.UPDATED else NU) + 0.1
    assert float(inverse_bounds(chain, 0.0, z)[0]) == pytest.approx(RATE / (2 * divisor), rel=1e-12)


def test_signs_are_averaged_over_gaussian_noise():
    sigma = 0.3
    slope = RATE * np.sqrt(2 / np.pi) / sigma
    lion = np.asarray([[2.0, -slope * 0.6 / 0.4], [0.0, 1.9]])  # 2 I + A; noise reaches the sign times 1 - b1
    for optimizer, bound in (
        (SignSGD(RATE), 2 / slope),
        (Lion(RATE, b1=0.6, b2=0.9), -1 / np.linalg.solve(lion, np.asarray([-slope, 0.1]))[0]),
    ):
        chain, z = chain_of(optimizer, 1.0)
        chain = Chain(chain.objective, GaussianNoise(sigma**2), optimizer)
        assert 1 / top_curvature(chain, 0.0, z) == pytest.approx(bound, rel=1e-6)


def test_kinks_without_densities_have_none():
    def loss(params, example):
        return jnp.sum(params * example)

    chain = Chain(FiniteSum(loss, jnp.ones((4, 2)), 2), MinibatchNoise(2), SignSGD(RATE))
    assert "kinks" in (no_curvature(chain, 2) or "")


def test_lanczos_and_the_whole_matrix_agree_along_a_path():
    """Preconditioned by different second moments; 80 parameters take Lanczos."""
    rng = np.random.default_rng(1)
    root = rng.standard_normal((80, 80))
    hessian = root @ root.T / 80 + np.diag(np.linspace(0, 3, 80))
    chain = Chain(Quadratic(hessian.tolist()), GaussianNoise(0.1), adam())
    nu = np.linspace(0.01, 2, 80)
    z = jnp.stack([jnp.full(80, 0.1), jnp.zeros(80), jnp.asarray(nu)])
    k = 0.2 * RATE / (2 * 1.8 * (np.sqrt(nu) + 0.1))
    exact = np.linalg.eigvalsh(np.sqrt(k)[:, None] * hessian * np.sqrt(k))[-1]
    found = curvature_along(chain, 0.0, z, [0, 3])
    assert [step for step, _ in found] == [0, 3]
    assert [value for _, value in found] == pytest.approx([exact, exact], rel=1e-3)


def test_a_path_that_overflows_ends_there():
    chain, z = chain_of(SGD(RATE), 100.0)
    assert curvature_along(chain, 0.0, z, [0, 10, 1000]) == [
        (0, pytest.approx(12.5)),
        (10, pytest.approx(12.5)),
    ]
