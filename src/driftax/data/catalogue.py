"""The data sets driftax knows, with their files and checksums."""

from __future__ import annotations

from driftax.data import built_in, images, text
from driftax.data._value import Edition, Entry, File

_MNIST = (
    ("train-images-idx3-ubyte", "f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    ("train-labels-idx1-ubyte", "d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    ("t10k-images-idx3-ubyte", "9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    ("t10k-labels-idx1-ubyte", "ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
)
_CIFAR = (
    File("data_batch_1.bin", "aadd24acce27caa71bf4b10992e9e7b2d74c2540"),
    File("data_batch_2.bin", "c0ba65cce70568cd57b4e03e9ac8d2a5367c1795"),
    File("data_batch_3.bin", "1dd00a74ab1d17a6e7d73e185b69dbf31242f295"),
    File("data_batch_4.bin", "aab85764eb3584312d3c7f65fd2fd016e36a258e"),
    File("data_batch_5.bin", "26e2849e66a845b7f1e4614ae70f4889ae604628"),
    File("test_batch.bin", "67eb016db431130d61cd03c7ad570b013799c88c"),
)
_SUBSET = (File("cifar10_lossless_subset.npz", "4c2e3a73fbd1be85e898fe126efc35ee"),)
_SHAKESPEARE = (File("input.txt", "6fb458f1232090904fb40fe944165e91"),)
_UCI = "CC BY 4.0 (UCI)"


def _built_in(
    name: str, title: str, size: int, shape: tuple[int, ...], task: str, read, licence=_UCI
) -> Entry:
    edition = Edition(f"{title} (scikit-learn)", size - size // 5, size // 5, (), read)
    return Entry(name, shape, task, licence, (edition,))


_ENTRIES = (
    _built_in("breast_cancer", "breast cancer", 569, (30,), "2 classes", built_in.read_breast_cancer),
    _built_in("digits", "digits", 1797, (8, 8, 1), "10 classes", built_in.read_digits),
    _built_in("diabetes", "diabetes", 442, (10,), "regression", built_in.read_diabetes, "none stated"),
    _built_in("wine", "wine", 178, (13,), "3 classes", built_in.read_wine),
    _built_in("iris", "iris", 150, (4,), "3 classes", built_in.read_iris),
    Entry(
        "mnist",
        (28, 28, 1),
        "10 classes",
        "CC BY-SA 3.0",
        (
            Edition(
                "MNIST",
                60_000,
                10_000,
                tuple(File(f"{name}.gz", packed) for name, packed, _ in _MNIST),
                images.read_idx_gz,
            ),
            Edition(
                "MNIST", 60_000, 10_000, tuple(File(name, md5) for name, _, md5 in _MNIST), images.read_idx
            ),
            Edition(
                "MNIST",
                60_000,
                10_000,
                (File("mnist.npz", "8a61469f7ea1b51cbae51d4f78837e45"),),
                images.read_mnist_npz,
            ),
        ),
        ("mnist", "MNIST/raw", "."),
    ),
    Entry(
        "cifar10",
        (32, 32, 3),
        "10 classes",
        "none stated; cite Krizhevsky 2009",
        (
            Edition("CIFAR-10", 50_000, 10_000, _CIFAR, images.read_cifar_binary),
            Edition("CIFAR-10 subset (8,068 images)", 8068, 1017, _SUBSET, images.read_cifar_subset),
        ),
        ("cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin", "."),
    ),
    Entry(
        "tiny-shakespeare",
        (64,),
        "next of 65 characters",
        "public domain",
        (Edition("tiny Shakespeare", 15_685, 1742, _SHAKESPEARE, text.read_characters),),
        ("tinyshakespeare", "tiny-shakespeare"),
    ),
)
SETS: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}
