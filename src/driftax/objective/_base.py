from __future__ import annotations

import abc
from collections.abc import Callable

import equinox as eqx
from jaxtyping import Array, Float

from driftax._types import Vector


class AbstractObjective(eqx.Module):
    """A deterministic loss with its gradient."""

    @property
    @abc.abstractmethod
    def dim(self) -> int | None:
        """The number of parameters; None where any number will do."""

    @abc.abstractmethod
    def loss(self, params: Vector) -> Float[Array, ""]:
        """The loss at `params`."""

    @abc.abstractmethod
    def gradient(self, params: Vector) -> Vector:
        """The gradient of the loss at `params`."""

    def observables(self) -> dict[str, Callable[[Vector], Float[Array, ""]]]:
        """Functions of the params that can be averaged beside the loss, by name."""
        return {}
