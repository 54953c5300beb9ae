"""New settings as code to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from driftax._errors import DriftaxError
from driftax.scaling.ramp import Stage
from driftax.scaling.settings import Number, Settings

_TORCH = {"adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "sgd": "SGD"}
_OPTAX = {
    "adam": "adam",
    "adamw": "adamw",
    "rmsprop": "rmsprop",
    "sgd": "sgd",
    "lion": "lion",
    "signsgd": "sign_sgd",
}
LIBRARIES = ("torch", "optax", "transformers")


def snippet(library: str, settings: Settings) -> str:
    """Code that makes the optimizer with these settings.

    Raises:
        DriftaxError: where the library has no such optimizer.
    """
    return {"torch": _torch, "optax": _optax, "transformers": _transformers}[library](settings)


def _call(name: str, numbers: Mapping[str, object]) -> str:
    return f"{name}({', '.join(f'{key}={value}' for key, value in numbers.items() if value is not None)})"


def _number(value: Number | None) -> str | None:
    return None if value is None else f"{value:.6g}"


def torch_numbers(settings: Settings) -> dict[str, object]:
    """The keyword arguments of torch.optim."""
    numbers: dict[str, object] = {"lr": _number(settings.learning_rate)}
    if settings.optimizer in ("adam", "adamw"):
        numbers["betas"] = f"({_number(settings.b1)}, {_number(settings.b2)})"
    elif settings.optimizer == "rmsprop":
        numbers["alpha"] = _number(settings.b2)
    else:
        numbers["momentum"] = _number(settings.b1)
    return numbers | {"eps": _number(settings.eps), "weight_decay": _number(settings.weight_decay)}


def _torch(settings: Settings) -> str:
    name = _TORCH.get(settings.optimizer)
    own = "decoupled" if name == "AdamW" else "l2"
    if name is None or (settings.weight_decay and settings.weight_decay_form != own):
        raise _missing("torch", settings)
    arguments = ", ".join(f"{k}={v}" for k, v in torch_numbers(settings).items() if v is not None)
    return f"optimizer = torch.optim.{name}(model.parameters(), {arguments})"


def _optax(settings: Settings) -> str:
    name = _OPTAX.get(settings.optimizer)
    own = name in ("adamw", "lion") and settings.weight_decay_form == "decoupled"
    if name is None or (settings.weight_decay and not own):
        raise _missing("optax", settings)
    numbers: dict[str, object] = {"learning_rate": _number(settings.learning_rate)}
    if name == "sgd":
        numbers["momentum"] = _number(settings.b1)
    elif name == "rmsprop":
        numbers |= {"decay": _number(settings.b2), "eps": _number(settings.eps), "eps_in_sqrt": False}
    elif name != "sign_sgd":
        numbers |= {"b1": _number(settings.b1), "b2": _number(settings.b2), "eps": _number(settings.eps)}
    if own:
        numbers["weight_decay"] = _number(settings.weight_decay)
    return "optimizer = " + _call(f"optax.{name}", numbers)


def _transformers(settings: Settings) -> str:
    if settings.optimizer != "adamw" or settings.weight_decay_form != "decoupled":
        raise _missing("transformers", settings)
    numbers = {
        "per_device_train_batch_size": f"{settings.batch:g}",
        "learning_rate": _number(settings.learning_rate),
        "adam_beta1": _number(settings.b1),
        "adam_beta2": _number(settings.b2),
        "adam_epsilon": _number(settings.eps),
        "weight_decay": _number(settings.weight_decay),
    }
    return _call("TrainingArguments", numbers) + "  # on one device, without accumulation"


def _missing(library: str, settings: Settings) -> DriftaxError:
    kind = f"{settings.optimizer} with a weight decay that is {settings.weight_decay_form}"
    return DriftaxError(
        f"{kind} as code for {library}", "no such optimizer there", "the table, or another library"
    )


def ramp_snippet(stages: Sequence[Stage]) -> str:
    """Code for torch: the settings of the stage that a step is in, written to every parameter group."""
    rows = [f"    ({stage.begin}, {_dict(torch_numbers(stage.scaled.settings))})," for stage in stages]
    return "\n".join(
        [
            "STAGES = [  # first step, settings",
            *rows,
            "]",
            "",
            "",
            "def set_stage(optimizer, step):",
            '    """To be called before every step."""',
            "    numbers = [numbers for begin, numbers in STAGES if begin <= step][-1]",
            "    for group in optimizer.param_groups:  # a group without decay stays without",
            '        kept = {} if group.get("weight_decay") else {"weight_decay": 0.0}',
            "        group.update({**numbers, **kept})",
        ]
    )


def _dict(numbers: dict[str, object]) -> str:
    return "{" + ", ".join(f'"{key}": {value}' for key, value in numbers.items() if value is not None) + "}"
