"""The problem every benchmark runs: a dense quadratic, and a gradient A (x - sigma z) with z standard normal."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SIGMA = 0.5
EPS = 0.1
RMSPROP_RATE = 0.5  # (1 - decay) / learning_rate
ADAM_RATES = (1.0, 0.5)


class Problem(NamedTuple):
    """An optimizer on the quadratic `x^T A x / 2`, for a number of steps.

    With `warm`, second moments start at 1 and Adam has no bias correction: where an equation can start.
    """

    optimizer: str  # "RMSprop", "Adam", "SignSGD" or "SGD"
    dim: int
    steps: int = 80
    learning_rate: float = 0.125
    warm: bool = False

    @property
    def hessian(self) -> np.ndarray:
        """For two parameters [[1, 0.5], [0.5, 1]]; eigenvalues 0.5 and 1.5 in any dimension."""
        return 0.5 * np.eye(self.dim) + np.ones((self.dim, self.dim)) / self.dim

    @property
    def covariance(self) -> np.ndarray:
        """Of one gradient."""
        return SIGMA**2 * self.hessian @ self.hessian

    @property
    def params(self) -> np.ndarray:
        """Where every member starts."""
        return np.resize([1.5, -1.0], self.dim)

    @property
    def decay(self) -> float:
        """Of RMSprop's second moment."""
        return 1 - RMSPROP_RATE * self.learning_rate

    @property
    def betas(self) -> tuple[float, float]:
        """Of Adam."""
        return 1 - ADAM_RATES[0] * self.learning_rate, 1 - ADAM_RATES[1] * self.learning_rate

    @property
    def slots(self) -> int:
        """Vectors of the state."""
        return {"RMSprop": 2, "Adam": 3}.get(self.optimizer, 1)

    @property
    def start(self) -> np.ndarray:
        """The state [slot, dim]."""
        state = np.zeros((self.slots, self.dim))
        state[0] = self.params
        if self.warm and self.slots > 1:
            state[-1] = 1.0
        return state

    @property
    def name(self) -> str:
        return f"{self.optimizer}, d = {self.dim}"
