"""The chunk store: what it gives back is what it was given, whole, and of the same request; else it says so."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray

from driftax import DriftaxError
from driftax.compare.weak_error import Leaves
from driftax.simulate.ensemble import LeafStatistics
from driftax.statistics.streaming import Moments
from driftax.study.chunks import Chunk
from driftax.study.files import write_whole
from driftax.study.identity import arithmetic, identity, named_files
from driftax.study.lock import locked
from driftax.study.store import ChunkStore

CHUNK = Chunk(1, False, Leaves(8, 8192))
STUDY = 'seed = 0\n[noise]\nname = "gaussian"\n[compare]\nsteps = 4\nmembers = 100\n'


def statistics(seed: int = 0) -> LeafStatistics:
    random = np.random.default_rng(seed)
    moments = Moments(
        random.integers(0, 9, (8, 2)), random.normal(size=(8, 2, 3)), random.normal(size=(8, 2, 3, 3))
    )
    return LeafStatistics(moments, random.integers(0, 9, (8, 2, 4)))


def same(left: LeafStatistics | None, right: LeafStatistics) -> bool:
    assert left is not None
    arrays = zip((*left.moments, left.failed), (*right.moments, right.failed), strict=True)
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in arrays)


def parts(text: str = STUDY, seed: int = 0) -> dict[str, str]:
    return identity(text, [], seed, "cpu")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path, told) -> ChunkStore:
    return ChunkStore(tmp_path, parts(), told.append)


def file_of(store: ChunkStore) -> Path:
    (path,) = store.directory.glob("*.zarr.zip")
    return path


def test_a_chunk_comes_back_bit_for_bit(store, told):
    assert not store.has(CHUNK) and store.read(CHUNK) is None
    store.write(CHUNK, statistics())
    assert store.has(CHUNK) and len(store) == 1 and told == []
    assert same(store.read(CHUNK), statistics())
    assert store.read(CHUNK._replace(refinement=True)) is None
    assert store.read(CHUNK._replace(leaves=Leaves(8, 8000))) is None  # the last leaf counts in part


def test_equal_chunks_are_equal_files_that_xarray_reads(store):
    store.write(CHUNK, statistics())
    first = file_of(store).read_bytes()
    store.write(CHUNK, statistics())
    assert file_of(store).read_bytes() == first
    from zarr.storage import ZipStore

    with xarray.open_zarr(ZipStore(file_of(store), mode="r"), consolidated=False, chunks=None) as dataset:
        assert dataset["mean"].dims == ("leaf", "record", "column")
        assert json.loads(dataset.attrs["identity"]) == parts()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "text", "other array"])
def test_a_damaged_chunk_is_told_set_aside_and_computed_again(store, told, damage):
    store.write(CHUNK, statistics())
    path = file_of(store)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "other array":  # a valid archive whose checksum does not fit
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        files["mean/c/0/0/0"] = files["mean/c/0/0/0"][::-1]
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in files.items():
                archive.writestr(name, value)
        content = bytearray(path.read_bytes())
    path.write_bytes({"cut": content[:-200], "empty": b"", "text": b"hello"}.get(damage, bytes(content)))
    assert store.read(CHUNK) is None
    (message,) = told
    assert "damaged" in message and str(path) in message and "computed again" in message
    assert path.with_name(path.name + ".corrupt").exists() and not path.exists()
    store.write(CHUNK, statistics())
    assert same(store.read(CHUNK), statistics())


def test_a_chunk_under_the_name_of_another_is_refused(store, told):
    store.write(CHUNK, statistics())
    other = CHUNK._replace(rung=2)
    file_of(store).rename(store.directory / f"{other.name}.zarr.zip")
    assert store.read(other) is None
    assert "another one" in told[0]


def test_a_chunk_of_another_request_is_refused(store, told, tmp_path):
    store.write(CHUNK, statistics())
    other = ChunkStore(tmp_path, parts(seed=1), told.append)
    (other.directory / file_of(store).name).write_bytes(file_of(store).read_bytes())
    assert other.read(CHUNK) is None
    assert "of another request" in told[-1]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (parts(STUDY.replace("steps = 4", "steps = 8")), "the study file changed"),
        (parts(seed=7), "the seed changed (0, now 7)"),
        ({**parts(), "packages": "jax 9"}, "now jax 9"),
        ({**parts(), "driftax": "edited"}, "driftax itself changed"),
        ({**parts(), "arithmetic": "gpu"}, "may round differently (cpu, now gpu)"),
    ],
)
def test_a_changed_request_starts_afresh_and_loses_nothing(store, told, tmp_path, changed, message):
    store.write(CHUNK, statistics())
    other = ChunkStore(tmp_path, changed, told.append)
    assert other.read(CHUNK) is None
    assert message in told[0] and "1 finished chunks" in told[0] and str(store.directory) in told[0]
    again = ChunkStore(tmp_path, parts(), told.append)
    assert len(told) == 1 and same(again.read(CHUNK), statistics())


def test_what_changes_no_bit_changes_no_identity():
    for text in (
        STUDY.replace("100", "200"),
        STUDY.replace("members = 100\n", 'at = "max" # a comment\n'),
        STUDY + "\n",
    ):
        assert parts(text) == parts()


def test_the_arithmetic_is_that_of_the_machine_not_its_number_of_devices():
    assert arithmetic().startswith("cpu ")
    assert arithmetic().count("cpu") == 1


def test_code_beside_the_code_a_study_names_belongs_to_its_identity(tmp_path, monkeypatch):
    (tmp_path / "beside_loss.py").write_text("SCALE = 1.0\n")
    (tmp_path / "loss.py").write_text(
        "from beside_loss import SCALE\ndef f(x): return SCALE * (x**2).sum()\n"
    )
    from driftax.study.entry import load_entry

    load_entry("loss.py:f", tmp_path)
    files = named_files('[objective]\nentry = "loss.py:f"\n', tmp_path)
    assert [path.name for path in files] == ["beside_loss.py", "loss.py"]
    del sys.modules["beside_loss"]


def test_fresh_removes_the_chunks_of_this_request_only(store, told, tmp_path):
    store.write(CHUNK, statistics())
    store.look([8192, 8192])
    other = ChunkStore(tmp_path, parts(seed=1), told.append)
    other.write(CHUNK, statistics(1))
    fresh = ChunkStore(tmp_path, parts(), told.append, fresh=True)
    assert len(fresh) == 0 and fresh.looks == []
    assert same(other.read(CHUNK), statistics(1))


def test_looks_are_remembered_and_the_same_members_are_one_look(store, told, tmp_path):
    for members in ([8192, 8192], [8192, 16384], [8192, 16384]):
        store.look(members)
    assert ChunkStore(tmp_path, parts(), told.append).looks == [[8192, 8192], [8192, 16384]]
    (store.directory / "looks.json").write_text("[[81")
    with pytest.raises(DriftaxError, match="--fresh"):
        ChunkStore(tmp_path, parts(), told.append)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_part_of_a_chunk_and_keeps_the_others(store, monkeypatch, call):
    store.write(CHUNK, statistics())

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = sorted(os.listdir(store.directory))
    with monkeypatch.context() as patched:
        patched.setattr(os, call, full)
        with pytest.raises(DriftaxError) as error:
            store.write(CHUNK._replace(rung=2), statistics())
    assert "no space left" in error.value.found and "kept" in error.value.found
    assert "free some space" in error.value.instead and "--out DIR" in error.value.instead
    assert sorted(os.listdir(store.directory)) == before
    assert same(store.read(CHUNK), statistics())


def test_a_write_that_was_killed_leaves_the_old_file_and_its_part_is_removed(store, told, tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, b"old")
    part = store.directory / f".{CHUNK.name}.zarr.zip.4242.part"
    part.write_bytes(b"half")
    ChunkStore(tmp_path, parts(), told.append)
    assert not part.exists() and path.read_bytes() == b"old"


def test_two_processes_cannot_write_in_one_directory(tmp_path):
    """The second is told who holds it; after `kill -9` the directory is free."""
    code = (
        "import sys, time; from pathlib import Path; from driftax.study.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(DriftaxError) as error, locked(tmp_path):
            pass
        assert f"process {holder.pid} on " in error.value.found and "since 20" in error.value.found
        assert "wait" in error.value.instead and "--out DIR" in error.value.instead
        holder.kill()
        holder.wait()
    with locked(tmp_path):
        pass
