"""Models whose loss is not a sum over examples are refused."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax

from driftax._errors import DriftaxError


def check_stateless(model: Any, asked: str) -> None:
    """Refuses a model with a layer that keeps state or looks at the other examples.

    Raises:
        DriftaxError: naming the layer and where it is.
    """
    for path, layer in jax.tree_util.tree_leaves_with_path(model, is_leaf=_stateful):
        if _stateful(layer):
            raise DriftaxError(
                asked,
                f"{type(layer).__name__} at model{jax.tree_util.keystr(path)}: with it the loss of one example "
                "depends on the examples beside it, and the gradient of an example is undefined",
                "eqx.nn.GroupNorm or eqx.nn.LayerNorm",
            )


def _stateful(layer: Any) -> bool:
    if isinstance(
        layer, eqx.nn.Sequential
    ):  # stateful only if one of its layers is, which is found by itself
        return False
    return isinstance(layer, eqx.nn.StatefulLayer | eqx.nn.StateIndex)
