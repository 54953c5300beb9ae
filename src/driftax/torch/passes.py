"""Gradients of units by passes of our own: vmap(grad) where it is defined, else unit by unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from driftax._errors import DriftaxError
from driftax.torch.parameters import Parameters


class Loss(torch.nn.Module):
    """`loss_fn(model, batch)` as a module, so that parameters can be exchanged wherever loss_fn uses them."""

    def __init__(self, model: Any, loss_fn: Any):
        super().__init__()
        self.model = model
        self.loss_fn = loss_fn

    def forward(self, batch: Any) -> Any:
        return self.loss_fn(self.model, batch)


def to_device(batch: Any, device: Any) -> Any:
    """A batch with its tensors on a device."""
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, torch.Tensor) else leaf, batch)


def gradient_rows(loss: Loss, parameters: Parameters, units: Sequence[Any]) -> np.ndarray:
    """Gradients [n, dim] unit by unit; sparse ones are filled up.

    Raises:
        DriftaxError: if the loss cannot be differentiated.
    """
    rows = []
    for unit in units:
        grads = torch.autograd.grad(loss(unit), parameters.tensors, allow_unused=True)
        if all(grad is None for grad in grads):
            raise DriftaxError(
                "gradients of loss_fn(model, batch)",
                "a loss in which none of the measured parameters occurs: it is of another model",
                "a loss_fn that uses the `model` it is given",
            )
        rows.append(_row(grads, parameters.tensors))
    return np.stack(rows)


def _row(grads: Sequence[Any], tensors: Sequence[Any]) -> np.ndarray:
    parts = []
    for grad, tensor in zip(grads, tensors, strict=True):
        if grad is None:
            parts.append(np.zeros(tensor.numel(), dtype=_numpy(tensor)))
            continue
        grad = grad.to_dense() if grad.is_sparse else grad
        parts.append(_plain(grad).reshape(-1))
    return np.concatenate(parts)


def stacked_gradients(loss: Loss, parameters: Parameters, units: Sequence[Any]) -> np.ndarray | None:
    """Gradients [n, dim] of all units at once; None where units are not tensors of one shape.

    Every unit has its own dropout. What vmap cannot do raises whatever torch raises.
    """
    flat = [tree_flatten(unit) for unit in units]
    leaves = [list(leaf) for leaf in zip(*(unit for unit, _ in flat), strict=True)]
    for leaf in leaves:
        if not all(isinstance(t, torch.Tensor) and t.shape == leaf[0].shape for t in leaf):
            return None
    batch = tree_unflatten([torch.stack(leaf) for leaf in leaves], flat[0][1])
    given = {
        f"model.{name}": tensor.detach()
        for name, tensor in zip(parameters.names, parameters.tensors, strict=True)
    }

    def one(params: dict[str, Any], unit: Any) -> Any:
        return torch.func.functional_call(loss, params, (unit,))

    grads = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0), randomness="different")(given, batch)
    return np.concatenate([_plain(grads[name]).reshape(len(units), -1) for name in given], axis=1)


def _plain(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    return (tensor if tensor.dtype == torch.float64 else tensor.float()).cpu().numpy()


def _numpy(tensor: Any) -> Any:
    return np.float64 if tensor.dtype == torch.float64 else np.float32
