"""The numbers of an optimizer that a batch size has a say in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from driftax._errors import DriftaxError

ADAPTIVE = ("adam", "adamw", "rmsprop", "rmspropw")
SIGNS = ("signsgd", "signum", "lion")
PLAIN = ("sgd",)
NAMES = (*ADAPTIVE, *SIGNS, *PLAIN)

Form = Literal["decoupled", "l2"]
Number = float | int  # people write 256, not 256.0


@dataclass(frozen=True)
class Settings:
    """An optimizer's numbers at one batch size, in the convention of torch.optim.

    Args:
        optimizer: adam(w), rmsprop(w), signsgd, signum, lion or sgd.
        learning_rate: above 0.
        batch: examples in a step, a whole number above 0.
        b1: decay of the first moment (Adam), of the average inside the sign (Lion: its weight; Signum), or the momentum
            (SGD); None where there is none.
        b2: decay of the second moment (Adam, RMSprop) or of the average (Lion); None where there is none.
        eps: beside the square root; None where there is none.
        weight_decay: 0 or more.
        weight_decay_form: "decoupled" (learning_rate * weight_decay * params beside the step) or "l2" (weight_decay *
            params inside the gradient).
    """

    optimizer: str
    learning_rate: Number
    batch: Number
    b1: Number | None = None
    b2: Number | None = None
    eps: Number | None = None
    weight_decay: Number = 0.0
    weight_decay_form: Form = "decoupled"

    def checked(self) -> Settings:
        """Itself.

        Raises:
            DriftaxError: for a number out of its range.
        """
        if self.optimizer not in NAMES:
            raise DriftaxError(
                f'optimizer = "{self.optimizer}"', "no such optimizer", "one of " + ", ".join(NAMES)
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            self._refuse("learning_rate", "a number above 0")
        if not whole(self.batch):
            self._refuse("batch", "a whole number of examples above 0")
        for name in ("b1", "b2"):
            if (value := getattr(self, name)) is not None and not 0 <= value < 1:
                self._refuse(name, "a number in [0, 1), such as 0.9")
        for name in ("eps", "weight_decay"):
            if (value := getattr(self, name)) is not None and not (math.isfinite(value) and value >= 0):
                self._refuse(name, "a number of 0 or more")
        if self.weight_decay_form not in ("decoupled", "l2"):
            self._refuse("weight_decay_form", '"decoupled" (AdamW) or "l2" (inside the gradient)')
        return self

    def _refuse(self, name: str, instead: str) -> None:
        raise DriftaxError(f"{name} of {self.optimizer}", f"{getattr(self, name)!r}", instead)

    @property
    def adaptive(self) -> bool:
        """Whether steps are divided by the root of a second moment."""
        return self.optimizer in ADAPTIVE

    @property
    def normalised(self) -> bool:
        """Whether the size of a step does not grow with the gradient."""
        return self.optimizer not in PLAIN

    @property
    def decoupled(self) -> bool:
        """Whether there is a decay beside the step."""
        return self.weight_decay > 0 and self.weight_decay_form == "decoupled"

    @property
    def memories(self) -> tuple[str, ...]:
        """The betas that are memories of so many examples; b1 inside a sign, which only knows ratios, stays."""
        given = tuple(name for name in ("b1", "b2") if getattr(self, name))
        return tuple(name for name in given if name != "b1" or self.optimizer not in ("lion", "signum"))


def whole(batch: Number) -> bool:
    """Whether it is a number of examples."""
    return math.isfinite(batch) and batch > 0 and batch == int(batch)


DEFAULTS = {
    "adam": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
    "adamw": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
    "rmsprop": {"b2": 0.99, "eps": 1e-8},
    "rmspropw": {"b2": 0.99, "eps": 1e-8},
    "lion": {"b1": 0.9, "b2": 0.99},
    "signum": {"b1": 0.9},
    "signsgd": {},
    "sgd": {},
}  # those of torch.optim and, for Lion, of its paper


def settings_of(optimizer: str, learning_rate: Number, batch: Number, **given: Any) -> Settings:
    """Settings with the defaults of torch.optim where a number is not given.

    Plain Adam, RMSprop and SGD of torch.optim have their decay inside the gradient.

    Raises:
        DriftaxError: for a number the optimizer does not have, or out of its range.
    """
    known = DEFAULTS.get(optimizer, {})
    allowed = {*known, "weight_decay", "weight_decay_form"} | ({"b1"} if optimizer == "sgd" else set())
    chosen = {name: value for name, value in given.items() if value is not None}
    for name in chosen:
        if optimizer in DEFAULTS and name not in allowed:
            raise DriftaxError(
                f"{name} of {optimizer}", "no such number", "one of " + ", ".join(sorted(allowed))
            )
    form = "l2" if optimizer in ("adam", "rmsprop", "sgd") else "decoupled"
    numbers: dict[str, Any] = {"weight_decay_form": form, **known, **chosen}
    return Settings(optimizer, learning_rate, batch, **numbers).checked()
