"""From files to arrays, one function per form."""

from __future__ import annotations

import hashlib
import io

import numpy as np

from driftax._errors import DriftaxError
from driftax.data.find import Found

# Of the pixels of MNIST's two parts, whatever the file they come in.
_MNIST_PIXELS = ("6510e85a72c3e9475c492d559d3770d2", "240610fa99e73bfa49df8e7fc24d3206")


def mnist(found: Found) -> tuple[np.ndarray, ...]:
    """Images [n, 28, 28, 1] and labels, for training and for the test, as bytes."""
    if len(found.form.files) == 1:
        return _keras_mnist(found)
    parts = []
    for file in found.form.files:
        content = found.content(file)
        images = "images" in file.name
        values = np.frombuffer(content, np.uint8, offset=16 if images else 8)
        parts.append(values.reshape(-1, 28, 28, 1) if images else values)
    return tuple(parts)


def _keras_mnist(found: Found) -> tuple[np.ndarray, ...]:
    (file,) = found.form.files
    archive = np.load(io.BytesIO(found.content(file)), allow_pickle=False)
    train, test = archive["x_train"], archive["x_test"]
    for pixels, known in zip((train, test), _MNIST_PIXELS, strict=True):
        if hashlib.md5(pixels.tobytes()).hexdigest() != known:
            raise DriftaxError(
                f"{found.folder / file.name}", "other images than MNIST's", "Keras's mnist.npz"
            )
    return train[..., None], archive["y_train"], test[..., None], archive["y_test"]


def cifar10(found: Found) -> tuple[np.ndarray, ...]:
    """Images [n, 32, 32, 3] and labels, for training and for the test, as bytes."""
    if len(found.form.files) == 1:
        (file,) = found.form.files
        archive = np.load(io.BytesIO(found.content(file)), allow_pickle=False)
        return tuple(archive[name] for name in ("x_train", "y_train", "x_test", "y_test"))
    *train, (test, answers) = (_batch(found.content(file)) for file in found.form.files)
    images, labels = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return images, labels, test, answers


def _batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    rows = np.frombuffer(content, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]


def text(found: Found) -> str:
    """The whole text."""
    (file,) = found.form.files
    return found.content(file).decode()
