"""Small models of a finite sum: their loss per example, their data and their initial params."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from driftax._errors import DriftaxError
from driftax._types import Key, Vector
from driftax.objective.finite_sum import FiniteSum

# Which models fit which data: two classes, or real labels.
_MODELS = {"breast_cancer": ("logistic", "mlp"), "diabetes": ("linear",)}


class Problem(NamedTuple):
    """A finite sum with the params its model starts from."""

    objective: FiniteSum
    start: Float[Array, " dim"]


def breast_cancer() -> dict[str, Array]:
    """scikit-learn's breast_cancer: 569 examples, 30 standardised features, labels -1 and +1."""
    from sklearn.datasets import load_breast_cancer

    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return {"features": jnp.asarray(features), "label": jnp.asarray(np.where(labels == 1, 1.0, -1.0))}


def diabetes() -> dict[str, Array]:
    """scikit-learn's diabetes: 442 examples, 10 standardised features, standardised real labels."""
    from sklearn.datasets import load_diabetes

    features, labels = load_diabetes(return_X_y=True)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    return {"features": jnp.asarray(features), "label": jnp.asarray((labels - labels.mean()) / labels.std())}


def linear(data: dict[str, Array]) -> Problem:
    """Linear regression with half the squared error, weights and a bias, starting at 0.

    Args:
        data: `features` [size, feature] and real `label` [size].
    """
    features = data["features"].shape[1]

    def example_loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
        return 0.5 * (params[:-1] @ example["features"] + params[-1] - example["label"]) ** 2

    return Problem(FiniteSum(example_loss, data, features + 1), jnp.zeros(features + 1))


def logistic(data: dict[str, Array]) -> Problem:
    """Logistic regression, weights and a bias, starting at 0.

    Args:
        data: `features` [size, feature] and `label` [size] in {-1, +1}.
    """
    features = data["features"].shape[1]

    def example_loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
        margin = example["label"] * (params[:-1] @ example["features"] + params[-1])
        return jax.nn.softplus(-margin)

    return Problem(FiniteSum(example_loss, data, features + 1), jnp.zeros(features + 1))


def mlp(data: dict[str, Array], key: Key, width: int = 8) -> Problem:
    """A perceptron with one tanh layer of `width` units, for two classes.

    Args:
        data: `features` [size, feature] and `label` [size] in {-1, +1}.
        key: draws the initial params.
        width: units of the hidden layer.
    """
    features = data["features"].shape[1]
    model = eqx.nn.MLP(features, "scalar", width, depth=1, activation=jnp.tanh, key=key)
    arrays, static = eqx.partition(model, eqx.is_inexact_array)
    start, unravel = ravel_pytree(arrays)

    def example_loss(params: Vector, example: dict[str, Array]) -> Float[Array, ""]:
        output = eqx.combine(unravel(params), static)(example["features"])
        return jax.nn.softplus(-example["label"] * output)

    return Problem(FiniteSum(example_loss, data, start.size), start)


def finite_sum_by_name(data: str, model: str, seed: int, width: int = 8) -> Problem:
    """The finite sum a study file names.

    Raises:
        DriftaxError: if there is no such data set or model.
    """
    if data not in _MODELS:
        raise DriftaxError("a finite sum", f"data = {data!r}", " or ".join(f'data = "{d}"' for d in _MODELS))
    if model not in _MODELS[data]:
        fitting = " or ".join(f'model = "{name}"' for name in _MODELS[data])
        raise DriftaxError(f'a finite sum over "{data}"', f"model = {model!r}", fitting)
    if data == "diabetes":
        return linear(diabetes())
    if model == "logistic":
        return logistic(breast_cancer())
    return mlp(breast_cancer(), jax.random.key(seed), width)
