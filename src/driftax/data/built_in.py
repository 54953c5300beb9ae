"""The data sets that come with scikit-learn."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from driftax.data._value import Raw

_ORDER = (
    20010  # of the permutation that sets the test examples apart: the same on every machine, for every seed
)


def folder() -> Path:
    """Where scikit-learn keeps them."""
    import sklearn.datasets

    return Path(sklearn.datasets.__file__).parent / "data"


def read_breast_cancer(folder: Path) -> Raw:
    """Tumours, malignant (0) or benign (1): 30 features."""
    from sklearn.datasets import load_breast_cancer

    return _split(load_breast_cancer(return_X_y=True), 2)


def read_wine(folder: Path) -> Raw:
    """Wines of three growers: 13 features."""
    from sklearn.datasets import load_wine

    return _split(load_wine(return_X_y=True), 3)


def read_iris(folder: Path) -> Raw:
    """Flowers of three species: 4 features."""
    from sklearn.datasets import load_iris

    return _split(load_iris(return_X_y=True), 3)


def read_digits(folder: Path) -> Raw:
    """Handwritten digits: images [8, 8, 1] with 17 levels of grey."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return _split((images.reshape(-1, 8, 8, 1), labels), 10)


def read_diabetes(folder: Path) -> Raw:
    """Progression of a disease, a real number: 10 features."""
    from sklearn.datasets import load_diabetes

    return _split(load_diabetes(return_X_y=True), None)


def _split(examples: tuple[np.ndarray, np.ndarray], classes: int | None) -> Raw:
    """The last fifth of a fixed permutation is the test set."""
    inputs, labels = examples
    order = np.random.default_rng(_ORDER).permutation(len(labels))
    train, test = np.split(order, [len(labels) - len(labels) // 5])
    return Raw(inputs[train], labels[train], inputs[test], labels[test], classes)
