from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.objective._base import AbstractObjective

_EVALUATIONS = 4  # a random loss may give one value twice by chance
_JAX = "operations of jax.numpy in place of numpy's, math's and Python's if and float()"


class FunctionObjective(AbstractObjective):
    r"""A loss of your own; its gradient is found by automatic differentiation.

    The loss is called here, a few times, to refuse what is not a smooth deterministic function: the noise of
    the gradient is the business of the gradient law.

    Args:
        loss: a function of the params [dim], in operations of JAX, that returns one number.
        dim: number of parameters.
        at: a point [dim] where loss and gradient must be finite; left out, this is not checked.

    Raises:
        DriftaxError: if `loss` fails, cannot be differentiated by JAX, returns anything but one real number,
            gives two values at one point, or is not finite `at` the point.

    Example:
        >>> import jax.numpy as jnp
        >>> objective = FunctionObjective(lambda x: jnp.sum(x**4), dim=2)
        >>> objective.gradient(jnp.array([1.0, -2.0])).tolist()
        [4.0, -32.0]
    """

    _loss: Callable = eqx.field(static=True)
    _dim: int = eqx.field(static=True)
    _name: str = eqx.field(static=True)

    def __init__(self, loss: Callable, dim: int, at=None):
        name = getattr(loss, "__name__", type(loss).__name__)
        asked = f"`FunctionObjective({name}, dim={dim})`"
        if dim < 1:
            raise DriftaxError(asked, f"dim = {dim}", "dim = 1 or more")
        self._loss, self._dim, self._name = _hashable(loss), dim, name
        self._check_form(asked)
        self._check_deterministic(asked, loss)
        if at is not None:
            at = jnp.asarray(at, dtype=float)
            if at.shape != (dim,):
                raise DriftaxError(asked, f"a point `at` of shape {list(at.shape)}", f"{dim} numbers")
            self.check_finite(at)

    @property
    def dim(self) -> int:
        return self._dim

    def loss(self, params: Vector) -> Float[Array, ""]:
        return jnp.asarray(self._loss(params))

    def gradient(self, params: Vector) -> Vector:
        return jax.grad(self.loss)(params)

    def check_finite(self, params: Vector) -> None:
        """Refuses a point where loss or gradient is not finite.

        Raises:
            DriftaxError: naming which of the two.
        """
        for what, value in (("loss", self.loss(params)), ("gradient", self.gradient(params))):
            if not np.all(np.isfinite(value)):
                raise DriftaxError(
                    f"`{self._name}` at params = {_listed(params)}",
                    f"the {what} {_listed(value)}",
                    f"a point where {self._name} and its gradient are finite",
                )

    def _check_form(self, asked: str) -> None:
        point = jax.ShapeDtypeStruct((self._dim,), jnp.zeros(0).dtype)
        result = self._called(asked, lambda: jax.eval_shape(self._loss, point))
        wanted = "one real number: jnp.sum(...) or jnp.mean(...)"
        if not isinstance(result, jax.ShapeDtypeStruct):
            raise DriftaxError(asked, f"a loss that returns a {type(result).__name__}", wanted)
        if result.shape != ():
            raise DriftaxError(asked, f"a loss of shape {list(result.shape)}", wanted)
        if not jnp.issubdtype(result.dtype, jnp.floating):
            raise DriftaxError(asked, f"a loss of type {result.dtype}", wanted)
        self._called(asked, lambda: jax.eval_shape(jax.grad(self.loss), point))

    def _check_deterministic(self, asked: str, loss: Callable) -> None:
        point = 0.1 + 0.37 * jnp.cos(jnp.arange(1.0, self._dim + 1))  # nothing special, and no symmetry
        values = []
        for _ in range(_EVALUATIONS):
            values.append(float(self._called(asked, lambda: self.loss(point))))
            # A jitted function has frozen what was random when it was traced.
            getattr(loss, "clear_cache", lambda: None)()
        epsilon = float(jnp.finfo(point.dtype).eps)
        if not np.allclose(values, values[0], rtol=1e3 * epsilon, atol=0.0, equal_nan=True):
            other = next(value for value in values if value != values[0])
            raise DriftaxError(
                asked,
                f"a loss with more than one value at one point: {values[0]!r}, then {other!r}",
                "the mean loss, without random numbers or state; the noise goes into the gradient law",
            )

    def _called(self, asked: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except jax.errors.JAXTypeError as error:
            raise DriftaxError(asked, f"a loss that JAX cannot trace: {_first_line(error)}", _JAX) from error
        except Exception as error:
            raise DriftaxError(
                asked,
                f"a loss that fails: {type(error).__name__}: {_first_line(error)}",
                f"a function of one vector of {self._dim} params, in operations of jax.numpy",
            ) from error


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [""])[0]
    return line if len(line) <= 160 else line[:157] + "..."


def _listed(value: Array) -> str:
    text = str(np.asarray(value).tolist())
    return text if len(text) <= 80 else text[:77] + "..."


def _hashable(loss: Callable) -> Callable:
    """The loss as a part of a compiled function's key; a module that holds arrays has none of its own."""
    try:
        hash(loss)
    except TypeError:
        return lambda params: loss(params)
    return loss
