"""What was measured of the Hessian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from driftax.measurement.eigenvalues import Eigenvalues
from driftax.measurement.estimates import Estimate, Skewed
from driftax.measurement.spectrum import Spectrum


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
