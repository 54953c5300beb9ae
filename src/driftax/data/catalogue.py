"""The data sets: what they are, and the files they are made of."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Task(enum.Enum):
    """What is learnt."""

    CLASSES = "classification"
    REAL = "regression"
    TOKENS = "next character"


class File(NamedTuple):
    """A file of a data set.

    Attributes:
        name: in its folder; compressed it may also be there as `name.gz`.
        md5: of its content, uncompressed; None where only its size is known.
        size: in bytes, uncompressed.
    """

    name: str
    md5: str | None
    size: int


class Form(NamedTuple):
    """One of the forms a data set comes in.

    Attributes:
        title: what it is called wherever it is used.
        files: all of which must be there.
    """

    title: str
    files: tuple[File, ...]


class Entry(NamedTuple):
    """A data set.

    Attributes:
        shape: of one input, in words.
        size: training and test examples, in words.
        folders: names it goes by in a folder of data.
        forms: how it may be stored, the preferred one first; none where it comes with scikit-learn.
    """

    task: Task
    shape: str
    size: str
    licence: str
    folders: tuple[str, ...] = ()
    forms: tuple[Form, ...] = ()


_MNIST = (
    File("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb", 47_040_016),
    File("train-labels-idx1-ubyte", "a25bea736e30d166cdddb491f175f624", 60_008),
    File("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea", 7_840_016),
    File("t10k-labels-idx1-ubyte", "27ae3e4e09519cfbb04c329615203637", 10_008),
)
# Keras's archive is known by the pixels in it (see `driftax.data.read`), since its own bytes are not.
_KERAS_MNIST = (File("mnist.npz", None, 11_490_434),)
_CIFAR_SUBSET = (File("cifar10_lossless_subset.npz", "4c2e3a73fbd1be85e898fe126efc35ee", 25_726_972),)
_CIFAR = tuple(
    File(name, None, 30_730_000)
    for name in (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
)
_TEXT = (File("input.txt", "6fb458f1232090904fb40fe944165e91", 1_115_394),)

CATALOGUE: dict[str, Entry] = {
    "breast_cancer": Entry(Task.CLASSES, "30", "569", "CC BY 4.0 (with scikit-learn)"),
    "digits": Entry(Task.CLASSES, "8 x 8 x 1", "1,797", "CC BY 4.0 (with scikit-learn)"),
    "wine": Entry(Task.CLASSES, "13", "178", "CC BY 4.0 (with scikit-learn)"),
    "iris": Entry(Task.CLASSES, "4", "150", "CC BY 4.0 (with scikit-learn)"),
    "diabetes": Entry(Task.REAL, "10", "442", "with scikit-learn"),
    "mnist": Entry(
        Task.CLASSES,
        "28 x 28 x 1",
        "60,000 + 10,000",
        "CC BY-SA 3.0",
        ("mnist", "MNIST/raw", "MNIST"),
        (Form("MNIST", _MNIST), Form("MNIST", _KERAS_MNIST)),
    ),
    "cifar10": Entry(
        Task.CLASSES,
        "32 x 32 x 3",
        "50,000 + 10,000 (subset: 8,068 + 1,017)",
        "none stated; cite Krizhevsky 2009",
        ("cifar10", "cifar-10-batches-bin"),
        (Form("CIFAR-10", _CIFAR), Form("CIFAR-10 subset (8,068 images)", _CIFAR_SUBSET)),
    ),
    "tiny-shakespeare": Entry(
        Task.TOKENS,
        "characters",
        "1,115,394 characters",
        "public domain",
        ("tiny-shakespeare", "tinyshakespeare"),
        (Form("tiny-shakespeare", _TEXT),),
    ),
}
