"""`NoiseCallback` for the Trainer of transformers, which is imported on first use.

Example:
    >>> from driftax.torch.transformers import NoiseCallback  # doctest: +SKIP
    >>> callback = NoiseCallback(budget="5%", report=lambda found, step: wandb.log(found))  # doctest: +SKIP
    >>> Trainer(model=model, ..., callbacks=[callback]).train()  # doctest: +SKIP
    >>> print(callback.probe.result().table())  # doctest: +SKIP
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

from driftax._errors import DriftaxError

_PREFIX = "driftax/"


def __getattr__(name: str) -> Any:
    if name != "NoiseCallback":
        raise AttributeError(f"module 'driftax.torch.transformers' has no attribute {name!r}")
    return _class()


def model_loss(model: Any, batch: Any) -> Any:
    """The loss a model of transformers computes itself, where the batch has labels."""
    return model(**batch).loss


@functools.cache
def _class() -> type:
    """The callback class, whose base is a class of transformers."""
    base = _base()

    class NoiseCallback(base):  # type: ignore[valid-type,misc]
        """Measures gradient noise while a Trainer trains; the numbers go into its `log_history`.

        Args:
            loss_fn: of (model, batch), the mean loss over the batch; `model(**batch).loss` if left out.
            report: given the numbers and the step, for a logger of your own.
            options: of `NoiseProbe` (every, budget, units, ...).

        Attributes:
            probe: the `NoiseProbe`, from the start of training on.
        """

        def __init__(
            self,
            loss_fn: Callable[[Any, Any], Any] | None = None,
            report: Callable[[dict[str, float], int], None] | None = None,
            **options: Any,
        ):
            self.loss_fn, self.report, self.options = loss_fn or model_loss, report, options
            self.probe: Any = None

        def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            from driftax.torch import NoiseProbe

            # All processes share a step.
            together = args.gradient_accumulation_steps * args.world_size
            options = {"optimizer": given.get("optimizer"), "accumulate": together, **self.options}
            self.probe = NoiseProbe(given["model"], self.loss_fn, given["train_dataloader"], **options)

        def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
            found = self.probe.step()
            if found is None:
                return
            named = {_PREFIX + key: value for key, value in found.items()}
            state.log_history.append({"step": state.global_step, **named})
            if self.report is not None:
                self.report(named, state.global_step)

    return NoiseCallback


def _base() -> Any:
    try:
        return importlib.import_module("transformers").TrainerCallback
    except ImportError as error:
        raise DriftaxError(
            "driftax.torch.transformers.NoiseCallback",
            f"no transformers in this environment ({error})",
            "pip install transformers, or driftax.torch.NoiseProbe in a loop of your own",
        ) from None
