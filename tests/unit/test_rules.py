"""Quadratures of the normals: joint ones, and those between kinks with their derivatives."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import factorial2
from scipy.stats import cauchy, norm
from scipy.stats import t as student

from driftax import GaussianNoise, Quadratic, StudentT
from driftax.noise.rule import _cubature_of_degree_5, joint_normals, piecewise_normal

SCALE = 0.7
LAWS = {
    "gaussian": (GaussianNoise(SCALE**2), norm(scale=SCALE)),
    "student_t": (StudentT(SCALE, 3.0), student(3.0, scale=SCALE)),
    "cauchy": (StudentT(SCALE, 1.0), cauchy(scale=SCALE)),
}
LOSS = Quadratic([[1.0]])
LIMIT = 0.9


def moment(powers):
    """E prod n_i^powers_i of independent standard normals."""
    return np.prod([0.0 if p % 2 else (factorial2(p - 1) if p else 1.0) for p in powers])


@pytest.mark.parametrize("dim", range(1, 9))
def test_the_cubature_is_exact_to_degree_5(dim):
    nodes, weights = _cubature_of_degree_5(dim)
    assert nodes.shape == (2 * dim**2 + 1, dim)
    for degree in range(6):
        for letters in itertools.combinations_with_replacement(range(dim), degree):
            powers = [letters.count(i) for i in range(dim)]
            found = weights @ np.prod(nodes ** np.asarray(powers), axis=1)
            assert found == pytest.approx(moment(powers), abs=1e-12), powers
    if dim > 1:  # not exact to degree 6: the test can fail
        assert abs(weights @ nodes[:, 0] ** 6 - 15) > 0.1


@pytest.mark.parametrize(
    ("dim", "nodes", "degree"), [(1, 7, 13), (2, 15, 29), (4, 15, 29), (5, 15, 17), (8, 5, 5)]
)
def test_joint_normals(dim, nodes, degree):
    points, weights, exact = joint_normals(dim, nodes)
    assert exact == degree and len(points) <= 100_000
    for powers in ([4] + [0] * (dim - 1), [2, 2][:dim] + [0] * (dim - 2), [1] * min(dim, 5)):
        powers = (powers + [0] * dim)[:dim]
        found = weights @ np.prod(points ** np.asarray(powers), axis=1)
        assert found == pytest.approx(moment(powers), abs=1e-10)


def test_piecewise_nodes_have_mass_1_wherever_kinks_are():
    kinks = jnp.asarray([[0.3, -40.0], [0.3, 1e3], [-7.0, 0.0]])
    score, weights = piecewise_normal(kinks, 8.5, 40)
    assert score.shape == weights.shape == (4 * 40, 2)
    for power in range(7):
        np.testing.assert_allclose(jnp.sum(weights * score**power, axis=0), moment([power]), atol=1e-11)


# The mean of a kinked function of (gradient a + noise), its zeros, and its exact mean from the distribution.
def mean_of_sign(law, a):
    return 1 - 2 * law.cdf(-a)


def mean_of_clip(law, a):
    grid = np.linspace(-LIMIT, LIMIT, 4001)  # E clip = int_{-L}^{L} (1 - F(g - a)) dg - L
    return np.trapezoid(law.sf(grid - a), grid) - LIMIT + correction(law, a, grid)


def correction(law, a, grid):
    """The end term of the trapezoidal rule, which makes it of fourth order."""
    step = grid[1] - grid[0]
    return step**2 / 12 * (law.pdf(grid[-1] - a) - law.pdf(grid[0] - a))


MAPS = {
    "sign": (lambda g: jnp.sign(g), lambda a: jnp.stack([-a]), mean_of_sign),
    "clip": (
        lambda g: jnp.clip(g, -LIMIT, LIMIT),
        lambda a: jnp.stack([-LIMIT - a, LIMIT - a]),
        mean_of_clip,
    ),
    # a maximum of second moments, bounded so that every law has the mean
    "max": (
        lambda g: 1 / jnp.maximum(LIMIT**2, g**2),
        lambda a: jnp.stack([-LIMIT - a, LIMIT - a]),
        None,
    ),
}


def mean_by_rule(law, name, a):
    function, zeros, _ = MAPS[name]
    kinks = jax.vmap(lambda z: law.score(LOSS, z, z))(zeros(a))
    rule = law.piecewise_rule(LOSS, a, kinks, fine=True)
    return jnp.sum(rule.weights * function(a[None] + rule.nodes), axis=0)[0]


def exact_mean_of_max(law, a):
    from scipy.integrate import quad

    def integrand(n):
        z = law.isf(norm.sf(n)) if n > 0 else law.ppf(norm.cdf(n))
        return norm.pdf(n) / max(LIMIT**2, (a + z) ** 2)

    points = [norm.isf(law.sf(kink - a)) for kink in (-LIMIT, LIMIT)]
    ends = [-8.5, *sorted(points), 8.5]
    return sum(quad(integrand, p, q, epsabs=1e-13, epsrel=1e-12)[0] for p, q in itertools.pairwise(ends))


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("law_name", LAWS)
def test_means_between_kinks_and_their_derivatives(name, law_name):
    """Three derivatives in the gradient against differences of the exact mean: what moves with the kinks counts."""
    law, exact_law = LAWS[law_name]
    exact = MAPS[name][2] or exact_mean_of_max

    def mean(a):
        return mean_by_rule(law, name, a[None])

    a, step = 0.4, 0.02
    value = [float(f(jnp.asarray(a))) for f in (mean, jax.grad(mean), jax.grad(jax.grad(mean)))]
    offsets = np.arange(-4, 5)
    table = np.asarray([exact(exact_law, a + step * k) for k in offsets])
    assert value[0] == pytest.approx(table[4], abs=1e-10)
    first = np.asarray([1 / 280, -4 / 105, 1 / 5, -4 / 5, 0, 4 / 5, -1 / 5, 4 / 105, -1 / 280]) @ table / step
    second = [-1 / 560, 8 / 315, -1 / 5, 8 / 5, -205 / 72, 8 / 5, -1 / 5, 8 / 315, -1 / 560]
    second = np.asarray(second) @ table / step**2
    assert value[1] == pytest.approx(first, abs=1e-8)
    assert value[2] == pytest.approx(second, abs=2e-6)
    assert abs(value[1]) > 0.05  # of the sign all of it is the kink's
