"""The covariance, the loss and the params at which laws are compared."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from driftax import Quadratic

SIGMA = np.array([[0.8, 0.3, -0.2], [0.3, 0.5, 0.1], [-0.2, 0.1, 0.6]])
LOSS = Quadratic(np.diag([1.0, 2.0, 0.5]))
X = jnp.asarray([0.3, -0.5, 0.8])
