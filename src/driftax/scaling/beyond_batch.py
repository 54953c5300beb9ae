"""Rules beside those of one optimizer's batch size: averages, long training, largest batch, compression."""

from __future__ import annotations

import math
from dataclasses import replace

from driftax._errors import DriftaxError
from driftax.scaling.settings import Number, Settings


def averaged_params(momentum: Number, kappa: Number) -> float:
    """The momentum of an average of params at kappa times the batch: `rho**kappa`, as many examples as before.

    Args:
        momentum: rho, in [0, 1).
        kappa: new batch size over the old one, above 0.

    Raises:
        DriftaxError: for numbers out of range.

    Source: busbridge2023, 2307.13813.
    """
    if not 0 <= momentum < 1 or not kappa > 0:
        raise DriftaxError(
            "the momentum of an average", f"{momentum}, kappa = {kappa}", "0.999 and a kappa above 0"
        )
    return momentum**kappa


def longer_training(settings: Settings, growth: Number) -> Settings:
    """For `growth` times the examples at the same batch: learning rate and weight decay over sqrt(growth).

    With kappa times the batch as well the joint factor of both is sqrt(kappa / growth).

    Raises:
        DriftaxError: for a growth that is not above 0, and for a step that is not normalised.

    Source: mlodozeniec2025, 2512.22382 (normalised steps where noise dominates).
    """
    if not growth > 0:
        raise DriftaxError("longer training", f"{growth} times the examples", "a number above 0")
    if not settings.normalised:
        raise DriftaxError(
            "longer training", f"{settings.optimizer}: steps not normalised", "an adaptive optimizer"
        )
    factor = 1 / math.sqrt(growth)
    decay = settings.weight_decay * (factor if settings.decoupled else 1.0)
    return replace(settings, learning_rate=settings.learning_rate * factor, weight_decay=decay)


def critical_batch(batch: Number, growth: Number) -> float:
    """The batch size above which more examples a step stop paying, of a longer training: `batch * growth**0.5`.

    Qualitative: a power law of about 1/2 in the examples (tokens) seen, fitted to pre-training of language models, the
    same for small and large ones; other data want their own power. A guide for a schedule of batch sizes.

    Args:
        batch: the critical batch size that was found, above 0.
        growth: examples of the longer training over those of the one it was found in, above 0.

    Raises:
        DriftaxError: for numbers that are not above 0.

    Source: bergsma2025, 2505.13738 (qualitative).
    """
    if not (batch > 0 and growth > 0):
        raise DriftaxError("a critical batch size", f"{batch}, growth = {growth}", "two numbers above 0")
    return batch * math.sqrt(growth)


def compressed(learning_rate: Number, omega: Number) -> float:
    """The learning rate of distributed SGD whose messages are compressed without bias: `learning_rate / (1 + omega)`.

    Args:
        learning_rate: without compression.
        omega: relative variance a compression adds, 0 or more.

    Raises:
        DriftaxError: for an omega below 0.

    Source: compagnonidistributed2025 (where noise dominates).
    """
    if omega < 0:
        raise DriftaxError("a compressed message", f"omega = {omega}", "a number of 0 or more")
    return learning_rate / (1 + omega)
