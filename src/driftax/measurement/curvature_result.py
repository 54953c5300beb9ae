"""What was measured of the Hessian."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from driftax.measurement.curvature import hessian_covariance_trace, hessian_trace
from driftax.measurement.eigenvalues import Eigenvalues, top_eigenvalues
from driftax.measurement.estimates import Estimate, Skewed
from driftax.measurement.krylov import Product
from driftax.measurement.spectrum import Spectrum, spectrum
from driftax.measurement.units import TOTAL


@dataclass(frozen=True)
class Curvature:
    """Curvature at fixed params; what was not asked for is None.

    Args:
        trace: of the Hessian's block of every group, and of all of it under `total`.
        eigenvalues: the largest of H.
        preconditioned: the largest of P^-1/2 H P^-1/2.
        hessian_covariance_trace: tr(H Sigma) of one example.
        edge: curvature at which the optimizer turns unstable (2/lr for SGD).
        chunks: of the examples, whose spread the standard errors come from.
        spectrum: noise and signal on curvatures.
    """

    trace: Mapping[str, Estimate] = field(default_factory=dict)
    eigenvalues: Eigenvalues | None = None
    preconditioned: Eigenvalues | None = None
    hessian_covariance_trace: Skewed | None = None
    edge: float | None = None
    chunks: int = 1
    spectrum: Spectrum | None = None

    def edge_share(self) -> Estimate | None:
        """The largest (preconditioned) eigenvalue over the edge; above 1 a step along it overshoots and grows."""
        found = self.preconditioned or self.eigenvalues
        if found is None or self.edge is None:
            return None
        top = found.values[0]
        return Estimate(top.value / self.edge, top.standard_error / self.edge)


def curvature_of(
    products: Sequence[Product],
    gradients: np.ndarray,
    chunks: np.ndarray,
    groups: Mapping[str, slice],
    *,
    scale: np.ndarray | None = None,
    edge: float | None = None,
    eigenvalues: int = 1,
    whole: Product | None = None,
    unit_size: int = 1,
    data_size: int | None = None,
    batch: int = 1,
    seed: int = 0,
) -> Curvature:
    """All that can be said of the Hessian, from its products.

    Args:
        products: Hessians of the chunks.
        gradients: of the units [n, dim].
        chunks: of each unit, the number of its chunk [n].
        groups: where the parameters of a group stand.
        scale: diagonal of P [dim], above 0.
        edge: curvature at which the optimizer turns unstable.
        eigenvalues: how many of the largest.
        whole: the mean Hessian, where one product with it is cheaper than one with each chunk.
        unit_size: examples in a unit.
        data_size: size of the data set, if the examples are drawn from it without replacement.
        batch: examples in a step of the optimizer.
        seed: of the probes.
    """
    n, dim = gradients.shape
    unseen = 1.0 if data_size is None else 1.0 - n * unit_size / data_size

    def top(scale: np.ndarray | None) -> Eigenvalues:
        return top_eigenvalues(products, dim, eigenvalues, scale=scale, seed=seed, whole=whole, unseen=unseen)

    return Curvature(
        trace=hessian_trace(products, {**groups, TOTAL: slice(0, dim)}, seed=seed),
        eigenvalues=top(None),
        preconditioned=None if scale is None else top(scale),
        hessian_covariance_trace=hessian_covariance_trace(
            products, gradients.astype(np.float64), chunks, unit_size
        ),
        edge=edge,
        chunks=len(products),
        spectrum=spectrum(products, gradients, chunks, scale, unit_size, data_size, batch, seed),
    )
