r"""The preconditioner of an optimizer, and the curvature at which it turns unstable.

Adam divides by `sqrt(v / (1 - b2^t)) + eps`, RMSprop by `sqrt(v) + eps`; different learning rates of groups are
part of the preconditioner, so that one edge holds for all.

Source: cohen2022, eq. (3).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from driftax.measurement.curvature import stability_edge
from driftax.torch.parameters import Parameters


class Edge(NamedTuple):
    """Where an optimizer turns unstable.

    Args:
        curvature: largest eigenvalue of P^-1/2 H P^-1/2 that is stable on a quadratic.
        scale: the diagonal P [dim]; None if it is 1.
    """

    curvature: float
    scale: np.ndarray | None


def bare(optimizer: Any) -> Any:
    """The optimizer inside the wrappers of accelerate and Lightning."""
    while hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer
    return optimizer


def optimizer_edge(optimizer: Any, parameters: Parameters) -> Edge | None:
    """The edge of SGD, RMSprop, Adam and AdamW; None for others, before their first step, and for mixed betas.

    Args:
        optimizer: of torch; read, not changed.
        parameters: in whose order the diagonal is.
    """
    optimizer = bare(optimizer)
    kind = type(optimizer).__name__
    if kind not in ("SGD", "RMSprop", "Adam", "AdamW"):
        return None
    of_param = {id(param): group for group in optimizer.param_groups for param in group["params"]}
    groups = [of_param[id(tensor)] for tensor in parameters.tensors]
    rates = [float(group["lr"]) for group in groups]
    momenta = {_momentum(kind, group) for group in groups}
    unusual = any(
        group.get(flag) for group in groups for flag in ("amsgrad", "centered", "maximize", "dampening")
    )
    if len(momenta) > 1 or unusual or min(rates) <= 0:
        return None
    parts = []
    for tensor, group, rate in zip(parameters.tensors, groups, rates, strict=True):
        diagonal = _diagonal(kind, optimizer.state.get(tensor), group, tensor.numel())
        if diagonal is None:
            return None
        parts.append(diagonal * rates[0] / rate)
    scale = np.concatenate(parts)
    momentum, nesterov = momenta.pop()
    edge = stability_edge(rates[0], momentum, averaged=kind in ("Adam", "AdamW"), nesterov=nesterov)
    return Edge(edge, None if np.all(scale == 1) else scale)


def _momentum(kind: str, group: dict[str, Any]) -> tuple[float, bool]:
    if kind in ("Adam", "AdamW"):
        return float(group["betas"][0]), False
    return float(group["momentum"]), bool(group.get("nesterov", False))


def _diagonal(kind: str, state: Any, group: dict[str, Any], size: int) -> np.ndarray | None:
    if kind == "SGD":
        return np.ones(size)
    key = "square_avg" if kind == "RMSprop" else "exp_avg_sq"
    if not state or key not in state:
        return None
    second = state[key].detach().double().cpu().numpy().reshape(-1)
    if kind != "RMSprop":
        second = second / -np.expm1(float(state["step"]) * np.log(float(group["betas"][1])))
    diagonal = np.sqrt(second) + float(group["eps"])
    return diagonal if np.all(diagonal > 0) else None
