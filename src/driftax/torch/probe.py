"""Gradient noise beside a plain training loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from driftax._errors import DriftaxError
from driftax.measurement._value import Measurement
from driftax.measurement.combine import combine
from driftax.torch.examples import examples_of
from driftax.torch.measuring import Measuring, Settings
from driftax.torch.parameters import parameters_of, unwrapped
from driftax.torch.preserved import preserved
from driftax.torch.schedule import Schedule

_ASKED = "NoiseProbe(model, loss_fn, loader)"


class NoiseProbe:
    """Measures gradient noise, noise scale, signal ratios, tails and curvature of a model in training.

    It makes its own passes over examples of its own: params, `.grad`, buffers, optimizer, training mode, the
    random generators and the loader's iterator are left exactly as found, so that training goes the way it
    would have gone without.

    Args:
        model: a torch.nn.Module; DataParallel, DistributedDataParallel and torch.compile are unwrapped. Trained
            parameters are measured, tied ones once, frozen ones not at all.
        loss_fn: of (model, batch), the mean loss over the batch, where a batch is what the loader yields.
        loader: the DataLoader of the loop (its data set is read by index, in this process), or a list of batches
            of tensors.
        every: steps between measurements of `step()`.
        budget: largest share of the wall-clock time, such as "5%" (the default where `every` is not given); the
            first measurement, which tells what they cost, comes at once.
        optimizer: of the loop: its parameter groups are those of the result, and its state gives the
            preconditioned curvature. Otherwise groups are top-level modules.
        units: gradients n that are compared, 8 or more. Standard errors fall like 1/sqrt(n).
        unit: examples whose gradients are averaged in a unit, or "batch" for the loader's batch size.
        batch: examples in a step of the optimizer, for signal ratios and phases; the loader's batch size times
            `accumulate` if left out.
        accumulate: batches of the loader whose gradients make one step of the optimizer.
        mode: "train", in which the model must be found, or "eval".
        replace: draw examples with replacement; without it, as is the default, an example occurs in one unit.
        tails: fit the tails.
        curvature: trace and top eigenvalues of the Hessian, tr(H Sigma) and the edge of stability; some hundred
            times the cost of a gradient over all units.
        pass_size: examples in one pass of vmap.
        max_memory: bytes for the gradients of all units.
        seed: of the probe's own randomness.

    Raises:
        DriftaxError: for what cannot be measured, with the line to write instead; in part at the first
            measurement, which looks at the loss.

    Example:
        >>> probe = NoiseProbe(model, loss_fn, loader, budget="5%", optimizer=optimizer)  # doctest: +SKIP
        >>> for batch in loader:  # doctest: +SKIP
        ...     optimizer.zero_grad()
        ...     loss_fn(model, batch).backward()
        ...     optimizer.step()
        ...     if (found := probe.step()) is not None:
        ...         logger.log(found)
        >>> print(probe.result().table())  # doctest: +SKIP

    Source: mccandlish2018, Appendix A.
    """

    def __init__(
        self,
        model: Any,
        loss_fn: Callable[[Any, Any], Any],
        loader: Any,
        *,
        every: int | None = None,
        budget: float | str | None = None,
        optimizer: Any = None,
        units: int = 64,
        unit: int | str = 1,
        batch: int | None = None,
        accumulate: int = 1,
        mode: str = "train",
        replace: bool = False,
        tails: bool = True,
        curvature: bool = False,
        pass_size: int = 16,
        max_memory: int = 2**30,
        seed: int = 0,
    ):
        self._schedule = Schedule(every, budget)
        model = unwrapped(model)
        examples = examples_of(loader)
        size = _unit_size(unit, examples.batch_size)
        if units < 8:
            raise DriftaxError(
                f"{_ASKED[:-1]}, units={units})", "too few for a standard error", "units=8 or more"
            )
        if mode not in ("train", "eval"):
            raise DriftaxError(
                f"{_ASKED[:-1]}, mode={mode!r})", "no such mode", 'mode="train" or mode="eval"'
            )
        settings = Settings(
            units=units,
            unit_size=size,
            batch=batch or _accumulated(accumulate, examples.batch_size or size),
            whole_batch=unit == "batch",
            mode=mode,
            replace=replace,
            tails=tails,
            curvature=curvature,
            pass_size=pass_size,
            max_memory=max_memory,
        )
        self._given = (model, loss_fn, examples, optimizer)
        self._settings = settings
        self._measuring: Measuring | None = None
        self._random = np.random.default_rng(seed)
        self.measurements: list[Measurement] = []

    def step(self) -> dict[str, float] | None:
        """To be called after every `optimizer.step()`: measures when it is due.

        Returns:
            the numbers under flat names for a logger (`noise_scale/total`, ...), or None.
        """
        if not self._schedule.due():
            return None
        return self.measure().as_dict()

    def measure(self) -> Measurement:
        """Measures now.

        Raises:
            DriftaxError: for what cannot be measured, with the line to write instead.
        """
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()  # what the loop has queued is not ours
        begin = time.perf_counter()
        model, loss_fn, examples, optimizer = self._given
        with preserved(model, examples.source):
            parameters = parameters_of(model, optimizer)
            if self._measuring is None:
                self._measuring = Measuring(model, loss_fn, examples, optimizer, parameters, self._settings)
            self._measuring.parameters = parameters  # layers may have been frozen since
            found = self._measuring(self._random)
        found.data.attrs["step"] = self._schedule.steps
        self.measurements.append(found)
        self._schedule.took(time.perf_counter() - begin)
        return found

    def result(self, last: int | None = None) -> Measurement:
        """The mean of the measurements so far; the noise scale is a ratio of means.

        Args:
            last: how many of them, from the latest; all if left out.

        Raises:
            DriftaxError: if there is none yet.
        """
        if not self.measurements:
            raise DriftaxError("probe.result()", "no measurement yet", "probe.measure() at any time")
        return combine(self.measurements[-last:] if last else self.measurements)

    @property
    def seconds(self) -> float:
        """Seconds spent in measurements so far."""
        return self._schedule.spent


def _unit_size(unit: int | str, batch_size: int | None) -> int:
    if unit == "batch":
        if batch_size is None:
            found = "a loader without a batch size"
            raise DriftaxError("NoiseProbe(unit='batch')", found, "unit= the number of examples in a step")
        return batch_size
    if isinstance(unit, bool) or not isinstance(unit, int) or unit < 1:
        instead = "unit=1 for single examples, a number of examples, or unit='batch'"
        raise DriftaxError("NoiseProbe(unit=...)", f"unit = {unit!r}", instead)
    return unit


def _accumulated(batches: int, size: int) -> int:
    """Examples in a step of several batches."""
    if isinstance(batches, bool) or not isinstance(batches, int) or batches < 1:
        found = f"accumulate = {batches!r}"
        raise DriftaxError("NoiseProbe(accumulate=...)", found, "accumulate=4, a number of batches")
    return batches * size
