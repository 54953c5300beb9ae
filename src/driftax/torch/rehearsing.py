"""A rehearsal from a checkpoint: short continuations by SVAG beside the optimizer's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from driftax._errors import DriftaxError
from driftax.advice.rehearsal import (
    Rehearsal,
    at_factor,
    check_numbers,
    equation_of,
    looks_of,
    rehearsal,
    weights_of,
)
from driftax.scaling.configuration import read_groups
from driftax.scaling.settings import Settings
from driftax.torch.examples import Examples, examples_of
from driftax.torch.loss_checks import check_value
from driftax.torch.optimizer_edge import bare
from driftax.torch.parameters import unwrapped
from driftax.torch.passes import to_device
from driftax.torch.preserved import preserved

_ASKED = "svag_check(model, loss_fn, loader, optimizer)"
_SECOND_MOMENTS = ("exp_avg_sq", "square_avg")  # grow like the noise


def svag_check(
    model: Any,
    loss_fn: Callable[[Any, Any], Any],
    loader: Any,
    optimizer: Any,
    *,
    batch: int | None = None,
    steps: int = 50,
    factors: Sequence[int] = (2, 4),
    members: int = 8,
    looked_at: int = 512,
    tolerance: float = 0.1,
    seed: int = 0,
    progress: Callable[[float, str], None] | None = None,
) -> Rehearsal:
    """Whether the equation of the optimizer is valid at this checkpoint, by copies that train for a short while.

    A copy with factor m takes m steps for one, each by the optimizer's rule for a batch 1/m as large (the linear
    rule of SGD, the square-root rule with decay of RMSprop and Adam) and with `a g + b g'` of two batches for a
    gradient, whose noise is m times as large. All of it is done on copies: model, optimizer, loader and random
    generators stay as they are. Examples are drawn with replacement, and gradients are not clipped.

    It costs `members * steps * (1 + 2 * sum(factors))` gradients.

    Args:
        model: at the checkpoint; in the mode it trains in.
        loss_fn: of (model, batch), the mean loss over the batch.
        loader: the DataLoader of the loop, or a list of batches of tensors.
        optimizer: of torch, with its state: SGD, RMSprop, Adam or AdamW.
        batch: examples in a step; the loader's batch size if left out.
        steps: of the optimizer, at its learning rate of now.
        factors: of SVAG, each 2 or more.
        members: continuations of each, 4 or more.
        looked_at: examples on which losses are compared, in eval mode.
        tolerance: largest distance of a valid equation, over range and spread of the loss.
        seed: of the batches.
        progress: told the share that is done.

    Raises:
        DriftaxError: for optimizers with no rule, and numbers out of range.

    Example:
        >>> print(svag_check(model, loss_fn, loader, optimizer))  # doctest: +SKIP

    Source: li2021, Algorithm 1; malladi2022 (RMSprop and Adam).
    """
    check_numbers(_ASKED, steps, factors, members, batch, looked_at, tolerance, seed)
    model, examples = unwrapped(model), examples_of(loader)
    size = batch or examples.batch_size
    if size is None:
        raise DriftaxError(_ASKED, "a loader without a batch size", "batch= the examples in a step")
    optimizer = bare(optimizer)
    equation = equation_of(_ASKED, _rules(optimizer, size)[0])
    held = {id(param) for param in model.parameters()}
    trained = [param for group in optimizer.param_groups for param in group["params"]]
    if any(id(param) not in held for param in trained):
        raise DriftaxError(
            _ASKED, "parameters of the optimizer that are not in the model", "a module that holds all of them"
        )
    looks = looks_of(steps)
    all_factors = [1, *sorted(set(factors))]
    losses = {m: np.zeros((members, len(looks))) for m in all_factors}
    whole, done = members * sum(all_factors), 0
    with preserved(model, examples.source), torch.inference_mode(False), torch.enable_grad():
        for param in trained:
            param.grad = None  # what is there must not be added to; `preserved` puts it back
        run = _Run(model, loss_fn, examples, optimizer, size, min(looked_at, examples.count), seed)
        for member in range(members):
            for m in all_factors:
                losses[m][member] = run.continued(m, member, looks)
                done += m
                if progress is not None:
                    progress(done / whole, f"member {member + 1} of {members}, factor {m}")
    return rehearsal(losses, looks, tolerance, equation=equation)


class _Run:
    """Continuations of one checkpoint."""

    def __init__(
        self,
        model: Any,
        loss_fn: Any,
        examples: Examples,
        optimizer: Any,
        batch: int,
        looked_at: int,
        seed: int,
    ):
        self.model, self.loss_fn, self.examples, self.optimizer = model, loss_fn, examples, optimizer
        self.batch, self.seed = batch, seed
        self.device = next(model.parameters()).device
        random = np.random.default_rng([seed, 0])
        self.fixed = self._fetch(random.choice(examples.count, looked_at, replace=False))
        self._try()

    def _try(self) -> None:
        """One gradient on a copy.

        Raises:
            DriftaxError: for a loss that is no number of the copy's parameters.
        """
        model = self._copied()[0]
        index = self.examples.draw(np.random.default_rng([self.seed, 1]), 1, self.batch, True)[0]
        value = self.loss_fn(model, self._fetch(index))
        check_value(value, self.batch)
        value.backward()
        if all(param.grad is None for param in model.parameters()):
            found = "a loss in which no parameter of the model it is given occurs"
            raise DriftaxError(_ASKED, found, "a loss_fn(model, batch) that uses its `model`")

    def _copied(self) -> tuple[Any, Any]:
        try:
            return copy.deepcopy((self.model, self.optimizer))
        except Exception as error:
            words = f"{type(error).__name__}: {str(error).splitlines()[0][:150]}"
            raise DriftaxError(
                f"{_ASKED}, which copies both", words, "a model that copy.deepcopy can copy"
            ) from error

    def continued(self, factor: int, member: int, looks: np.ndarray) -> np.ndarray:
        """The losses of one copy at the looks [look]."""
        model, optimizer = self._copied()
        _scaled(optimizer, self.batch, factor)
        random = np.random.default_rng([self.seed, factor, member + 1])
        torch.manual_seed(int(random.integers(2**62)))  # of dropout
        shares = weights_of(factor)
        found = [self._loss(model)]
        for step in range(1, factor * int(looks[-1]) + 1):
            optimizer.zero_grad()
            for share in shares:
                index = self.examples.draw(random, 1, self.batch, True)[0]
                (share * self.loss_fn(model, self._fetch(index))).backward()
            optimizer.step()
            if step % factor == 0 and step // factor in looks:
                found.append(self._loss(model))
        return np.array(found)

    def _loss(self, model: Any) -> float:
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        with torch.no_grad():
            value = float(self.loss_fn(model, self.fixed))
        for module, mode in modes:
            module.training = mode
        return value

    def _fetch(self, index: np.ndarray) -> Any:
        return to_device(self.examples.fetch([int(i) for i in index]), self.device)


def _rules(optimizer: Any, batch: int) -> list[Settings]:
    """The settings of every parameter group.

    Raises:
        DriftaxError: for flags of which no such ladder is known.
    """
    groups = read_groups(optimizer, batch)
    name = groups[0].optimizer
    flags = [
        flag
        for group in optimizer.param_groups
        for flag in ("amsgrad", "centered", "nesterov")
        if group.get(flag)
    ]
    if flags:
        raise DriftaxError(
            f"{_ASKED} of {name}",
            f"{flags[0]}=True, of which no rehearsal is known",
            f"{flags[0]}=False in the run",
        )
    return groups * len(optimizer.param_groups) if len(groups) == 1 else groups


def _scaled(optimizer: Any, batch: int, factor: int) -> None:
    """The optimizer 1/factor of a step at a time, with its state in the units of that, in place."""
    for group, settings in zip(optimizer.param_groups, _rules(optimizer, batch), strict=True):
        new = at_factor(settings, factor)
        group["lr"], group["weight_decay"] = new.learning_rate, new.weight_decay
        if "betas" in group:
            group["betas"] = (new.b1, new.b2)
        if "alpha" in group:
            group["alpha"] = new.b2
        if "eps" in group:
            group["eps"] = new.eps
    for state in optimizer.state.values():
        if "step" in state:  # bias corrections stay what they were
            state["step"] = state["step"] * factor
        for name in _SECOND_MOMENTS:
            if name in state:
                state[name].mul_(factor)
