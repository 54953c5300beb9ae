"""Products with the Hessian of the loss over chunks of the examples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from driftax._errors import DriftaxError
from driftax.measurement.krylov import Product
from driftax.torch.parameters import Parameters
from driftax.torch.passes import Loss


def hessian_product(loss: Loss, parameters: Parameters, batches: Sequence[Any], seed: int) -> Product:
    """The product with the Hessian of the mean loss over some batches; the same dropout in every call.

    Args:
        loss: of a batch.
        parameters: by which it is differentiated.
        batches: of the chunk.
        seed: of the randomness of a pass.
    """

    def product(vector: np.ndarray) -> np.ndarray:
        seed_torch(seed)
        parts = _split(vector, parameters.tensors)
        try:
            total = _twice(loss, parameters.tensors, batches, parts)
        except (RuntimeError, NotImplementedError) as error:
            raise DriftaxError(
                "the curvature of the loss",
                f"a loss that cannot be differentiated twice ({str(error).splitlines()[0][:120]})",
                "curvature=False, or layers with second derivatives (dense embeddings, use_reentrant=False)",
            ) from error
        return total / len(batches)

    return product


def _twice(loss: Loss, tensors: Sequence[Any], batches: Sequence[Any], parts: Sequence[Any]) -> np.ndarray:
    total: Any = 0.0
    # The fused attention kernels have no second derivative.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        for batch in batches:
            grads = torch.autograd.grad(loss(batch), tensors, create_graph=True, allow_unused=True)
            pairs = [(g, v) for g, v in zip(grads, parts, strict=True) if g is not None and g.requires_grad]
            if not pairs:  # a loss that is linear in the parameters
                total = total + np.zeros(sum(t.numel() for t in tensors))
                continue
            along = torch.stack([(g * v).sum() for g, v in pairs]).sum()
            second = torch.autograd.grad(along, tensors, allow_unused=True)
            rows = [
                torch.zeros(t.numel(), dtype=torch.float64) if h is None else h.double().cpu().reshape(-1)
                for h, t in zip(second, tensors, strict=True)
            ]
            total = total + torch.cat(rows).numpy()
    return total


def _split(vector: np.ndarray, tensors: Sequence[Any]) -> list[Any]:
    parts, place = [], 0
    for tensor in tensors:
        values = torch.from_numpy(vector[place : place + tensor.numel()]).reshape(tensor.shape)
        parts.append(values.to(tensor))
        place += tensor.numel()
    return parts


def seed_torch(seed: int) -> None:
    """Seeds torch's generators; CUDA's only where it is in use, since a seed is otherwise kept for later."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
