"""Readers of image files; none of them unpickles."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np

from driftax.data._value import Raw

_PIXELS = 32 * 32 * 3
_BYTES = 0x08  # the type code of an idx file of bytes
_PARTS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def read_idx_gz(folder: Path) -> Raw:
    """MNIST in its four original files."""
    return _mnist(*(_idx(gzip.decompress((folder / f"{part}.gz").read_bytes())) for part in _PARTS))


def read_idx(folder: Path) -> Raw:
    """MNIST in its four original files, unpacked."""
    return _mnist(*(_idx((folder / part).read_bytes()) for part in _PARTS))


def read_mnist_npz(folder: Path) -> Raw:
    """MNIST in the one file of Keras."""
    with np.load(folder / "mnist.npz", allow_pickle=False) as arrays:
        return _mnist(*(arrays[key] for key in ("x_train", "y_train", "x_test", "y_test")))


def read_cifar_binary(folder: Path) -> Raw:
    """CIFAR-10 in its six binary batches: a byte of label, then the planes of red, green and blue."""
    train = np.concatenate([_cifar(folder / f"data_batch_{number}.bin") for number in range(1, 6)])
    test = _cifar(folder / "test_batch.bin")
    return Raw(_pictures(train), train[:, 0], _pictures(test), test[:, 0], 10)


def read_cifar_subset(folder: Path) -> Raw:
    """A part of CIFAR-10 with exact pixels, in one npz file."""
    with np.load(folder / "cifar10_lossless_subset.npz", allow_pickle=False) as arrays:
        return Raw(arrays["x_train"], arrays["y_train"], arrays["x_test"], arrays["y_test"], 10)


def _mnist(images, labels, test_images, test_labels) -> Raw:
    return Raw(images[..., None], labels, test_images[..., None], test_labels, 10)


def _idx(content: bytes) -> np.ndarray:
    """The array of an idx file: two zeros, a type code, the rank, the shape in 32-bit numbers, the entries."""
    if content[:2] != b"\0\0" or content[2] != _BYTES:
        raise ValueError("not an idx file of bytes")
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, offset=4).tolist()
    return np.frombuffer(content, np.uint8, math.prod(shape), offset=4 + 4 * rank).reshape(shape)


def _cifar(path: Path) -> np.ndarray:
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 1 + _PIXELS)


def _pictures(rows: np.ndarray) -> np.ndarray:
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
