"""The gradient laws of a study file."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError, EmpiricalNoise
from driftax.study.build import build_chain, start_params
from driftax.study.results import request
from driftax.study.spec import load_study

STUDY = """
[objective]
{objective}
[noise]
{noise}
[optimizer]
name = "sgd"
learning_rate = 0.25
[start]
{start}
[regime]
name = "{regime}"
ladder = [1.0, 0.5]
"""
QUADRATIC = 'name = "quadratic"\nhessian = [[1.0, 0.5], [0.5, 1.0]]'
DIABETES = 'name = "finite_sum"\ndata = "diabetes"\nmodel = "linear"'
PARAMS = jnp.asarray([1.5, -1.0])
LOSS = 0.5 * (1.5**2 - 1.5 + 1.0)


def read(tmp_path, noise, objective=QUADRATIC, regime="ballistic"):
    start = "params = [1.5, -1.0]" if objective == QUADRATIC else ""
    path = tmp_path / "study.toml"
    path.write_text(STUDY.format(objective=objective, noise=noise, start=start, regime=regime))
    return load_study(path)


@pytest.mark.parametrize(
    ("noise", "covariance"),
    [
        ('name = "gaussian"\ncovariance = 0.3\ncovariance_per_loss = 0.2', (0.3 + 0.2 * LOSS) * np.eye(2)),
        (
            'name = "gaussian"\ncovariance = [[0.3, 0.1], [0.1, 0.2]]\ncovariance_per_loss = [[0.1, 0.0], [0.0, 0.0]]',
            np.array([[0.3, 0.1], [0.1, 0.2]]) + LOSS * np.diag([0.1, 0.0]),
        ),
        ('name = "student_t"\nscale = [0.3, 0.5]\ndof = 4', 2 * np.diag([0.09, 0.25])),
        ('name = "skewed"\nvariance = 0.3\nskewness = -1.5', 0.3 * np.eye(2)),
        (
            'name = "mixture"\nweights = [0.9, 0.1]\ndeviations = [1.0, 3.0]\nscale = [0.5, 1.0]',
            1.8 * np.diag([0.25, 1.0]),
        ),
        (
            'name = "mixture"\nweights = [0.5, 0.5]\ndeviations = [1.0, 1.0]\nmeans = [0.0, 1.0]',
            1.25 * np.eye(2),
        ),
    ],
)
def test_laws_of_a_study_file(tmp_path, noise, covariance):
    chain = build_chain(read(tmp_path, noise))
    found = np.asarray(chain.noise.covariance(chain.objective, PARAMS))
    np.testing.assert_allclose(np.diag(found) if found.ndim == 1 else found, covariance, rtol=1e-12)


def test_linear_regression_in_a_study_file(tmp_path):
    chain = build_chain(read(tmp_path, 'name = "linear_regression"\nlabel_variance = 0.1\nbatch_size = 4'))
    hessian = np.array([[1.0, 0.5], [0.5, 1.0]])
    c = hessian @ np.asarray(PARAMS)
    exact = (np.outer(c, c) + (2 * LOSS + 0.1) * hessian) / 4
    np.testing.assert_allclose(chain.noise.covariance(chain.objective, PARAMS), exact, rtol=1e-12)


@pytest.mark.parametrize(
    "noise", ['name = "label_noise"\nvariance = 0.5', 'name = "minibatch"\nbatch_size = 16']
)
def test_linear_regression_on_real_data(tmp_path, noise):
    study = read(tmp_path, noise, DIABETES)
    chain, start = build_chain(study), start_params(study)
    assert start.shape == (11,) and np.all(np.isfinite(chain.noise.covariance(chain.objective, start)))
    assert float(chain.objective.loss(start)) == pytest.approx(0.5, rel=1e-12)  # standardised labels


def test_recorded_gradients_beside_the_study_file(tmp_path):
    recorded = np.random.default_rng(0).normal(size=(7, 2))
    (tmp_path / "runs").mkdir()
    EmpiricalNoise(recorded).save(tmp_path / "runs" / "gradients.npz")
    study = read(
        tmp_path, 'name = "empirical"\nfile = "runs/gradients.npz"\nbatch_size = 2\nreplacement = false'
    )
    chain = build_chain(study)
    assert isinstance(chain.noise, EmpiricalNoise) and not chain.noise.replacement
    exact = np.cov(recorded.T) / 2 * (5 / 7)
    np.testing.assert_allclose(chain.noise.covariance(chain.objective, PARAMS), exact, rtol=1e-12)
    before = request(study.path.read_text(), tmp_path)
    assert request(study.path.read_text(), tmp_path) == before
    EmpiricalNoise(2 * recorded).save(tmp_path / "runs" / "gradients.npz")
    assert (
        request(study.path.read_text(), tmp_path) != before
    )  # stored results belong to the recorded gradients
    sample = chain.noise.sample(jax.random.key(0), chain.objective, PARAMS)
    assert sample.shape == (2,)


@pytest.mark.parametrize(
    ("noise", "objective", "regime", "asked", "found"),
    [
        ('name = "student_t"\nscale = 1.0', QUADRATIC, "ballistic", "[noise] dof", "no dof"),
        ('name = "student_t"\nscale = 1.0\ndof = 0.0', QUADRATIC, "ballistic", "[noise] dof", "dof = 0.0"),
        ('name = "student_t"\nscale = -1.0\ndof = 3.0', QUADRATIC, "ballistic", "[noise]", "scale = -1.0"),
        (
            'name = "student_t"\nscale = [1.0]\ndof = 3.0',
            QUADRATIC,
            "ballistic",
            "[noise]",
            "1 scales for 2 params",
        ),
        ('name = "studentt"\nscale = 1.0\ndof = 3.0', QUADRATIC, "ballistic", "[noise] name", "studentt"),
        (
            'name = "skewed"\nvariance = 1.0\nskewness = 9.0',
            QUADRATIC,
            "ballistic",
            "[noise]",
            "skewness = 9.0",
        ),
        (
            'name = "mixture"\nweights = [1.0]\ndeviations = 1.0',
            QUADRATIC,
            "ballistic",
            "[noise] deviations",
            "number",
        ),
        ('name = "empirical"\nfile = "none.npz"', QUADRATIC, "ballistic", "none.npz", "no such file"),
        ('name = "empirical"\nfile = "../study.toml"', QUADRATIC, "ballistic", "study.toml", "no such file"),
        ('name = "empirical"\nfile = "study.toml"', QUADRATIC, "ballistic", "study.toml", "pickle"),
        (
            'name = "linear_regression"\nlabel_variance = 0.1\nbatch_size = 3',
            QUADRATIC,
            "batch-equivalent",
            "[noise] batch_size",
            "1.5 examples",
        ),
        (
            'name = "linear_regression"\nlabel_variance = 0.1',
            DIABETES,
            "ballistic",
            "[noise]",
            "not a mean squared",
        ),
        ('name = "label_noise"\nvariance = 0.1', QUADRATIC, "ballistic", "[noise]", "no sum over examples"),
        (
            'name = "label_noise"\nvariance = 0.1',
            DIABETES.replace("diabetes", "breast_cancer").replace("linear", "logistic"),
            "ballistic",
            "[noise]",
            "not quadratic in the label",
        ),
        (
            'name = "minibatch"\nbatch_size = 2',
            DIABETES.replace("linear", "mlp"),
            "ballistic",
            "[objective]",
            "mlp",
        ),
        (
            'name = "gaussian"\ncovariance = 0.1\ncovariance_per_loss = [[1.0, 0.0], [0.0, 1.0]]',
            QUADRATIC,
            "ballistic",
            "[noise]",
            "covariance per loss of shape",
        ),
    ],
)
def test_wrong_laws_of_a_study_file(tmp_path, noise, objective, regime, asked, found):
    with pytest.raises(DriftaxError) as refusal:
        read(tmp_path, noise, objective, regime)
    error = refusal.value
    assert asked in error.asked and found in error.found and error.instead, str(error)
