"""Data sets: found, verified, refused, standardised, cut."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.data import SETS, images, load_data
from driftax.data._value import Edition, File
from driftax.data.copy import import_data
from driftax.data.places import find
from driftax.data.subset import spread, stratified
from driftax.data.text import read_characters, windows

needs_data = pytest.mark.skipif(
    not os.environ.get("DRIFTAX_DATA"),
    reason="needs DRIFTAX_DATA, a folder with mnist, cifar10, tinyshakespeare",
)


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A machine without data."""
    for key in ("HOME", "XDG_CACHE_HOME", "DRIFTAX_DATA", "TORCH_HOME", "KERAS_HOME"):
        monkeypatch.setenv(key, str(tmp_path / key.lower()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tiny(empty, monkeypatch) -> bytes:
    """A text of 1,000 characters known as tiny-shakespeare."""
    content = ("abcdefghij" * 100).encode()
    file = File("input.txt", hashlib.md5(content).hexdigest())
    edition = Edition("tiny", 14, 1, (file,), read_characters)
    known = SETS["tiny-shakespeare"]._replace(editions=(edition,))
    monkeypatch.setitem(SETS, "tiny-shakespeare", known)
    return content


def write(folder: Path, content: bytes, name: str = "input.txt") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", [name for name in SETS if SETS[name].built_in])
def test_sets_of_scikit_learn(name):
    entry, data = SETS[name], load_data(name)
    edition = entry.editions[0]
    assert data.inputs.shape == (edition.examples, *entry.shape)
    assert data.test_inputs.shape == (edition.test, *entry.shape)
    assert data.inputs.dtype == np.float32
    axes = tuple(range(data.inputs.ndim - 1))
    np.testing.assert_allclose(data.inputs.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(data.inputs.std(axis=axes), 1, atol=1e-5)
    if data.classes is None:
        assert data.labels.dtype == np.float32
    else:
        assert sorted(set(data.labels.tolist())) == list(range(data.classes))
        assert data.labels.dtype == np.int32


def test_a_subset_is_stratified_and_chosen_by_the_seed():
    whole, part = load_data("digits"), load_data("digits", examples=100, test=50)
    shares = np.bincount(whole.labels) * 100 / len(whole.labels)
    assert np.all(np.abs(np.bincount(part.labels) - shares) < 1)
    assert (len(part.labels), len(part.test_labels)) == (100, 50)
    assert np.array_equal(part.inputs, load_data("digits", examples=100).inputs)
    assert not np.array_equal(part.inputs, load_data("digits", examples=100, seed=1).inputs)
    assert len(load_data("diabetes", examples=7).labels) == 7
    assert len(stratified(np.array([0, 0, 1, 2]), 2, 0)) == 2
    assert spread(10, 3).tolist() == [0, 3, 6]


@pytest.mark.parametrize(("key", "count"), [("examples", 121), ("examples", 0), ("test", 31)])
def test_too_many_examples(key, count):
    with pytest.raises(DriftaxError, match=f"{key} = {count}"):
        load_data("iris", **{key: count})


def test_a_missing_set_says_where_and_what(empty):
    with pytest.raises(DriftaxError) as caught:
        load_data("mnist")
    message = str(caught.value)
    for part in ("driftax_data", "xdg_cache_home/driftax", "keras_home/datasets", "torch_home", "MNIST/raw"):
        assert part in message
    assert "t10k-labels-idx1-ubyte.gz (md5 ec29112dd5afa0611ce80d1b7f02629c)" in message
    assert "driftax data import mnist /path/to/folder" in message


def test_pickles_are_refused_in_words(empty):
    folder = write(empty / "keras_home" / "datasets" / "cifar-10-batches-py", b"", "data_batch_1")
    with pytest.raises(DriftaxError, match="pickles.*cifar-10-batches-bin"):
        load_data("cifar10")
    with pytest.raises(DriftaxError, match="pickles"):
        import_data("cifar10", folder)


def test_a_wrong_checksum_names_file_found_and_wanted(tiny, empty):
    folder = write(empty / "driftax_data" / "tinyshakespeare", tiny + b"!")
    with pytest.raises(DriftaxError) as caught:
        load_data("tiny-shakespeare")
    assert caught.value.asked == f"the data file {folder / 'input.txt'}"
    assert hashlib.md5(tiny + b"!").hexdigest() in caught.value.found
    assert hashlib.md5(tiny).hexdigest() in caught.value.instead


def test_import_copies_into_the_cache(tiny, empty):
    source = write(empty / "downloads", tiny)
    target = import_data("tiny-shakespeare", source)
    assert target == empty / "xdg_cache_home" / "driftax" / "tinyshakespeare"
    assert [path.name for path in target.iterdir()] == ["input.txt"]
    data = load_data("tiny-shakespeare", length=20, examples=4)
    assert data.inputs.shape == data.labels.shape == (4, 20)
    assert data.classes == 10
    np.testing.assert_array_equal(data.inputs[:, 1:], data.labels[:, :-1])


def test_import_refuses_before_it_writes(tiny, empty):
    with pytest.raises(DriftaxError, match="md5"):
        import_data("tiny-shakespeare", write(empty / "downloads", tiny[1:]))
    with pytest.raises(DriftaxError, match="not in"):
        import_data("mnist", empty / "downloads")
    with pytest.raises(DriftaxError, match="scikit-learn"):
        import_data("iris", empty)
    assert not (empty / "xdg_cache_home").exists()


def test_the_first_place_wins(tiny, empty):
    write(empty / "data" / "tinyshakespeare", tiny)
    assert find(SETS["tiny-shakespeare"]).folder == Path("data/tinyshakespeare")
    first = write(empty / "driftax_data" / "tinyshakespeare", tiny)
    assert find(SETS["tiny-shakespeare"]).folder == first


def test_windows_follow_each_other():
    inputs, labels = windows(np.arange(10), 3)
    assert inputs.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert labels.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    for length in (0, 10):
        with pytest.raises(DriftaxError, match=f"length = {length}"):
            windows(np.arange(10), length)


def test_the_binary_batches_of_cifar(tmp_path):
    pixels = np.arange(3072, dtype=np.uint8)
    row = bytes([7]) + pixels.tobytes()
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        write(tmp_path, row * 2, name)
    raw = images.read_cifar_binary(tmp_path)
    assert raw.inputs.shape == (10, 32, 32, 3)
    assert set(raw.labels.tolist()) == {7}
    assert raw.inputs[0, 1, 2].tolist() == [pixels[34], pixels[1024 + 34], pixels[2048 + 34]]


@needs_data
@pytest.mark.parametrize("name", ["mnist", "cifar10", "tiny-shakespeare"])
def test_sets_of_files(name):
    data = load_data(name, examples=700, test=100)
    assert data.inputs.shape == (700, *SETS[name].shape)
    assert len(data.test_inputs) == len(data.test_labels) == 100
    if name == "tiny-shakespeare":
        assert data.classes == 65 and data.labels.shape == (700, 64)
        return
    assert np.all(np.bincount(data.labels, minlength=10) > 50)
    assert abs(data.inputs.mean()) < 0.05 and abs(data.inputs.std() - 1) < 0.05
    if len(data.inputs) and find(SETS[name]).edition.examples == 8068:
        assert data.title == "CIFAR-10 subset (8,068 images)"


@needs_data
def test_exact_moments_from_bytes():
    from driftax.data.load import _byte_moments

    pixels = images.read_cifar_subset(find(SETS["cifar10"]).folder).inputs[:500]
    mean, deviation = _byte_moments(pixels)
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(deviation, pixels.std(axis=(0, 1, 2)))
