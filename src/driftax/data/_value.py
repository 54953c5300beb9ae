"""What a data set is, read and on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float32, Int32, Shaped
from numpy import ndarray as Array


class Dataset(NamedTuple):
    """Examples to fit and examples to test on, ready for a model.

    Attributes:
        name: as in `driftax data list`.
        title: in words; it says so where only a part of the original was found.
        inputs: of the training examples [size, ...]: standardised float32 numbers, images as
            [size, height, width, channel], or int32 tokens [size, length].
        labels: int32 classes [size], float32 numbers [size], or the int32 tokens that come next [size, length].
        test_inputs: of the test examples; None where there are none.
        test_labels: of the test examples; None where there are none.
        classes: how many classes or tokens there are; None for a regression.
    """

    name: str
    title: str
    inputs: Float32[Array, "size ..."] | Int32[Array, "size length"]
    labels: Float32[Array, " size"] | Int32[Array, "size *length"]
    test_inputs: Float32[Array, "test ..."] | Int32[Array, "test length"] | None = None
    test_labels: Float32[Array, " test"] | Int32[Array, "test *length"] | None = None
    classes: int | None = None


class Raw(NamedTuple):
    """Examples as their files hold them: images in bytes, features in their own units.

    A text is its tokens [size], inputs and labels alike.
    """

    inputs: Shaped[Array, "size ..."]
    labels: Shaped[Array, " size *length"]
    test_inputs: Shaped[Array, "test ..."]
    test_labels: Shaped[Array, " test *length"]
    classes: int | None


class File(NamedTuple):
    """A file that is known by its checksum: an md5, or a sha1 where it is 40 characters long."""

    name: str
    checksum: str

    @property
    def algorithm(self) -> str:
        return "sha1" if len(self.checksum) == 40 else "md5"


class Edition(NamedTuple):
    """One set of files a data set comes in.

    Attributes:
        title: in words.
        examples: number of training examples.
        test: number of test examples.
        files: that make it up; none for what comes with scikit-learn.
        read: reads them from their folder.
    """

    title: str
    examples: int
    test: int
    files: tuple[File, ...]
    read: Callable[[Path], Raw]


class Entry(NamedTuple):
    """A data set of the catalogue.

    Attributes:
        name: to ask for it.
        shape: of one input.
        task: what is learned, in words.
        licence: of the data.
        editions: it comes in, the best first.
        folders: where its files may stand below a folder of data sets.
    """

    name: str
    shape: tuple[int, ...]
    task: str
    licence: str
    editions: tuple[Edition, ...]
    folders: tuple[str, ...] = ()

    @property
    def built_in(self) -> bool:
        """Whether it comes with scikit-learn."""
        return not self.editions[0].files
