"""What a model's gradients say of its noise: norms, noise scale, signal-to-noise, tails and curvature.

The estimators take numbers of any framework (numpy, float64); `driftax.measure` feeds them from JAX,
`driftax.torch.NoiseProbe` from PyTorch. Every estimate has a standard error.
"""

from driftax.measurement._value import Measurement
from driftax.measurement.combine import combine
from driftax.measurement.estimate import estimate
from driftax.measurement.units import Units, units_of
