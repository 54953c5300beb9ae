"""Settings from what people have: a live optimizer of torch, a parameter group, or Hugging Face's TrainingArguments."""

from __future__ import annotations

import math
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


def read_groups(optimizer: Any, batch: Number | None) -> list[Settings]:
    """Settings of every parameter group of a torch optimizer, or one where all are the same; else one.

    Raises:
        DriftaxError: as `read` does.
    """
    if not hasattr(optimizer, "param_groups"):
        return [read(optimizer, batch)]
    found = [_of_group(type(optimizer).__name__.lower(), group, batch) for group in optimizer.param_groups]
    return found if any(one != found[0] for one in found) else found[:1]


def read(optimizer: Any, batch: Number | None) -> Settings:
    """Settings of anything but a torch optimizer, which may have several.

    Raises:
        DriftaxError: if a number that is needed is not there, or it is no optimizer.
    """
    if isinstance(optimizer, Settings):
        return (optimizer if batch is None else replace(optimizer, batch=batch)).checked()
    if isinstance(optimizer, Mapping):
        if any(key.startswith("adam_") or key == "per_device_train_batch_size" for key in optimizer):
            return _of_training_arguments(optimizer, batch)
        name = str(optimizer.get("optimizer", optimizer.get("name", ""))).lower()
        return _of_group(name, optimizer, optimizer.get("batch", optimizer.get("batch_size", batch)))
    raise DriftaxError(
        _ASKED,
        f"a {type(optimizer).__name__}, from which its numbers cannot be read (optax keeps them in functions)",
        'a torch optimizer, or its numbers: {"optimizer": "adamw", "lr": 1e-3, "b1": 0.9, "b2": 0.999, ...}',
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
        numbers["b1"], numbers["b2"] = _pair(betas)
    if group.get("decoupled_weight_decay"):
        numbers["weight_decay_form"] = "decoupled"
    if "learning_rate" not in numbers:
        raise DriftaxError(_ASKED, "no learning rate", '"lr" or "learning_rate"')
    if name == "sgd":
        numbers.pop("eps", None)
        numbers = {**numbers, "b1": numbers.get("b1") or None}
    return _settings(name, batch, numbers)


def _settings(name: str, batch: Any, numbers: Mapping[str, Any]) -> Settings:
    """Settings from anything that float() takes: text of a file, tensors of one number."""
    form = {key: value for key, value in numbers.items() if key == "weight_decay_form"}
    given = {
        key: _real(key, value) for key, value in numbers.items() if key not in form and value is not None
    }
    return settings_of(name, given.pop("learning_rate"), _real("batch", batch), **given, **form)


def _real(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DriftaxError(
            _ASKED,
            f"{name} = {value!r}, no number",
            f"a number; of a schedule, {name} at the step you are at",
        ) from None


def _pair(betas: Any) -> tuple[Any, Any]:
    try:
        b1, b2 = betas
    except (TypeError, ValueError):
        raise DriftaxError(_ASKED, f"betas = {betas!r}", "two of them: (0.9, 0.999)") from None
    return b1, b2


def _refuse_momentum(name: str, momentum: Any, numbers: dict[str, Any]) -> None:
    if momentum and name not in ("signum",):
        raise DriftaxError(f"{name} with momentum = {momentum}", "no rule is known for it", "momentum = 0")
    if name != "signum":
        numbers.pop("b1", None)


def _of_training_arguments(given: Mapping[str, Any], batch: Number | None) -> Settings:
    numbers = {new: given[old] for old, new in _HUGGING_FACE.items() if given.get(old) is not None}
    if batch is None:
        counts = {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 1, "world_size": 1}
        batch = math.prod(_real(key, given.get(key, usual)) for key, usual in counts.items())
    usual = {"learning_rate": 5e-5, "weight_decay": 0.0}  # its own defaults
    return _settings("adamw", batch, {**usual, **numbers})
