"""One family of optimizers, given by their limits, so that all members share compiled functions.

`c1`, `c2` are decay rates per unit of time, `sigma`, `eps`, `decay` numbers in the regime's own units: the same
limit h -> 0 belongs to both regimes up to the noise.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from driftax import SGD, Adam, Chain, GaussianNoise, Regime, RMSprop, SignSGD
from driftax.objective import AbstractObjective
from driftax.optimizer import Denominator

RATE = 0.25
C1, C2, EPS, DECAY = 1.0, 0.5, 0.1, 0.3
SIGMA = np.array([[0.5, 0.2], [0.2, 0.4]])
X, M, V = np.array([1.0, -0.6]), np.array([0.3, -0.2]), np.array([0.7, 0.9])
STEP = 8.0  # steps of rung 1 taken before: a bias correction needs a time above 0


class Quartic(AbstractObjective):
    """`1/2 x^T H x + a sum x^4`: third derivatives matter, and no coordinate is alone."""

    hessian: jnp.ndarray
    quartic: float

    @property
    def dim(self):
        return self.hessian.shape[0]

    def loss(self, params):
        return 0.5 * params @ (self.hessian @ params) + self.quartic * jnp.sum(params**4)

    def gradient(self, params):
        return self.hessian @ params + 4 * self.quartic * params**3


def objective(dim):
    return Quartic(jnp.asarray([[1.0, 0.5], [0.5, 1.5]])[:dim, :dim], 0.075)


def law(dim, regime, sigma=SIGMA):
    """Gaussian: a matrix in two dimensions, variances in one."""
    sigma = sigma / (RATE**2 if regime is Regime.BATCH_EQUIVALENT else 1.0)
    return GaussianNoise(sigma[0, :1] if dim == 1 else sigma)


def optimizer(name, regime, denominator=Denominator.UPDATED, decay=None, bias=None):
    """`name` ends in W where there is decoupled weight decay."""
    batch = regime is Regime.BATCH_EQUIVALENT
    kind = name.removesuffix("W")
    decay = DECAY * name.endswith("W") if decay is None else decay
    if kind == "SGD":
        return SGD(RATE**2 if batch else RATE, decay)
    if kind == "SignSGD":
        return SignSGD(RATE, decay * (RATE if batch else 1.0))
    h = RATE**2 if batch else RATE
    eps, decay = (EPS / RATE, decay * RATE) if batch else (EPS, decay)
    if kind == "RMSprop":
        return RMSprop(RATE, 1 - C2 * h, eps, decay, denominator=denominator, bias_correction=bool(bias))
    bias = True if bias is None else bias
    return Adam(RATE, 1 - C1 * h, 1 - C2 * h, eps, decay, denominator=denominator, bias_correction=bias)


def state(name, dim):
    rows = {"SGD": [X], "SignSGD": [X], "RMSprop": [X, V], "Adam": [X, M, V]}[name.removesuffix("W")]
    return jnp.asarray(np.asarray(rows)[:, :dim])


def chain(name, regime, denominator=Denominator.UPDATED, dim=1, noise=None, loss=None, **kwargs):
    return Chain(
        objective(dim) if loss is None else loss,
        law(dim, regime) if noise is None else noise,
        optimizer(name, regime, denominator, **kwargs),
        regime,
    )


def obstructed(name, regime):
    """Whether order 2 does not exist: batch-equivalent RMSprop, Adam and SignSGD."""
    return regime is Regime.BATCH_EQUIVALENT and not name.startswith("SGD")


def predicted(name, dim):
    """The monomial that sees the third-order obstruction, and its residual over h^2 as h falls."""
    if name.startswith("RMSprop"):
        inverse = 1 / (np.sqrt(V[0]) + EPS)
        return "params[0]^2 nu[0]", 2 * C2 * inverse**2 * SIGMA[0, 0] ** 2
    return "mu[0]^2 nu[0]", 2 * C1**2 * C2 * SIGMA[0, 0] ** 2
