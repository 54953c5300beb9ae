"""Traces, eigenvalues and the edge of stability, against dense matrices."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driftax.measurement.curvature import hessian_covariance_trace, hessian_trace, stability_edge
from driftax.measurement.eigenvalue_excess import for_all_examples
from driftax.measurement.eigenvalues import top_eigenvalues

Z = 4.9  # of a two-sided normal test at 1e-6


def random(seed=0):
    return np.random.default_rng(seed)


def symmetric(dim, seed=0):
    root = random(seed).normal(size=(dim, dim))
    return root @ root.T / dim


def test_trace_of_a_diagonal_hessian_is_exact():
    diagonal = np.array([1.0, 2.0, -3.0, 4.0])
    found = hessian_trace([lambda v: diagonal * v] * 2, {"a": slice(0, 3), "b": slice(3, 4)})
    assert found["a"] == pytest.approx((0.0, 0.0)) and found["b"] == pytest.approx((4.0, 0.0))


@pytest.mark.statistical
def test_trace_is_unbiased_with_its_standard_error():
    """False alarm 1e-6: 2,000 probes, against the variance 2 (|H|^2 - sum H_ii^2) of random signs."""
    hessian = symmetric(30)
    found = hessian_trace([lambda v: hessian @ v], {"a": slice(0, 30)}, 2000)["a"]
    assert abs(found.value - np.trace(hessian)) < Z * found.standard_error
    variance = 2 * ((hessian**2).sum() - (np.diag(hessian) ** 2).sum())
    assert found.standard_error**2 * 2000 == pytest.approx(variance, rel=0.25)


@pytest.mark.parametrize("scaled", [False, True])
def test_eigenvalues_are_those_of_the_dense_matrix(scaled):
    hessian = symmetric(60)
    scale = random(1).uniform(0.1, 10.0, 60) if scaled else None
    dense = hessian if scale is None else hessian / np.sqrt(np.outer(scale, scale))
    found = top_eigenvalues([lambda v: hessian @ v], 60, 3, scale, tolerance=1e-10)
    np.testing.assert_allclose(
        [one.value for one in found.values], np.linalg.eigvalsh(dense)[::-1][:3], rtol=1e-9
    )
    assert np.all(found.residuals < 1e-8)


def test_single_precision_makes_no_ghosts():
    diagonal = np.concatenate([[100.0, 10.0], np.linspace(0, 1, 198)])

    def rounded(v):
        return (diagonal.astype(np.float32) * v.astype(np.float32)).astype(np.float64)

    found = top_eigenvalues([rounded], 200, 3, tolerance=1e-6)
    np.testing.assert_allclose([one.value for one in found.values], [100.0, 10.0, 1.0], rtol=1e-4)


def test_error_of_an_eigenvalue_is_the_spread_over_chunks():
    parts = [np.diag([5.0 + shift, 1.0]) for shift in (-1.0, 0.0, 1.0)]
    found = top_eigenvalues([lambda v, part=part: part @ v for part in parts], 2, tolerance=1e-12)
    assert found.values[0] == pytest.approx((5.0, 1 / math.sqrt(3)), rel=1e-6)


def test_trace_of_hessian_times_covariance():
    hessian, rows = symmetric(6), random(2).normal(size=(20, 6))
    one = hessian_covariance_trace([lambda v: hessian @ v], rows, np.zeros(20, int), unit_size=3)
    assert one.estimate.value == pytest.approx(3 * np.trace(hessian @ np.cov(rows.T)), rel=1e-12)
    # Two units in a chunk: the mean over all chunks of their half squared difference.
    many = hessian_covariance_trace([lambda v: hessian @ v] * 10, rows, np.arange(20) // 2)
    apart = rows[::2] - rows[1::2]
    assert many.estimate.value == pytest.approx(
        np.mean([row @ hessian @ row for row in apart]) / 2, rel=1e-12
    )


def test_edges_of_stability_are_where_the_iteration_turns():
    """The spectral radius of one step passes 1 at the edge."""

    def radius(step):
        return np.abs(np.linalg.eigvals(step)).max()

    lr, b = 0.1, 0.9
    steps = {
        stability_edge(lr): lambda h: np.array([[1 - lr * h]]),
        stability_edge(lr, b): lambda h: np.array([[1 - lr * (1 - b) * h, -lr * b], [(1 - b) * h, b]]),
        stability_edge(lr, b, averaged=False): lambda h: np.array([[1 - lr * h, -lr * b], [h, b]]),
        stability_edge(lr, b, averaged=False, nesterov=True): lambda h: np.array(
            [[1 - lr * (1 + b) * h, -lr * b * b], [h, b]]
        ),
    }
    assert stability_edge(lr, b) == pytest.approx(2 * (1 + b) / ((1 - b) * lr))
    for edge, step in steps.items():
        assert radius(step(0.999 * edge)) < 1 < radius(step(1.001 * edge))


@pytest.mark.parametrize("others", [np.zeros(29), np.linspace(2.9, 0.1, 29)])
def test_what_a_sample_adds_to_the_largest_eigenvalue_is_taken_off(others):
    """Chunks of H = diag(3, ...) with noise off the diagonal: the mean of 150 is nearer than without by 4 to 1."""
    generator, found = random(5), []
    for seed in range(150):
        noise = generator.normal(size=(8, 30, 30)) * 0.3
        chunks = [np.diag([3.0, *others]) + one + one.T for one in noise]
        values = top_eigenvalues([lambda v, h=h: h @ v for h in chunks], 30, seed=seed)
        found.append((values.values[0].value, values.of_sample[0]))
    corrected, plain = np.abs(np.mean(found, axis=0) - 3)
    assert plain > 0.1 and corrected < plain / 4


def test_nothing_is_taken_off_where_every_example_was_seen_or_all_are_equal():
    chunks = random(6).normal(size=(5, 8, 8))
    chunks += chunks.transpose(0, 2, 1)
    values, errors = for_all_examples(chunks, 3, unseen=0.0)
    assert values == pytest.approx(np.linalg.eigvalsh(chunks.mean(axis=0))[::-1][:3], rel=1e-12)
    assert not errors.any()
    same, errors = for_all_examples(np.repeat(chunks[:1], 5, axis=0), 3)
    assert same == pytest.approx(np.linalg.eigvalsh(chunks[0])[::-1][:3], rel=1e-12)
    assert np.all(errors < 1e-12)
