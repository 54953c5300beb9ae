"""One measurement of a torch model: draw, check, differentiate, estimate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from driftax._errors import DriftaxError
from driftax.measurement._value import Measurement
from driftax.measurement.curvature_result import Curvature, curvature_of
from driftax.measurement.estimate import estimate
from driftax.measurement.units import units_of
from driftax.torch.examples import Examples
from driftax.torch.hessian import hessian_product, seed_torch
from driftax.torch.loss_checks import check_graph, check_is_mean, check_modes, check_value
from driftax.torch.optimizer_edge import bare, optimizer_edge
from driftax.torch.parameters import Parameters
from driftax.torch.passes import Loss, gradient_rows, stacked_gradients, to_device
from driftax.torch.preserved import preserved

_CHUNKS = 8  # of the examples, for curvature
_AGREES = 1e-3  # of the norm of a gradient, between vmap and one pass


@dataclass(frozen=True)
class Settings:
    """What a probe was asked for (see `NoiseProbe`)."""

    units: int
    unit_size: int
    batch: int
    whole_batch: bool
    mode: str
    replace: bool
    tails: bool
    curvature: bool
    pass_size: int
    max_memory: int


class Found:
    """What the first measurement found out about model, loss and data.

    Args:
        random: examples or losses change from one look to the next: dropout, augmentation.
        stacked: vmap gives the gradients; else they are taken unit by unit.
        why: the reason for unit by unit.
    """

    def __init__(self, random: bool, stacked: bool, why: str):
        self.random, self.stacked, self.why = random, stacked, why


class Measuring:
    """One model, loss and data set, measured time and again.

    Args:
        model: unwrapped.
        loss_fn: of (model, batch).
        examples: to draw from.
        optimizer: of the loop, or None.
        parameters: to measure.
        settings: of the probe.
    """

    def __init__(
        self,
        model: Any,
        loss_fn: Any,
        examples: Examples,
        optimizer: Any,
        parameters: Parameters,
        settings: Settings,
    ):
        self.model, self.examples, self.optimizer = model, examples, optimizer
        self.parameters, self.settings = parameters, settings
        self.loss_fn = loss_fn
        self.found: Found | None = None

    def __call__(self, generator: np.random.Generator) -> Measurement:
        """Measures at the params as they are; what it changes is for the caller to restore (`preserved`).

        Args:
            generator: that of the probe.
        """
        asked = self.settings
        _check_memory(asked, self.parameters)
        check_modes(self.model, asked.mode, asked.unit_size, self.examples.batch_size)
        with torch.inference_mode(False), torch.enable_grad():
            seed = int(generator.integers(2**31))
            random.seed(seed)
            np.random.seed(seed)
            seed_torch(seed)
            if asked.mode == "eval":
                self.model.eval()
            loss = _wrapped(self.model, self.loss_fn)
            if self.found is None:
                self.found = self._find_out(loss, generator)
            # Finite-population factors hold for examples that are what they were when they are met again.
            replace = asked.replace or self.found.random or self.examples.weights is not None
            index = self.examples.draw(generator, asked.units, asked.unit_size, replace)
            gradients = self._gradients(loss, index)
            data_size = None if replace else self.examples.count
            curvature = self._curvature(loss, index, gradients, data_size, seed) if asked.curvature else None
        rows = {name: gradients[:, part] for name, part in self.parameters.groups.items()}
        flat = np.concatenate(
            [tensor.detach().cpu().double().flatten() for tensor in self.parameters.tensors]
        )
        params = {name: flat[part] for name, part in self.parameters.groups.items()}
        units = units_of(rows, params=params, unit_size=asked.unit_size, data_size=data_size)
        return estimate(
            units,
            batch=asked.batch,
            tails=asked.tails,
            curvature=curvature,
            provenance=self._provenance(seed),
        )

    def _fetch(self, index: np.ndarray | Sequence[int]) -> Any:
        return to_device(self.examples.fetch([int(i) for i in index]), self.parameters.tensors[0].device)

    def _gradients(self, loss: Loss, index: np.ndarray) -> np.ndarray:
        """Gradients [units, dim] in the order of the groups."""
        assert self.found is not None
        dtype = np.result_type(*{_dtype(tensor) for tensor in self.parameters.tensors})
        result = np.empty((len(index), self.parameters.dim), dtype)
        at_once = max(1, self.settings.pass_size // self.settings.unit_size) if self.found.stacked else 1
        for start in range(0, len(index), at_once):
            part = [self._fetch(row) for row in index[start : start + at_once]]
            rows = stacked_gradients(loss, self.parameters, part) if self.found.stacked else None
            result[start : start + len(part)] = (
                gradient_rows(loss, self.parameters, part) if rows is None else rows
            )
        return result

    def _find_out(self, loss: Loss, generator: np.random.Generator) -> Found:
        """Checks the loss, and finds the way its gradients are to be had."""
        size = self.settings.unit_size
        index = self.examples.draw(generator, 2, size, True)
        unit, again = self._fetch(index[0]), self._fetch(index[0])
        value = loss(unit)
        check_value(value, size)
        check_graph(value)
        changing = not _equal(unit, again)
        moving = changing or not torch.equal(value.detach(), loss(again).detach())
        if not changing:
            self._check_mean(loss, generator)
        units = [unit, self._fetch(index[1])]
        direct = gradient_rows(loss, self.parameters, units)
        if size > 1 and size >= self.settings.pass_size:
            return Found(moving, False, "units as large as a pass")
        try:
            stacked = stacked_gradients(loss, self.parameters, units)
        except Exception as error:  # whatever torch.func cannot do
            return Found(moving, False, f"{type(error).__name__}: {str(error).splitlines()[0][:150]}")
        if stacked is None:
            return Found(moving, False, "units that are not tensors of one shape")
        differs = np.linalg.norm(stacked - direct) > _AGREES * np.linalg.norm(direct) + 1e-12
        if not moving and differs:
            return Found(moving, False, "vmap gives other gradients than a pass of one unit")
        return Found(moving, True, "")

    def _check_mean(self, loss: Loss, generator: np.random.Generator) -> None:
        """Compares batches in eval mode, where nothing is random."""
        half = max(1, min(8, self.examples.count // 2))
        first, second = self.examples.draw(generator, 2, half, self.examples.count < 2 * half).tolist()
        with preserved(self.model), torch.no_grad():
            self.model.eval()

            def of(index: list[int]) -> float:
                return float(loss(self._fetch(index)))

            once = of(first)
            if of(first) != once:
                return  # random even now: there is nothing to compare
            check_is_mean(
                [once, of(second)], of(first + second), of(first + first), once, self.settings.whole_batch
            )

    def _curvature(
        self, loss: Loss, index: np.ndarray, gradients: np.ndarray, data_size: int | None, seed: int
    ) -> Curvature:
        chunks = np.arange(len(index)) * min(_CHUNKS, len(index) // 2) // len(index)
        products = []
        for chunk in range(chunks[-1] + 1):
            rows = index[chunks == chunk]
            # The mean loss over the chunk in one batch, unless a loss of batches is what is measured.
            parts = rows if self.settings.whole_batch else rows.reshape(1, -1)
            products.append(
                hessian_product(loss, self.parameters, [self._fetch(row) for row in parts], seed + chunk)
            )
        edge = optimizer_edge(self.optimizer, self.parameters) if self.optimizer is not None else None
        return curvature_of(
            products,
            gradients,
            chunks,
            self.parameters.groups,
            scale=None if edge is None else edge.scale,
            edge=None if edge is None else edge.curvature,
            unit_size=self.settings.unit_size,
            data_size=data_size,
            batch=self.settings.batch,
            seed=seed,
        )

    def _provenance(self, seed: int) -> dict[str, str | int | float]:
        assert self.found is not None
        return {
            "framework": f"torch {torch.__version__}",
            "model": type(self.model).__name__,
            "training_mode": self.settings.mode,  # `mode` would be taken for the mode of the file
            "gradients": "vmap" if self.found.stacked else f"unit by unit ({self.found.why})",
            "random": "yes" if self.found.random else "no",
            "seed": seed,
            **_of_optimizer(self.optimizer),
        }


def _of_optimizer(optimizer: Any) -> dict[str, str | int]:
    if optimizer is None:
        return {}
    optimizer = bare(optimizer)
    groups = optimizer.param_groups
    return {
        "optimizer": type(optimizer).__name__,
        "nesterov": int(any(group.get("nesterov") for group in groups)),
        "learning_rates": len({float(group["lr"]) for group in groups}),
    }


def _wrapped(model: Any, loss_fn: Any) -> Loss:
    loss = Loss(model, loss_fn)
    loss.training = model.training
    return loss


def _dtype(tensor: Any) -> type:
    return np.float64 if tensor.dtype == torch.float64 else np.float32


def _equal(one: Any, other: Any) -> bool:
    pairs = zip(tree_leaves(one), tree_leaves(other), strict=True)
    return all(torch.equal(a, b) if isinstance(a, torch.Tensor) else True for a, b in pairs)


def _check_memory(settings: Settings, parameters: Parameters) -> None:
    each = sum(tensor.numel() * _dtype(tensor)(0).nbytes for tensor in parameters.tensors)
    if settings.units * each > settings.max_memory:
        fits = settings.max_memory // each
        instead = f"max_memory={settings.units * each} (bytes)"
        if fits >= 8:
            instead = (
                f"units={fits} (larger ones, such as unit=16, tell as much of the gradient), or {instead}"
            )
        raise DriftaxError(
            f"the gradients of {settings.units} units",
            f"{parameters.dim:,} parameters: {settings.units * each / 2**30:.3g} GiB, above max_memory",
            instead,
        )
