"""Data sets as arrays: a fixed subset for training, another for the test, standardised by the training inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from driftax._errors import DriftaxError
from driftax.data import read
from driftax.data.catalogue import Task
from driftax.data.find import entry, find

_SHARE = 5  # of scikit-learn's sets and of a text, one part in so many is the test
_LENGTH = 64  # characters of one example


class Dataset(NamedTuple):
    """Examples to train on and to test with.

    Attributes:
        name: among the data sets.
        title: in words; says so where it is a subset.
        task: what is learnt.
        inputs: [n, ...]: features or images (float32, standardised), or characters (int32).
        labels: [n] classes (int32) or numbers (float32, standardised), or the next characters [n, length].
        test_inputs: as `inputs`.
        test_labels: as `labels`.
        classes: how many there are; None for numbers.
    """

    name: str
    title: str
    task: Task
    inputs: np.ndarray
    labels: np.ndarray
    test_inputs: np.ndarray
    test_labels: np.ndarray
    classes: int | None


def load_data(name: str, examples: int | None = None, test: int | None = None) -> Dataset:
    """A data set, or the same subset of it every time.

    Args:
        name: among `CATALOGUE`.
        examples: to train on; left out, all. Of a text: windows of 64 characters, spread over it.
        test: to test with; left out, all.

    Raises:
        DriftaxError: for an unknown name, files that are not there or not right, or more examples than there are.
    """
    known = entry(name)
    if known.task is Task.TOKENS:
        return _text(name, examples, test)
    title, (everything, labels, test_inputs, test_labels) = _arrays(name)
    inputs, labels = _some(name, everything, labels, examples)
    test_inputs, test_labels = _some(name, test_inputs, test_labels, test)
    if len(inputs) < len(everything):
        title = f"{title}, {len(inputs):,} examples"
    # Features one by one; the pixels of an image together, channel by channel.
    axes = tuple(range(inputs.ndim - 1)) if inputs.ndim > 2 else (0,)
    mean, deviation = inputs.mean(axis=axes, dtype=float), inputs.std(axis=axes, dtype=float)
    scaled = [
        ((part - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
        for part in (inputs, test_inputs)
    ]
    if known.task is Task.CLASSES:
        answers = [part.astype(np.int32) for part in (labels, test_labels)]
        classes = int(answers[0].max()) + 1
    else:
        answers = [
            ((part - labels.mean()) / labels.std()).astype(np.float32) for part in (labels, test_labels)
        ]
        classes = None
    return Dataset(name, title, known.task, scaled[0], answers[0], scaled[1], answers[1], classes)


def _arrays(name: str) -> tuple[str, tuple[np.ndarray, ...]]:
    """What it is called, and inputs and labels for training and for the test."""
    if name == "mnist":
        found = find(name)
        return found.form.title, read.mnist(found)
    if name == "cifar10":
        found = find(name)
        return found.form.title, read.cifar10(found)
    import sklearn.datasets

    features, labels = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    if name == "digits":
        features = features.reshape(-1, 8, 8, 1)
    order = np.random.default_rng(0).permutation(len(labels))
    first = len(labels) - len(labels) // _SHARE
    train, test = order[:first], order[first:]
    return name, (features[train], labels[train], features[test], labels[test])


def _some(
    name: str, inputs: np.ndarray, labels: np.ndarray, wanted: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """As many examples of every class as the numbers allow, the same ones every time."""
    if wanted is None or wanted == len(labels):
        return inputs, labels
    if not 0 < wanted <= len(labels):
        raise DriftaxError(
            f"{wanted:,} examples of {name}", f"a data set with {len(labels):,}", f"1 to {len(labels):,}"
        )
    order = np.random.default_rng(0).permutation(len(labels))
    if np.issubdtype(labels.dtype, np.integer):
        seen = np.zeros(len(order))  # the how-manieth of its class each example is
        for label in np.unique(labels):
            own = labels[order] == label
            seen[own] = np.arange(own.sum())
        order = order[np.argsort(seen, kind="stable")]
    chosen = np.sort(order[:wanted])
    return inputs[chosen], labels[chosen]


def _text(name: str, examples: int | None, test: int | None) -> Dataset:
    found = find(name)
    text = read.text(found)
    letters = sorted(set(text))
    tokens = np.searchsorted(np.asarray(letters), np.asarray(list(text))).astype(np.int32)
    border = len(tokens) - len(tokens) // (2 * _SHARE)
    parts: list[np.ndarray] = []
    for piece, wanted in ((tokens[:border], examples), (tokens[border:], test)):
        most = (len(piece) - 1) // _LENGTH
        wanted = wanted or most
        if not 0 < wanted <= most:
            raise DriftaxError(f"{wanted:,} examples of {name}", f"a text with {most:,}", f"1 to {most:,}")
        begins = _LENGTH * (np.arange(wanted) * most // wanted)
        windows = piece[begins[:, None] + np.arange(_LENGTH + 1)]
        parts += [windows[:, :-1], windows[:, 1:]]
    title = f"{found.form.title}, {len(parts[0]):,} windows of {_LENGTH} characters"
    inputs, labels, test_inputs, test_labels = parts
    return Dataset(name, title, Task.TOKENS, inputs, labels, test_inputs, test_labels, len(letters))
