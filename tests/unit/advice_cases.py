"""A measurement of a quadratic, whose forecast is known."""

from __future__ import annotations

import numpy as np

from driftax.measurement import estimate, units_of
from driftax.measurement.curvature_result import Curvature
from driftax.measurement.eigenvalues import top_eigenvalues
from driftax.measurement.spectrum import spectrum

HESSIAN, DEVIATION = np.repeat([0.5, 2.0], 10), np.repeat([1.0, 0.3], 10)


def measured(preconditioned=True, units=64, batch=4, mean=0.0):
    """A measurement of a quadratic with independent coordinates, with the second moment of Adam for P^2."""
    gradients = mean + np.random.default_rng(0).normal(size=(units, 20)) * DEVIATION
    products = [lambda v: HESSIAN * v] * 4
    scale = np.sqrt(mean**2 + DEVIATION**2 / batch) * np.ones(20) if preconditioned else None
    curvature = Curvature(
        chunks=4,
        eigenvalues=top_eigenvalues(products, 20),
        preconditioned=top_eigenvalues(products, 20, scale=scale) if preconditioned else None,
        spectrum=spectrum(products, gradients, np.arange(units) % 4, scale, batch=batch),
    )
    return estimate(units_of({"a": gradients}), batch=batch, tails=False, curvature=curvature)
