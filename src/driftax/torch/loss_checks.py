"""Is loss_fn the mean over the examples of a batch? Found out before its gradients are trusted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from driftax._errors import DriftaxError

_ASKED = "loss_fn(model, batch), the mean loss over the batch"
_DIFFERS = 1e-4  # relative; rounding is far below


def check_value(value: Any, count: int) -> None:
    """Refuses what is not one differentiable number.

    Args:
        value: what loss_fn returned.
        count: of the examples in the batch.
    """
    if not isinstance(value, torch.Tensor):
        attribute = getattr(value, "loss", None)
        if isinstance(attribute, torch.Tensor):
            raise DriftaxError(
                _ASKED, f"a {type(value).__name__}", "lambda model, batch: loss_fn(model, batch).loss"
            )
        raise DriftaxError(
            _ASKED, f"a {type(value).__name__}, not a tensor", "a loss_fn that returns the loss"
        )
    if value.numel() != 1:
        what = f"a vector of {value.numel()} losses" if value.numel() == count else "no single number"
        raise DriftaxError(
            _ASKED,
            f"a tensor of shape {list(value.shape)}: {what}",
            "lambda model, batch: loss_fn(model, batch).mean()",
        )
    if not value.requires_grad:
        raise DriftaxError(
            _ASKED,
            "a number that does not depend on the trained parameters (detached, or of another model)",
            "a loss_fn that uses the `model` it is given, without .item(), .detach() or torch.no_grad()",
        )
    if not bool(torch.isfinite(value).all()):
        raise DriftaxError(_ASKED, f"a loss of {value.item()}", "params at which the loss is finite")


def check_graph(value: Any) -> None:
    """Refuses reentrant checkpoints: asked for gradients, they leave out the parameters inside without a word.

    Args:
        value: what loss_fn returned.
    """
    seen, level = set(), [value.grad_fn]
    while level:
        node = level.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name() == "CheckpointFunctionBackward":
            raise DriftaxError(
                "gradients through a checkpointed model",
                "reentrant checkpoints, which only backward() can differentiate, and that would write to .grad",
                "torch.utils.checkpoint.checkpoint(..., use_reentrant=False)",
            )
        level += [following for following, _ in node.next_functions]


def check_is_mean(
    losses: Sequence[float], together: float, twice: float, once: float, whole_batch: bool
) -> None:
    """Compares losses of parts with that of the whole.

    Args:
        losses: of two halves of a batch.
        together: of the batch.
        twice: of the first half with every example twice.
        once: of the first half.
        whole_batch: units are batches of the training loop, so that a loss of the whole batch is welcome.

    Raises:
        DriftaxError: for a sum, and for a loss that needs the whole batch.
    """
    size = max(abs(once), abs(together), 1e-30)
    if abs(once) > 1e-12 and abs(twice - 2 * once) <= _DIFFERS * abs(once):
        raise DriftaxError(
            _ASKED,
            f"a sum: {once:.6g} for a batch, {twice:.6g} for the same batch twice",
            "the mean: reduction='mean' in the loss, or loss_fn(model, batch) / len(batch)",
        )
    mean = sum(losses) / len(losses)
    if not whole_batch and abs(mean - together) > _DIFFERS * max(size, *map(abs, losses)):
        raise DriftaxError(
            _ASKED,
            f"{together:.6g} for a batch, {mean:.6g} for the mean over its two halves: the loss of an example "
            "depends on the others (a contrastive loss, class weights, padded tokens, ...)",
            "NoiseProbe(..., unit='batch'), whose units are batches of the training loop",
        )


def check_modes(model: Any, mode: str, unit_size: int, batch_size: int | None) -> None:
    """Refuses BatchNorm in training on other batches than those of the loop, and a model in the wrong mode.

    Raises:
        DriftaxError: with the two ways out.
    """
    if mode == "train" and not model.training:
        raise DriftaxError(
            "the gradient noise of training",
            "the model in eval mode: no dropout, BatchNorm by its running averages",
            "model.train() before the measurement, or NoiseProbe(..., mode='eval') for the noise in eval mode",
        )
    if mode == "eval" or (unit_size == batch_size and unit_size > 1):
        return
    kinds = torch.nn.modules.batchnorm._BatchNorm
    # Without running averages it uses those of the batch in eval mode as well.
    active = [name for name, module in model.named_modules() if isinstance(module, kinds) and module.training]
    if active:
        what = "one example" if unit_size == 1 else f"{unit_size} examples"
        raise DriftaxError(
            f"the gradient of {what}",
            f"{len(active)} BatchNorm layer(s) in training ({active[0]}): an example's gradient depends on the "
            "batch it is in",
            f"NoiseProbe(..., unit='batch') for batches of the training size ({batch_size}), or mode='eval' for "
            "running averages",
        )
