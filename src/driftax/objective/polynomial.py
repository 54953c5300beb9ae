from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Vector
from driftax.objective._numbers import finite, positive
from driftax.objective.finite_sum import FiniteSum


def polynomial(
    alpha: float = 0.0,
    c: float = 0.1,
    d: float = 1.0,
    x1: float = -1.1,
    x2: float = 1.9,
    x3: float = 0.1,
) -> FiniteSum:
    r"""The pair of polynomials `f = 1/2 (f1 + f2)` of one parameter, as a sum over two examples.

    `f1 = 2 c (x - x1)^2 (x - x2)^4` and `f2 = 2 d (x - x3)^2`. The noise level alpha moves them apart,
    `f1 + alpha (f1 - f2)` and `f2 - alpha (f1 - f2)`, and leaves their mean f as it is.

    It takes a `MinibatchNoise(B)`: the mean of B fair picks of the two gradients, of variance
    `(f1' - f2')^2 / (4 B)`. A Gaussian law of the same variance is
    `GaussianNoise(lambda x: polynomial(alpha).gradient_variance(x) / B)`.

    Source: callisti2025, experiments ("Poly").

    Args:
        alpha: the noise level, 0 or more.
        c: factor of the first polynomial, above 0.
        d: factor of the second polynomial, above 0.
        x1: double root of the first polynomial.
        x2: fourfold root of the first polynomial.
        x3: double root of the second polynomial.

    Raises:
        DriftaxError: if a number is not finite, or out of its range.

    Example:
        >>> import jax.numpy as jnp
        >>> objective = polynomial(alpha=1.0)
        >>> objective.size, objective.dim
        (2, 1)
        >>> round(float(objective.loss(jnp.array([-1.1]))), 6)
        1.44
    """
    if not (math.isfinite(alpha) and alpha >= 0):
        raise DriftaxError(
            "`polynomial(alpha)`", f"alpha = {alpha:g}", "alpha = a finite number of 0 or more"
        )
    positive("`polynomial(c)`", "c", c)
    positive("`polynomial(d)`", "d", d)
    for name, root in (("x1", x1), ("x2", x2), ("x3", x3)):
        finite(f"`polynomial({name})`", name, root)
    examples = {
        "first": 2 * c * jnp.asarray([1 + alpha, -alpha], dtype=float),
        "second": 2 * d * jnp.asarray([-alpha, 1 + alpha], dtype=float),
        "roots": jnp.asarray([[x1, x2, x3]] * 2, dtype=float),
    }
    return FiniteSum(_example_loss, examples, 1)


def _example_loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
    x = params[0]
    x1, x2, x3 = example["roots"]
    return example["first"] * (x - x1) ** 2 * (x - x2) ** 4 + example["second"] * (x - x3) ** 2
