"""SVAG as a runnable optimizer: smaller steps with amplified noise, whose curves coincide where an equation is valid.

With l and two independent stochastic gradients, `g = r_1 g_1 + r_2 g_2`:

    SGD             r = (1 +- sqrt(2 l - 1)) / 2,    learning_rate / l,  l times the steps
    RMSprop, Adam   r = (1 +- sqrt(2 l^2 - 1)) / 2,  learning_rate / l,  (1 - beta) / l^2,  l eps,  l^2 times the steps

It is the batch-equivalent ladder at `1/l` or `1/l^2` of the law `driftax.noise.TwiceDrawn`; for a Gaussian law that of
the law itself. In a study: `svag = true` in [noise], and the rungs of that ladder.

Source: li2021 (SVAG); malladi2022 (RMSprop and Adam).
"""

from __future__ import annotations

from driftax._errors import DriftaxError
from driftax.chain import Chain
from driftax.noise import GaussianNoise, TwiceDrawn
from driftax.noise.picks import AbstractPickedNoise
from driftax.optimizer import SGD, Adam, RMSprop
from driftax.regime import Regime


def svag(chain: Chain, ell: int) -> tuple[Chain, int]:
    """The chain of SVAG with `ell`, and by how much more steps it takes the same time.

    Args:
        chain: SGD, RMSprop or Adam at its own hyperparameters.
        ell: 1 is the optimizer itself.

    Raises:
        DriftaxError: for another optimizer, a law that is neither Gaussian nor picked, or an `ell` below 1.

    Example:
        >>> from driftax import SGD, Chain, GaussianNoise, Quadratic
        >>> small, more = svag(Chain(Quadratic([[1.0]]), GaussianNoise(0.2), SGD(0.1)), 4)
        >>> float(small.optimizer.learning_rate), more
        (0.025, 4)
    """
    optimizer, law = chain.optimizer, chain.noise
    asked = "`svag(chain, ell)`"
    if ell < 1 or not isinstance(optimizer, SGD | RMSprop | Adam):
        found = f"ell = {ell} for {optimizer.name}"
        raise DriftaxError(asked, found, "ell = 1 or more, for SGD, RMSprop or Adam")
    if not isinstance(law, GaussianNoise | AbstractPickedNoise):
        raise DriftaxError(
            asked, f"{type(law).__name__}", "a Gaussian law, minibatches or recorded gradients"
        )
    more = ell if isinstance(optimizer, SGD) else ell**2
    drawn = law if isinstance(law, GaussianNoise) else TwiceDrawn(law)
    return Chain(chain.objective, drawn, optimizer, Regime.BATCH_EQUIVALENT).at(1 / more), more
