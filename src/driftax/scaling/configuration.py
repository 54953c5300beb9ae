"""Settings from what people have: a live optimizer of torch, a parameter group, or Hugging Face's TrainingArguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from driftax._errors import DriftaxError
from driftax.scaling.settings import NAMES, Number, Settings, settings_of

_ASKED = "the settings of an optimizer"
# TrainingArguments, where AdamW is the default.
_HUGGING_FACE = {
    "learning_rate": "learning_rate",
    "adam_beta1": "b1",
    "adam_beta2": "b2",
    "adam_epsilon": "eps",
    "weight_decay": "weight_decay",
}
_KEYS = {
    "lr": "learning_rate",
    "learning_rate": "learning_rate",
    "alpha": "b2",
    "decay": "b2",
    "momentum": "b1",
    "b1": "b1",
    "b2": "b2",
    "eps": "eps",
    "weight_decay": "weight_decay",
    "weight_decay_form": "weight_decay_form",
}


def read(optimizer: Any, batch: Number | None) -> Settings:
    """Settings of whatever was given.

    Raises:
        DriftaxError: if a number that is needed is not there, or it is no optimizer.
    """
    if isinstance(optimizer, Settings):
        return (optimizer if batch is None else replace(optimizer, batch=batch)).checked()
    if hasattr(optimizer, "param_groups"):
        return _of_group(type(optimizer).__name__.lower(), optimizer.param_groups[0], batch)
    if isinstance(optimizer, Mapping):
        if any(key.startswith("adam_") or key == "per_device_train_batch_size" for key in optimizer):
            return _of_training_arguments(optimizer, batch)
        name = str(optimizer.get("optimizer", optimizer.get("name", ""))).lower()
        return _of_group(name, optimizer, optimizer.get("batch", optimizer.get("batch_size", batch)))
    raise DriftaxError(
        _ASKED,
        f"a {type(optimizer).__name__}, from which its numbers cannot be read",
        'a torch optimizer, or a mapping: {"optimizer": "adamw", "lr": 1e-3, "betas": (0.9, 0.999), ...}',
    )


def _of_group(name: str, group: Mapping[str, Any], batch: Number | None) -> Settings:
    if name not in NAMES:
        raise DriftaxError(_ASKED, f"optimizer {name!r}" if name else "no name", "one of " + ", ".join(NAMES))
    if batch is None:
        raise DriftaxError(_ASKED, "no batch size", "batch= the examples in a step")
    numbers = {_KEYS[key]: value for key, value in group.items() if key in _KEYS and value is not None}
    if name != "sgd" and "momentum" in group:
        _refuse_momentum(name, group["momentum"], numbers)
    if betas := group.get("betas"):
        numbers["b1"], numbers["b2"] = betas
    if group.get("decoupled_weight_decay"):
        numbers["weight_decay_form"] = "decoupled"
    if "learning_rate" not in numbers:
        raise DriftaxError(_ASKED, "no learning rate", '"lr" or "learning_rate"')
    if name == "sgd":
        numbers.pop("eps", None)
        numbers = {**numbers, "b1": numbers.get("b1") or None}
    return settings_of(name, float(numbers.pop("learning_rate")), float(batch), **numbers)


def _refuse_momentum(name: str, momentum: Any, numbers: dict[str, Any]) -> None:
    if momentum and name not in ("signum",):
        raise DriftaxError(f"{name} with momentum = {momentum}", "no rule is known for it", "momentum = 0")
    if name != "signum":
        numbers.pop("b1", None)


def _of_training_arguments(given: Mapping[str, Any], batch: Number | None) -> Settings:
    numbers = {new: given[old] for old, new in _HUGGING_FACE.items() if given.get(old) is not None}
    if batch is None:
        each = given.get("per_device_train_batch_size", 8)
        batch = each * given.get("gradient_accumulation_steps", 1) * given.get("world_size", 1)
    rate = numbers.pop("learning_rate", 5e-5)  # its own default
    return settings_of("adamw", float(rate), float(batch), **{"weight_decay": 0.0, **numbers})
