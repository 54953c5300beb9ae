"""Examples for a measurement, drawn beside a training loop's loader: its iterator and generators are not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils import data
from torch.utils._pytree import tree_flatten, tree_unflatten

from driftax._errors import DriftaxError

_ASKED = "NoiseProbe(model, loss_fn, loader)"
_LIST = "NoiseProbe(model, loss_fn, [batch, batch, ...]), a list of batches kept aside"


class Examples:
    """Examples that can be drawn at random.

    Args:
        count: how many there are.
        batch_size: of the training loop; None where it is not known.
        fetch: a collated batch of the examples at some indices.
        weights: probabilities of the examples in training [count]; None if they are equal.
        source: what to search for generators.
    """

    def __init__(
        self,
        count: int,
        batch_size: int | None,
        fetch: Callable[[Sequence[int]], Any],
        weights: np.ndarray | None,
        source: Any,
    ):
        self.count, self.batch_size, self.fetch = count, batch_size, fetch
        self.weights, self.source = weights, source

    def draw(self, generator: np.random.Generator, units: int, size: int, replace: bool) -> np.ndarray:
        """Indices of the examples of every unit [units, size].

        Args:
            generator: that of the probe.
            units: how many.
            size: examples in each.
            replace: draw with replacement; always so where examples have weights.

        Raises:
            DriftaxError: if there are not enough of them.
        """
        if self.weights is not None or replace:
            return generator.choice(self.count, (units, size), replace=True, p=self.weights)
        if units * size > self.count:
            raise DriftaxError(
                f"{units} units of {size} example(s), each of another",
                f"{self.count} examples in the data set",
                f"units={max(self.count // size, 1)}, or replace=True",
            )
        return generator.choice(self.count, (units, size), replace=False)


def examples_of(loader: Any) -> Examples:
    """The examples behind a DataLoader, or in a list of batches.

    Raises:
        DriftaxError: if they cannot be drawn without touching the loader.
    """
    if isinstance(loader, data.DataLoader):
        return _of_loader(loader)
    if isinstance(loader, list | tuple) and loader:
        return _of_batches(loader)
    if isinstance(loader, list | tuple):
        raise DriftaxError(_ASKED, "an empty list", _LIST)
    kind = type(loader).__name__
    found = f"a {kind}, whose examples cannot be drawn without moving the training loop's place in it"
    raise DriftaxError(_ASKED, found, f"the torch.utils.data.DataLoader of the loop, or {_LIST}")


def _of_loader(loader: Any) -> Examples:
    dataset = loader.dataset
    if isinstance(dataset, data.IterableDataset) or not hasattr(dataset, "__getitem__"):
        found = f"a {type(dataset).__name__}, which can only be read in order: its examples are the loop's"
        raise DriftaxError(_ASKED, found, _LIST)
    if loader.batch_sampler is None:
        raise DriftaxError(_ASKED, "batch_size=None: the data set makes its own batches", _LIST)
    batches = loader.batch_sampler
    if type(batches) is not data.BatchSampler:
        # A process's share of another batch sampler, as accelerate makes them.
        batches = getattr(batches, "batch_sampler", batches)
    if type(batches) is not data.BatchSampler:
        found = f"a batch_sampler of class {type(batches).__name__}, whose law is not known"
        raise DriftaxError(_ASKED, found, _LIST)
    sampler = batches.sampler
    positions, weights = None, None
    if isinstance(sampler, data.SubsetRandomSampler):
        positions = [int(i) for i in sampler.indices]
    elif isinstance(sampler, data.WeightedRandomSampler):
        weights = np.asarray(sampler.weights, dtype=float)
        weights = weights / weights.sum()
    elif not isinstance(
        sampler, data.RandomSampler | data.SequentialSampler | data.distributed.DistributedSampler
    ):
        raise DriftaxError(
            _ASKED, f"a sampler of class {type(sampler).__name__}, whose law is not known", _LIST
        )
    count = len(dataset) if positions is None else len(positions)
    if count == 0:
        raise DriftaxError(_ASKED, "a data set of 0 examples", "a data set with examples in it")

    def fetch(index: Sequence[int]) -> Any:
        index = list(index) if positions is None else [positions[i] for i in index]
        many = getattr(dataset, "__getitems__", None)
        items = many(index) if callable(many) else [dataset[i] for i in index]
        return loader.collate_fn(items)

    return Examples(count, batches.batch_size, fetch, weights, loader)


def _of_batches(batches: Sequence[Any]) -> Examples:
    flat = [tree_flatten(batch) for batch in batches]
    sizes = [_size(leaves) for leaves, _ in flat]
    if None in sizes or len({str(spec) for _, spec in flat}) > 1:
        raise DriftaxError(
            "NoiseProbe with a list of batches",
            "batches that are not tensors (in tuples, lists, dicts) of one leading size and structure",
            "batches whose tensors have the examples along their first axis",
        )
    places = [(b, i) for b, size in enumerate(sizes) for i in range(size or 0)]

    def fetch(index: Sequence[int]) -> Any:
        picked = [places[i] for i in index]
        leaves = [torch.stack([flat[b][0][leaf][i] for b, i in picked]) for leaf in range(len(flat[0][0]))]
        return tree_unflatten(leaves, flat[0][1])

    return Examples(len(places), sizes[0], fetch, None, None)


def _size(leaves: Sequence[Any]) -> int | None:
    """The leading size that all leaves share; None if they do not."""
    sizes = {leaf.shape[0] if isinstance(leaf, torch.Tensor) and leaf.ndim else None for leaf in leaves}
    return sizes.pop() if len(sizes) == 1 else None
