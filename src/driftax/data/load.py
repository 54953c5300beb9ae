"""From a name to examples a model can take."""

from __future__ import annotations

import numpy as np

from driftax.data._value import Dataset, Raw
from driftax.data.names import entry
from driftax.data.places import found
from driftax.data.subset import at_random, checked_count, spread, stratified
from driftax.data.text import windows

_LEVELS = 256


def load_data(
    name: str, *, examples: int | None = None, test: int | None = None, seed: int = 0, length: int = 64
) -> Dataset:
    """A data set by its name, standardised by the mean and standard deviation of the whole training set.

    Images are standardised per channel, other features one by one, the labels of a regression too. A text is cut
    into windows that do not overlap, each with the characters that come next as its labels.

    Args:
        name: of `driftax data list`.
        examples: number of training examples: a subset with the classes in their shares (of a regression: at
            random; of a text: spread over it). All of them if left out.
        test: number of test examples, in the same way.
        seed: chooses the subsets.
        length: characters of a window of a text.

    Raises:
        DriftaxError: if there is no such data set, it is not on this machine, a file has a wrong checksum, or
            there are not as many examples.

    Example:
        >>> load_data("iris", examples=30).inputs.shape
        (30, 4)
    """
    asked = f'the data "{name}"'
    known = entry(name, asked)
    place = found(known, asked)
    raw = place.edition.read(place.folder)
    if raw.inputs.ndim == 1:
        raw = _cut(raw, length)
    train = _picked(raw, raw.labels, checked_count(asked, "examples", examples, len(raw.inputs)), seed)
    held = _picked(raw, raw.test_labels, checked_count(asked, "test", test, len(raw.test_inputs)), seed)
    inputs, labels = _scaler(raw.inputs), _label_scaler(raw)
    return Dataset(
        name,
        place.edition.title,
        inputs(raw.inputs[train]),
        labels(raw.labels[train]),
        inputs(raw.test_inputs[held]),
        labels(raw.test_labels[held]),
        raw.classes,
    )


def _cut(raw: Raw, length: int) -> Raw:
    return Raw(*windows(raw.inputs, length), *windows(raw.test_inputs, length), raw.classes)


def _picked(raw: Raw, labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    if labels.ndim == 2:
        return spread(len(labels), count)
    if raw.classes is None:
        return at_random(len(labels), count, seed)
    return stratified(labels, count, seed)


def _scaler(inputs: np.ndarray):
    """Standardises what is not a token by the inputs given here."""
    if inputs.dtype == np.int32:
        return lambda values: values
    if inputs.dtype == np.uint8:
        # In single precision from here: many images may not fit the memory in double.
        mean, deviation = (moment.astype(np.float32) for moment in _byte_moments(inputs))
    else:
        axes = 0 if inputs.ndim == 2 else tuple(range(inputs.ndim - 1))
        mean, deviation = inputs.mean(axis=axes), inputs.std(axis=axes)
    deviation = np.where(deviation > 0, deviation, np.ones_like(deviation))
    return lambda values: ((values - mean) / deviation).astype(np.float32, copy=False)


def _byte_moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel from counts, since a copy in real numbers may not fit the memory."""
    levels = np.arange(_LEVELS)
    shares = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=_LEVELS) for c in range(images.shape[-1])]
    ) / (images.size // images.shape[-1])
    mean = shares @ levels
    return mean, np.sqrt(shares @ levels**2 - mean**2)


def _label_scaler(raw: Raw):
    if raw.classes is not None:
        return lambda labels: labels.astype(np.int32)
    mean, deviation = raw.labels.mean(), raw.labels.std()
    return lambda labels: ((labels - mean) / deviation).astype(np.float32)
