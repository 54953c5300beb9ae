"""Data sets: what is found where, what is refused, and subsets that are the same every time."""

import gzip
import hashlib
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.data import CATALOGUE, catalogue, find, keep, load_data

HERE = pytest.mark.skipif("DRIFTAX_DATA" not in os.environ, reason="DRIFTAX_DATA names no folder with MNIST")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A machine without data; its cache is a folder of the test."""
    monkeypatch.delenv("DRIFTAX_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["breast_cancer", "digits", "wine", "iris", "diabetes"])
def test_what_comes_with_scikit_learn_is_standardised(name):
    data = load_data(name)
    assert data.inputs.dtype == np.float32 and len(data.inputs) == len(data.labels)
    assert abs(data.inputs.mean()) < 0.05
    assert (data.classes is None) == (name == "diabetes")
    fewer = load_data(name, 30, 10)
    assert len(fewer.inputs) == 30 and len(fewer.test_inputs) == 10 and "30" in fewer.title
    np.testing.assert_array_equal(fewer.inputs, load_data(name, 30, 10).inputs)
    if data.classes:
        assert np.bincount(fewer.labels).min() >= 30 // data.classes - 1  # of every class as many as it goes


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.forms])
def test_a_missing_set_says_what_to_put_where(name, empty):
    with pytest.raises(DriftaxError) as refused:
        find(name)
    said = str(refused.value)
    assert f"driftax data import {name}" in said and "nothing is downloaded" in said
    assert all(file.name in said for form in CATALOGUE[name].forms for file in form.files)


def small_mnist(folder, monkeypatch):
    """Files of MNIST's form with a few random images, whose checksums are made known."""
    random, files = np.random.default_rng(0), []
    for part, count in (("train", 20), ("t10k", 10)):
        for kind, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            head = struct.pack(f">{1 + len(shape)}I", 2048 + len(shape), *shape)
            values = random.integers(0, 10 if len(shape) == 1 else 256, shape)
            content = head + values.astype(np.uint8).tobytes()
            name = f"{part}-{kind}-ubyte"
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            files.append(catalogue.File(name, hashlib.md5(content).hexdigest(), len(content)))
    form = catalogue.Form("MNIST", tuple(files))
    monkeypatch.setitem(CATALOGUE, "mnist", CATALOGUE["mnist"]._replace(forms=(form,)))
    return files


def test_an_import_is_checked_and_found_again(empty, monkeypatch):
    small_mnist(empty, monkeypatch)
    place = keep("mnist", empty)
    assert place == empty / "cache" / "driftax" / "mnist" == find("mnist").folder
    assert not [path for path in place.iterdir() if path.name.startswith(".")]
    data = load_data("mnist", 12, 5)
    assert data.inputs.shape == (12, 28, 28, 1) and data.test_labels.shape == (5,)
    (place / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DriftaxError, match="md5"):
        load_data("mnist")
    with pytest.raises(DriftaxError, match="without"):
        keep("cifar10", empty)


def test_pickles_are_named_and_not_read(empty):
    (empty / "data" / "cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(DriftaxError, match="pickles"):
        find("cifar10")


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda: load_data("iri"), "iris"),
        (lambda: load_data("iris", 1000), "120"),
        (lambda: keep("iris", Path()), "scikit-learn"),
    ],
)
def test_what_is_refused(ask, said):
    with pytest.raises(DriftaxError, match=said):
        ask()


@HERE
@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [("mnist", (28, 28, 1), 10), ("cifar10", (32, 32, 3), 10), ("tiny-shakespeare", (64,), 65)],
)
def test_the_files_at_hand(name, shape, classes):
    data = load_data(name, 50, 20)
    assert data.inputs.shape == (50, *shape) and data.classes == classes
    assert len(data.test_inputs) == 20
