"""The classification of limits: row by row, on its boundaries, and with its averages over a fixed memory."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.limits import Configuration, Exponents, Motion, Row, classify, neighbours, phase_diagram, place
from driftax.limits.fixed_memory import gain, mean_reciprocal, mean_step, memory, step_variance
from driftax.limits.limit_equation import LimitEquation, Problem
from driftax.limits.moments import limit_moments
from driftax.limits.regions import momentum_regions, second_moment_regions
from driftax.optimizer import Denominator

# s, the row, r, the exponents of drift and noise per unit time, at p = 1.
ROWS = [
    (-1.0, Row.VANISHING_NOISE, 1.0, 0.0, 3.0),
    (0.0, Row.BALLISTIC, 1.0, 0.0, 1.0),
    (0.25, Row.NOISE_NORMALISED, 1.25, 0.0, 0.75),
    (1.0, Row.BATCH_EQUIVALENT, 2.0, 0.0, 0.0),
    (1.5, Row.NOISE_DOMINATED, 2.0, 0.5, 0.0),
]
TARGETS = {-1.0: "f^2", 0.0: "f^2 + Sigma_d", 0.25: "Sigma_d", 1.0: "Sigma_d", 1.5: "Sigma_d"}


@pytest.mark.parametrize(("s", "row", "r", "drift", "noise"), ROWS)
def test_rows_of_the_table(s, row, r, drift, noise):
    limit = classify(Exponents(1.0, s, 5.0))
    assert limit.row is row
    found = (limit.time_exponent, limit.drift_exponent, limit.noise_exponent)
    assert found == pytest.approx((r, drift, noise))
    assert limit.has_drift == (drift == 0) and limit.has_noise == (noise == 0)
    # A learning rate tau^2 is the same table with tau^2 in place of tau.
    doubled = classify(Exponents(2.0, 2 * s, 10.0))
    assert doubled.row is row and doubled.time_exponent == pytest.approx(2 * r)


@pytest.mark.parametrize("s", [row[0] for row in ROWS])
def test_memory_of_the_second_moment(s):
    r = classify(Exponents(1.0, s, 1.0)).time_exponent

    def of(q, **flags):
        return classify(Exponents(1.0, s, q, **flags))

    assert of(r).nu is Motion.DYNAMIC
    assert f"dnu = c ({TARGETS[s]} - nu) dt" in of(r).equation
    assert of(0.6 * r).nu is Motion.SLAVED and f"nu = {TARGETS[s]}" in of(0.6 * r).equation
    assert of(1.4 * r).nu is Motion.FROZEN
    assert of(1.4 * r, bias_correction=True).nu is Motion.RUNNING_MEAN
    assert of(0.0).nu is (Motion.SLAVED if s < 0 else Motion.RANDOM)


def test_sign_gradient_flow_at_every_short_memory():
    for q in (0.0, 0.3, 0.9):
        assert classify(Exponents(1.0, -0.5, q)).name == "sign-gradient flow"


@pytest.mark.parametrize("q", [0.5, 2.0, 4.0])
def test_momentum(q):
    def of(q1, **flags):
        return classify(Exponents(1.0, 1.0, q, q1, **flags))

    assert of(2.0).mu is Motion.DYNAMIC and "dmu = c1 (f - mu) dt + c1 Sigma^(1/2) dW" in of(2.0).equation
    assert of(0.7).mu is Motion.SLAVED and of(0.0).mu is Motion.SLAVED
    plain = classify(Exponents(1.0, 1.0, q))
    assert of(0.7).equation == plain.equation  # the limit of RMSprop, with the same noise
    frozen, corrected = of(3.0), of(3.0, bias_correction=True)
    assert frozen.trivial and frozen.params is Motion.TRIVIAL and frozen.name.startswith("trivial")
    assert corrected.mu is Motion.RUNNING_MEAN and not corrected.trivial
    assert "W(t)" in corrected.equation  # at s = p the running mean carries noise


def test_a_fixed_momentum_matters_only_beside_a_fixed_second_moment():
    assert classify(Exponents(1.0, 1.0, 0.0, 0.0)).mu is Motion.RANDOM
    assert "Cov(u_0, u_k)" in classify(Exponents(1.0, 1.0, 0.0, 0.0)).equation
    assert "A Sigma^(1/2) dW" in classify(Exponents(1.0, 1.0, 0.0, 1.0)).equation


@pytest.mark.parametrize(
    ("s", "row", "r"),
    [(0.0, Row.EPS_ODE, 3.0), (1.5, Row.EPS_SDE, 3.0), (1.75, Row.EPS_NOISE, 2.5)],
)
def test_eps_dominates(s, row, r):
    limit = classify(Exponents(1.0, s, 1.0, eps=2.0))
    assert limit.row is row and limit.time_exponent == pytest.approx(r)
    assert limit.eps_enters and "D = 1/eps" in limit.equation


def test_eps_enters_only_at_the_size_of_the_root():
    assert classify(Exponents(1.0, 0.5, 1.0, eps=0.5)).eps_enters
    assert classify(Exponents(1.0, -2.0, 1.0, eps=0.0)).eps_enters
    assert classify(Exponents(1.0, 0.5, 1.0, eps=0.5)).name.endswith("eps beside the root")
    below, beyond = (n for n in neighbours(Exponents(1.0, 0.5, 0.7, eps=0.5)) if n.variable == "eps")
    assert "eps beside" not in below.beyond.name and beyond.beyond.row is Row.EPS_ODE
    small = classify(Exponents(1.0, 0.5, 1.0, eps=0.4))
    assert not small.eps_enters and small.row is Row.NOISE_NORMALISED


def test_every_region_has_its_own_line():
    listed = second_moment_regions()
    assert (
        len({(region.limit.name, region.limit.row) for region in listed}) == 27
    )  # sign flow at q = 0 and q < r
    assert len(listed) == 28 and len(momentum_regions()) == 7
    for region in listed:
        assert region.limit.equation.startswith("dx = ") and region.limit.latex


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": 0.0},
        {"learning_rate": math.nan},
        {"noise": math.nan},
        {"noise": math.inf},
        {"second_moment": -0.1},
        {"momentum": -1.0},
        {"momentum": math.inf},
        {"eps": math.nan},
    ],
)
def test_wrong_exponents(values):
    with pytest.raises(DriftaxError, match="exponent"):
        Exponents(**{"learning_rate": 1.0, "noise": 0.0, "second_moment": 1.0, **values})


def test_neighbours_of_a_generic_point():
    point = Exponents(1.0, 0.5, 1.0, eps=-3.0)
    found = {(n.variable, round(n.distance, 9)): n for n in neighbours(point)}
    assert set(found) == {
        ("noise", -0.5),
        ("noise", 0.5),
        ("second_moment", -1.0),
        ("second_moment", 0.5),
        ("eps", 3.5),
    }
    assert found["noise", 0.5].on.row is Row.BATCH_EQUIVALENT
    assert found["noise", 0.5].beyond.row is Row.NOISE_DOMINATED
    assert found["second_moment", 0.5].on.nu is Motion.DYNAMIC
    assert found["second_moment", 0.5].beyond.nu is Motion.FROZEN
    assert found["eps", 3.5].beyond.row is Row.EPS_ODE


def test_the_clock_is_a_boundary_for_the_noise_too():
    """At q = 1.4 the second moment slows down against params, and is dynamic at s = 0.4, before s reaches 0.5."""
    nearest = next(
        n for n in neighbours(Exponents(1.0, 0.5, 1.4)) if n.variable == "noise" and n.distance < 0
    )
    assert nearest.at == pytest.approx(0.4)
    assert nearest.on.nu is Motion.DYNAMIC and nearest.beyond.nu is Motion.FROZEN


def test_neighbours_of_a_point_on_two_boundaries():
    found = neighbours(Exponents(1.0, 0.0, 1.0))
    assert len(found) == 4 and all(n.distance == 0 for n in found)
    assert {n.beyond.row for n in found} == {Row.VANISHING_NOISE, Row.NOISE_NORMALISED, Row.BALLISTIC}


def test_configuration_as_a_point():
    placed = place(Configuration(1e-3, 0.998, noise=2.0, gradient=2.0, b1=0.9, eps=1e-8))
    assert placed.exponents.noise == 0.0 and placed.exponents.second_moment == 1.0
    assert placed.exponents.momentum == pytest.approx(1 / 3)
    assert placed.constants["c"] == pytest.approx(2.0) and placed.constants["noise"] == pytest.approx(1.0)
    assert placed.exact.second_moment == pytest.approx(math.log(0.002) / math.log(0.001))
    strict = place(Configuration(1e-3, 0.998, noise=2.0, gradient=2.0), same=1.0)
    assert classify(strict.exponents).nu is Motion.SLAVED


def test_configuration_without_noise():
    placed = place(Configuration(1e-3, 0.99, noise=0.0))
    assert placed.exponents.noise == -math.inf
    assert classify(placed.exponents).name == "sign-gradient flow"
    assert phase_diagram(placed.exponents).here[0] == -1.0


@pytest.mark.parametrize(
    "values",
    [{"learning_rate": 1.0}, {"b2": 1.0}, {"noise": -1.0}, {"gradient": 0.0}, {"b1": 1.5}, {"eps": math.inf}],
)
def test_wrong_configurations(values):
    with pytest.raises(DriftaxError, match=next(iter(values))):
        Configuration(**{"learning_rate": 1e-3, "b2": 0.999, "noise": 1.0, **values})
    with pytest.raises(DriftaxError, match="factor"):
        place(Configuration(1e-3, 0.999, 1.0), same=0.5)


@pytest.mark.parametrize("eps", [None, -1.0, 0.0, 0.5, 1.0, 3.0])
def test_the_diagram_covers_the_plane(eps):
    """The areas of the regions add up to the rectangle, and the classification agrees inside of each."""
    diagram = phase_diagram(Exponents(1.0, 0.3, 1.1, eps=eps))
    area = 0.0
    for region in diagram.regions:
        x, y = np.asarray(region.corners).T
        area += 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))
        inside = np.asarray(region.corners).mean(axis=0)
        assert classify(Exponents(1.0, inside[0], inside[1], eps=eps)).name == region.limit.name
    low, high = diagram.s_range
    assert area == pytest.approx((high - low) * diagram.q_range[1])
    for line in diagram.lines:
        middle = np.asarray(line.ends).mean(axis=0)
        assert classify(Exponents(1.0, middle[0], middle[1], eps=eps)).name == line.limit.name
    assert low < diagram.here[0] < high


def test_fixed_memory_without_memory_is_the_sign():
    kept = memory(1.0, 1.0, Denominator.UPDATED)
    assert gain(0.0, kept) == pytest.approx(math.sqrt(2 / math.pi), abs=1e-12)
    assert step_variance(0.0, kept) == pytest.approx(1.0, abs=1e-12)
    assert mean_step(0.7, 0.0, kept) == pytest.approx(math.erf(0.7 / math.sqrt(2)), abs=1e-12)


@pytest.mark.parametrize("eps", [0.3, 40.0, 1e3])
def test_fixed_memory_without_memory_beside_eps(eps):
    """E[g/(|g| + eps)] and E[z^2/(|z| + eps)^2] by Gauss-Legendre quadrature in |g|."""
    points, weights = np.polynomial.legendre.leggauss(400)
    z, weights = 6 * (points + 1), 6 * weights
    kept = memory(1.0, 1.0, Denominator.UPDATED)
    density = 2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    assert step_variance(eps, kept) == pytest.approx(weights @ (density * (z / (z + eps)) ** 2), rel=1e-6)
    derivative = weights @ (density * eps / (z + eps) ** 2)
    assert gain(eps, kept) == pytest.approx(derivative, rel=1e-6)


def test_a_long_memory_is_a_slaved_second_moment():
    for denominator in Denominator:
        for rate in (1e-2, 1e-3):
            kept = memory(rate, 1.0, denominator)
            assert gain(0.0, kept) == pytest.approx(1.0, abs=2 * rate)
            assert step_variance(0.25, kept) == pytest.approx(1 / 1.25**2, abs=2 * rate)
            assert mean_reciprocal(0.5, 0.0, kept) == pytest.approx(1 / math.sqrt(1.25), abs=2 * rate)


def test_the_lagged_sum_is_the_variance_of_a_long_sum_without_memory_of_the_second_moment():
    """With beta_2 = 0 a step is g-weighted signs: u_k = sum_j a_j g_(k-j)/|g_k|, whose lags are elementary.

    Only lag 0 and the pair (own sign, own size) survive: Cov(u_0, u_k) = a_0 a_k E[sign^2] E|z| E[1/|z|] diverges, so
    eps > 0 is used and the sum is compared with brute force over the pairs of gradients.
    """
    eps, rate = 0.5, 0.4
    points, weights = np.polynomial.legendre.leggauss(400)
    z, weights = 6 * (points + 1), 6 * weights
    density = weights * 2 * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    # u_k = mu_k d_k with d_k = 1/(|g_k| + eps): gradients older than step k are independent of d_k.
    d, d2 = density @ (1 / (z + eps)), density @ (1 / (z + eps) ** 2)
    gd, g2d2 = density @ (z**2 / (z + eps)), density @ (z**2 / (z + eps) ** 2)
    a = rate * (1 - rate) ** np.arange(200)
    total = a[0] ** 2 * g2d2 + (a[1:] ** 2).sum() * d2
    for lag in range(1, 150):
        total += 2 * (a[0] * a[lag] * gd * d + (a[1:-lag] * a[1 + lag :]).sum() * d * d)
    kept = memory(1.0, rate, Denominator.UPDATED)
    assert step_variance(eps, kept) == pytest.approx(total, rel=1e-7)


def test_fixed_memory_refuses():
    with pytest.raises(DriftaxError, match="infinite"):
        step_variance(0.0, memory(1.0, 1.0, Denominator.PREVIOUS))
    with pytest.raises(DriftaxError, match="beta_2 = 0"):
        memory(0.0, 1.0, Denominator.UPDATED)
    with pytest.raises(DriftaxError, match="not a fixed one"):
        memory(1e-5, 1.0, Denominator.UPDATED)


def _linear(x):
    return 1.0 * x


def _constant(x):
    return 0.8 + 0.0 * x


def test_moments_of_ornstein_uhlenbeck():
    """Batch-equivalent, slaved: dx = -x/0.8 dt + dW."""
    found = limit_moments(LimitEquation(Exponents(1.0, 1.0, 1.0), Problem(_linear, _constant)), 2.0, 1.5)
    decay = math.exp(-1.5 / 0.8)
    assert found.params == pytest.approx(2 * decay, rel=1e-8)
    assert found.params_sq == pytest.approx(4 * decay**2 + 0.4 * (1 - decay**2), rel=1e-8)
    assert found.nu == pytest.approx(0.64)


def test_moments_of_a_noisy_running_mean():
    """Noise-dominated, eps alone: x = 1 - int W(t)/t dt, whose variance at t = 1 is 2."""
    exponents = Exponents(1.0, 8.0, 1.0, momentum=9.0, eps=10.0, bias_correction=True)
    found = limit_moments(LimitEquation(exponents, Problem(_linear, _constant, eps=0.8)), 1.0, 1.0)
    assert found.params == pytest.approx(1.0)
    assert found.params_sq == pytest.approx(1.0 + 2.0, rel=1e-6)


def test_moments_refuse_what_does_not_close():
    equation = LimitEquation(Exponents(1.0, 1.0, 1.0), Problem(lambda x: x**3, _constant))
    with pytest.raises(DriftaxError, match="not affine"):
        limit_moments(equation, 1.0, 1.0)
    with pytest.raises(DriftaxError, match="eps above 0"):
        LimitEquation(Exponents(1.0, 0.0, 1.0, eps=1.0), Problem(_linear, _constant))


def test_a_limit_of_several_coordinates():
    problem = Problem(lambda x: np.asarray([1.0, 4.0]) * x, lambda x: np.asarray([0.5, 2.0]))
    equation = LimitEquation(Exponents(1.0, 1.0, 0.0, denominator=Denominator.PREVIOUS), problem)
    state = equation.start(np.asarray([1.0, -1.0]))
    kept = memory(1.0 - 0.0, 1.0, Denominator.PREVIOUS)
    assert kept.second_moment[1] == 1.0
    assert equation.slots == ("params",)
    halved = LimitEquation(Exponents(1.0, 1.0, 0.0), Problem(problem.gradient, problem.noise_std, 0.5))
    drift, spread = halved.drift(0.0, state)[0], halved.diffusion(0.0, state)[0]
    assert drift[0] / drift[1] == pytest.approx(-(1 / 0.5) / (4 / 2.0))
    assert spread[0] == pytest.approx(spread[1])  # D Sigma^(1/2) does not change with the size of the noise
