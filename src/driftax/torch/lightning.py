"""`NoiseCallback` for Lightning's Trainer; Lightning is imported on first use.

Example:
    >>> from driftax.torch.lightning import NoiseCallback  # doctest: +SKIP
    >>> callback = NoiseCallback(loss_fn, budget="5%")  # doctest: +SKIP
    >>> Trainer(callbacks=[callback]).fit(module)  # doctest: +SKIP
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
        raise AttributeError(f"module 'driftax.torch.lightning' has no attribute {name!r}")
    return _class()


@functools.cache
def _class() -> type:
    """The callback class, whose base is a class of Lightning."""
    base = _base()

    class NoiseCallback(base):  # type: ignore[valid-type,misc]
        """Measures gradient noise while Lightning trains, and logs it under `driftax/`.

        Args:
            loss_fn: of (module, batch), the mean loss over the batch. It must not call `self.log`: a training_step
                that does would be logged once more for every example.
            options: of `NoiseProbe` (every, budget, units, ...).

        Attributes:
            probe: the `NoiseProbe`, from the start of training on.
        """

        def __init__(self, loss_fn: Callable[[Any, Any], Any], **options: Any):
            super().__init__()
            self.loss_fn, self.options = loss_fn, options
            self.probe: Any = None
            self._steps = 0

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            from driftax.torch import NoiseProbe

            optimizer = trainer.optimizers[0] if len(trainer.optimizers) == 1 else None
            # All processes share a step.
            together = trainer.accumulate_grad_batches * trainer.world_size
            given = {"optimizer": optimizer, "accumulate": together, **self.options}
            self.probe = NoiseProbe(pl_module, self.loss_fn, trainer.train_dataloader, **given)
            self._steps = trainer.global_step

        def on_train_batch_end(
            self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
        ) -> None:
            if trainer.global_step == self._steps:
                return  # gradients are still accumulated
            self._steps = trainer.global_step
            found = self.probe.step()
            if found is not None:
                named = {_PREFIX + key: value for key, value in found.items()}
                for logger in trainer.loggers:
                    logger.log_metrics(named, step=trainer.global_step)

    return NoiseCallback


def _base() -> Any:
    for name in ("lightning.pytorch", "pytorch_lightning"):
        try:
            return importlib.import_module(name).Callback
        except ImportError:
            continue
    raise DriftaxError(
        "driftax.torch.lightning.NoiseCallback",
        "neither lightning nor pytorch_lightning in this environment",
        "pip install lightning, or driftax.torch.NoiseProbe in a loop of your own",
    )
