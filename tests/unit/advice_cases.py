"""A measurement of a quadratic, whose forecast is known."""

from __future__ import annotations

import numpy as np

from driftax.measurement import estimate, units_of
from driftax.measurement.curvature import top_eigenvalues
from driftax.measurement.curvature_result import Curvature
from driftax.measurement.spectrum import spectrum


def measured(preconditioned=True, units=64, batch=4, mean=0.0):
    """A measurement of a quadratic with independent coordinates."""
    random = np.random.default_rng(0)
    hessian = np.repeat([0.5, 2.0], 10)
    gradients = mean + random.normal(size=(units, 20)) * np.repeat([1.0, 0.3], 10)
    products = [lambda v: hessian * v] * 4
    given = products, gradients, np.arange(units) % 4
    scale_ = np.ones(20) if preconditioned else None
    curvature = Curvature(
        chunks=4,
        eigenvalues=top_eigenvalues(products, 20),
        preconditioned=top_eigenvalues(products, 20, scale=scale_) if preconditioned else None,
        spectrum=spectrum(*given, scale_),
    )
    return estimate(units_of({"a": gradients}), batch=batch, tails=False, curvature=curvature)
