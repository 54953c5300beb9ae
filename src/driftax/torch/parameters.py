"""The parameters that are measured, in groups, one after the other."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from driftax._errors import DriftaxError

_ASKED = "NoiseProbe(model, ...)"


class Parameters(NamedTuple):
    """Trained parameters in the order of their groups; tied ones once, frozen ones not at all.

    Args:
        names: in the model.
        tensors: the parameters themselves.
        groups: per group, where it stands among all numbers.
        dim: how many numbers there are.
    """

    names: list[str]
    tensors: list[Any]
    groups: dict[str, slice]
    dim: int


def unwrapped(model: Any) -> Any:
    """The module inside DataParallel, DistributedDataParallel and torch.compile.

    Raises:
        DriftaxError: for what is no module, or is sharded.
    """
    if not isinstance(model, torch.nn.Module):
        raise DriftaxError(_ASKED, f"a {type(model).__name__}, which is not a torch.nn.Module", "a module")
    wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while isinstance(model, wrappers) or hasattr(model, "_orig_mod"):
        model = model.module if isinstance(model, wrappers) else model._orig_mod
    for module in model.modules():
        if type(module).__name__.startswith(("FullyShardedDataParallel", "FSDP", "DeepSpeedEngine")):
            found = f"{type(module).__name__}: no process has the whole gradient of an example"
            raise DriftaxError(_ASKED, found, "a measurement of a checkpoint, loaded whole in one process")
    return model


def parameters_of(model: Any, optimizer: Any = None) -> Parameters:
    """Groups of the optimizer (by their `name`, else `group 0` and so on), or of top-level modules.

    Args:
        model: unwrapped.
        optimizer: whose parameters are measured; all trained ones if left out.

    Raises:
        DriftaxError: if nothing is trained, or something cannot be measured.
    """
    named = {}
    for name, param in model.named_parameters():  # tied ones appear once
        if isinstance(param, torch.nn.parameter.UninitializedParameter):
            raise DriftaxError(
                _ASKED, f"{name}, which has no shape yet", "one forward pass before the probe is made"
            )
        if not param.requires_grad:
            continue
        if param.is_complex():
            raise DriftaxError(
                _ASKED, f"{name}, a complex parameter", "its real and imaginary parts as two real parameters"
            )
        if type(param.data).__name__ == "DTensor" or hasattr(param, "ds_id"):
            raise DriftaxError(
                _ASKED,
                f"{name}, of which this process has a shard",
                "a measurement of a checkpoint, loaded whole in one process",
            )
        named[name] = param
    grouped = _by_module(named) if optimizer is None else _by_optimizer(named, optimizer)
    if not grouped:
        raise DriftaxError(_ASKED, "no parameter with requires_grad=True", "a model with parameters to train")
    names, groups, place = [], {}, 0
    for group, members in grouped.items():
        size = sum(named[name].numel() for name in members)
        groups[group] = slice(place, place + size)
        place += size
        names += members
    return Parameters(names, [named[name] for name in names], groups, place)


def _by_module(named: dict[str, Any]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in named:
        top, dot, _ = name.partition(".")
        groups.setdefault(top if dot else "(own)", []).append(name)
    return groups


def _by_optimizer(named: dict[str, Any], optimizer: Any) -> dict[str, list[str]]:
    if not hasattr(optimizer, "param_groups"):
        found = f"optimizer = a {type(optimizer).__name__} without param_groups"
        raise DriftaxError(_ASKED, found, "the torch.optim optimizer of the loop")
    names = {id(param): name for name, param in named.items()}
    groups: dict[str, list[str]] = {}
    for number, group in enumerate(optimizer.param_groups):
        trained = [param for param in group["params"] if param.requires_grad]
        missing = [param for param in trained if id(param) not in names]
        if missing:
            raise DriftaxError(
                "NoiseProbe(model, ..., optimizer=...)",
                f"{len(missing)} parameter(s) of parameter group {number} that are not in the model "
                f"(the first of shape {list(missing[0].shape)})",
                "a module that holds all of them: torch.nn.ModuleList([model, head]) with a loss_fn that uses both",
            )
        label = str(group.get("name", f"group {number}"))
        label = f"{label} ({number})" if label in groups or label == "total" else label
        if trained:
            groups[label] = [names[id(param)] for param in trained]
    return groups
