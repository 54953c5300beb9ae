"""The coloured noise of an extended equation: its law on a grid, its scheme, its wiring into studies."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import Adam, Chain, DriftaxError, GaussianNoise, Quadratic, Regime, RMSprop, derive
from driftax.equation.describe import latex_to_text
from driftax.equation.extended import as_latex_lines, extend, obstruction_sentence, record_rows, title
from driftax.objective import AbstractObjective
from driftax.report.mathml import mathml
from driftax.simulate.coloured import advance_coloured, start_coloured
from driftax.simulate.schemes import NearlyAdditive, WeakOrderTwo
from driftax.study.run import experiment_of
from driftax.study.setup import description
from driftax.study.spec import load_study
from unit.test_schemes import additive, local_exponent, multiplicative, one_step_moments

EXAMPLES = Path(__file__).parents[2] / "examples" / "batch_equivalent"
COVARIANCE = np.array([[0.8, 0.3], [0.3, 0.5]])
CHAIN = Chain(
    Quadratic([[1.0, 0.5], [0.5, 1.0]]),
    GaussianNoise(COVARIANCE),
    RMSprop(0.2, 0.98),
    Regime.BATCH_EQUIVALENT,
)
CORRELATION = COVARIANCE / np.sqrt(np.outer(np.diag(COVARIANCE), np.diag(COVARIANCE)))


class Quartic(AbstractObjective):
    """`x^2/2 + x^4/10` of one parameter."""

    @property
    def dim(self):
        return 1

    def loss(self, params):
        return jnp.sum(0.5 * params**2 + 0.1 * params**4)

    def gradient(self, params):
        return params + 0.4 * params**3


def equation(chain=CHAIN):
    return extend(derive(chain, nodes=3))


# ---------------------------------------------------------------- the law of y


@pytest.mark.parametrize("substeps", [1, 4])
def test_y_and_the_increments_of_w_have_their_exact_joint_law(substeps):
    """Linear in normals: the covariance of y at all ends with all increments of W, against its integrals."""
    extended, dt = equation(), 1 / substeps
    root = (
        np.asarray(extended.correlated(jnp.eye(2)[:, 0])),
        np.asarray(extended.correlated(jnp.eye(2)[:, 1])),
    )
    root = np.stack(root, axis=1)
    np.testing.assert_allclose(root @ root.T, CORRELATION, atol=1e-14)

    def linear(normals):
        start, halves = root @ normals[:2], normals[2:].reshape(2 * substeps, 2, 2)
        w = jnp.sqrt(dt / 2) * (halves[0::2, 0] + halves[1::2, 0])
        return jnp.concatenate([extended.path_of(start, halves).reshape(-1), w.reshape(-1)])

    jacobian = np.asarray(jax.jacfwd(linear)(jnp.zeros(2 + 8 * substeps)))
    found = jacobian @ jacobian.T
    times = np.arange(substeps + 1) * dt
    lag = times[:, None] - times[None, :]
    y = np.kron(np.exp(-np.abs(lag)), CORRELATION)  # stationary, and it forgets within one step
    begin = times[:-1]
    # Cov(y(t), W(b + dt) - W(b)) = R int_b^{b+dt} e^{-(t-s)} ds for t >= b + dt, else 0
    integral = np.where(
        times[:, None] >= begin[None, :] + dt - 1e-12,
        np.exp(-(times[:, None] - begin[None, :])) * np.expm1(dt),
        0.0,
    )
    count = y.shape[0]
    np.testing.assert_allclose(found[:count, :count], y, atol=1e-13)
    np.testing.assert_allclose(found[:count, count:], np.kron(integral, root), atol=1e-13)
    np.testing.assert_allclose(found[count:, count:], dt * np.eye(2 * substeps), atol=1e-13)


# ---------------------------------------------------------------- the scheme


def test_the_scheme_has_order_2_for_additive_noise():
    assert local_exponent(NearlyAdditive(), additive) == pytest.approx(3, abs=0.15)


def test_what_the_scheme_leaves_out_is_of_the_square_of_the_commutator():
    """Noise `S + e S_1 z`: the second moment of a step differs from that of order 2 by O(e^2 dt^2)."""
    gaps = []
    for small in (0.2, 0.1):

        def noise(number, z, driver, small=small):
            return additive(number, z, driver) + small * multiplicative(number, z, driver)

        dt = 1e-3  # what is left at O(dt^3) does not count
        mean, second = one_step_moments(NearlyAdditive(), noise, dt)
        expected_mean, expected = one_step_moments(WeakOrderTwo(), noise, dt)
        np.testing.assert_allclose(mean, expected_mean, atol=1e-2 * dt**2 * small**2)
        gaps.append(np.abs(second - expected).max() / dt**2)
    assert gaps[0] / gaps[1] == pytest.approx(4, abs=0.3)


# ---------------------------------------------------------------- the controls


@pytest.mark.parametrize("optimizer", [RMSprop(0.5, 0.9), Adam(0.5, 0.8, 0.9, bias_correction=False)])
def test_the_controls_have_mean_zero(optimizer):
    """Three steps by a quadrature of all normals, exact for what is of degree 6 in each of them."""
    extended = equation(Chain(Quartic(), GaussianNoise([0.8]), optimizer, Regime.BATCH_EQUIVALENT))
    slots = len(extended.chain.slots)
    path = jnp.asarray([[0.9], [0.4], [0.7]])[jnp.asarray([0, 2] if slots == 2 else [0, 1, 2])]
    nodes, weights = np.polynomial.hermite_e.hermegauss(4)
    weights = weights / weights.sum()
    grid = np.stack(np.meshgrid(*[nodes] * 7, indexing="ij")).reshape(7, -1)
    product = np.prod(np.stack(np.meshgrid(*[weights] * 7, indexing="ij")), axis=0).reshape(-1)
    members = grid.shape[1]
    y, draws = jnp.asarray(grid[:1]), jnp.asarray(grid[1:]).reshape(3, 2, 1, members)
    controls = start_coloured(slots, 1, members, float)
    for draw in draws:  # one substep of two equal halves, so that both are seen as one
        halves = jnp.stack([draw, draw]) / jnp.sqrt(2.0)
        controls = eqx.filter_jit(advance_coloured)(controls, extended, jnp.asarray(3.0), path, y, halves)
        y = jax.vmap(extended.path_of, in_axes=-1, out_axes=-1)(y, halves)[-1]
    rows = np.asarray(controls.rows())
    spread = np.sqrt(rows**2 @ product)
    moving = spread > 1e-12  # a first moment has no response to the second one's noise in one step
    assert moving.sum() >= 4 * (len(controls.rows()) // 8)
    assert np.abs(np.diagonal(controls.equation.mixed_moment)).max() > 1e-7  # what is subtracted is not 0
    np.testing.assert_allclose((rows @ product)[moving] / spread[moving], 0.0, atol=1e-12)


# ---------------------------------------------------------------- in words and in studies


@pytest.mark.parametrize("optimizer", [RMSprop(0.2, 0.98), Adam(0.2, 0.96, 0.98)])
def test_every_line_is_mathematics(optimizer):
    found = equation(dataclasses.replace(CHAIN, optimizer=optimizer))
    lines = as_latex_lines(found)
    for label, latex in lines:
        assert label and mathml(latex).startswith("<math"), latex
        plain = latex_to_text(latex)
        assert plain and not set(plain) & set("\\{}$&"), plain
    labels = [label for label, _ in lines]
    assert {"Update", "State", "Equation", "Start", "Drift", "Noise", "Claim"} <= set(labels)
    assert "Obstruction" not in labels and "unless" not in dict(lines)["Claim"]
    assert title(found).endswith("on an extended state")
    assert "order 2 exists on the extended state" in obstruction_sentence(found)
    assert "coloured noise" in dict(record_rows(found))["coordinates"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_studies_know_the_model(path):
    study = load_study(path)
    experiment = experiment_of(study, "verify", allow_obstructed=True)
    experiment.check()
    assert [experiment.claimed(model) for model in experiment.models] == [2, 2]
    assert [experiment.levels_of(model) for model in experiment.models] == [(1, 2), (4, 8)]
    shown = description(study, experiment)["equations"]
    assert [entry["model"] for entry in shown] == ["derived-2", "derived-2-extended"]
    with pytest.raises(DriftaxError, match="derived-2-extended"):
        experiment._replace(allow_obstructed=False).check()  # derived-2 is refused, and names the other
    experiment._replace(allow_obstructed=False, models=("derived-2-extended",)).check()


def test_logarithms_are_refused_before_anything_runs():
    experiment = experiment_of(load_study(EXAMPLES / "rmsprop_1d.toml"), "verify", allow_obstructed=True)
    with pytest.raises(DriftaxError, match='coordinates = "natural"'):
        experiment._replace(log_second_moments=True).check()
