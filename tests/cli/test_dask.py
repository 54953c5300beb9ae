"""Chunks on a cluster: the bits of one process, whichever worker dies; and what is refused."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from driftax import DriftaxError
from driftax.compare.weak_error import Leaves
from driftax.simulate.ensemble import LeafStatistics
from driftax.statistics.streaming import Moments
from driftax.study.chunks import Chunk
from driftax.study.identity import arithmetic
from driftax.study.recipe import Recipe
from driftax.study.worker import compute

DISTRIBUTED = "needs dask, which is not installed here: pip install 'driftax[dask]'"


def numbers(directory: str | Path) -> str:
    """All numbers of a run, with every bit."""
    return json.dumps(json.loads((Path(directory) / "results.json").read_text())["results"])


def workers_of(process: int) -> list[int]:
    """The worker processes of a command with a cluster on this machine."""
    import psutil  # comes with dask

    children = psutil.Process(process).children()
    return [
        child.pid for child in children if not any("resource_tracker" in word for word in child.cmdline())
    ]


def test_a_cluster_survives_the_death_of_a_worker_with_the_same_bits(study, driftax):
    """Two worker processes; one is killed in the middle, and its chunk is computed by the other."""
    pytest.importorskip("distributed", reason=DISTRIBUTED)
    path, words = study(), ["--members", "250000", "--out"]
    driftax("simulate", path, *words, "reference")
    command = [sys.executable, "-m", "driftax", "simulate", str(path), *words, "cluster", "--json"]
    command += ["--executor", "dask", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while len(list(Path("cluster").glob("chunks/*/*.zip"))) < 4 and process.poll() is None:
            time.sleep(0.05)
        workers = workers_of(process.pid)
        os.kill(workers[0], signal.SIGKILL)
        out, err = process.communicate(timeout=100)
    assert len(workers) == 2
    assert process.returncode == 0, err
    assert "is gone: what it had is computed again by others" in err
    assert json.loads(out)["provenance"]["executor"] == "dask, 2 workers"
    assert numbers("cluster") == numbers("reference")
    kept = [sorted(Path(name).glob("chunks/*/*.zip")) for name in ("cluster", "reference")]
    assert [path.read_bytes() for path in kept[0]] == [path.read_bytes() for path in kept[1]]


@pytest.mark.parametrize(
    ("words", "found", "instead"),
    [
        (["--scheduler", "tcp://10.0.0.1:8786"], "--executor local", "--executor dask --scheduler tcp://10"),
        (["--workers", "3"], "--executor local", "--executor dask --workers 3"),
        (
            ["--executor", "dask", "--workers", "3", "--scheduler", "tcp://a:1"],
            "already",
            "one of the two flags",
        ),
        (["--executor", "dask", "--scheduler", "nonsense://a"], "none answers there", "tcp://10.0.0.1:8786"),
    ],
)
def test_clusters_that_cannot_be_used_are_refused(words, found, instead, study, driftax):
    pytest.importorskip("distributed", reason=DISTRIBUTED)
    answer = driftax("simulate", study(), *words)
    assert answer.code == 2
    lines = answer.err.strip().splitlines()
    assert found in lines[-2] and instead in lines[-1]


def test_without_dask_the_extra_is_named(study, driftax, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    answer = driftax("simulate", study(), "--executor", "dask")
    assert answer.code == 2 and "pip install 'driftax[dask]'" in answer.err


@pytest.mark.parametrize("part", ["driftax", "packages", "arithmetic", "study"])
def test_a_worker_that_would_compute_other_bits_refuses(part, study):
    path = study()
    recipe = pickle.loads(pickle.dumps(Recipe.of(path, path.read_text(), 0, False)))
    chunk, wanted = Chunk(0, False, Leaves(0, 1024)), recipe.identity(arithmetic())
    assert int(compute(recipe, wanted, chunk).moments.members[0, 0]) == 1024
    with pytest.raises(DriftaxError) as error:
        compute(recipe, {**wanted, part: "another"}, chunk)
    assert "it would compute other bits" in error.value.found and "docs/clusters.md" in error.value.instead
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # it reaches the user as it is


def test_a_file_that_only_the_client_sees_is_named(study):
    path = study()
    recipe = Recipe(path, path.read_text(), (path.with_name("loss.py"),), 0, False)
    with pytest.raises(DriftaxError, match=r"loss\.py: no such file there"):
        compute(recipe, {}, Chunk(0, False, Leaves(0, 1024)))


def test_a_worker_does_not_run_code_that_has_changed(study, tmp_path):
    """Python imports a file once; a long-lived worker would compute with the old one."""
    loss, path = tmp_path / "loss.py", study()
    recipe = Recipe(path, path.read_text(), (loss,), 0, False)
    loss.write_text("SCALE = 1.0")
    compute(recipe, recipe.identity(arithmetic()), Chunk(0, False, Leaves(0, 1024)))
    loss.write_text("SCALE = 2.0")
    with pytest.raises(DriftaxError, match="changed since this worker ran it"):
        compute(recipe, recipe.identity(arithmetic()), Chunk(0, False, Leaves(0, 1024)))


class Cluster:
    """A client whose futures are done at once; a chunk of the rung `fatal` kills its workers."""

    def __init__(self, fatal: int = -1):
        self.fatal, self.cancelled = fatal, []

    def nthreads(self):
        return {"tcp://a": 2}

    def wait_for_workers(self, count):
        pass

    def run(self, function):
        return {"tcp://a": function()}

    def submit(self, function, recipe, identity, chunk, **options):
        cluster = self

        class Future:
            def result(self):
                from distributed import KilledWorker

                if chunk.rung == cluster.fatal:
                    raise KilledWorker("task", None, 3)
                zero = np.zeros((1, 1, 1, 1))
                return LeafStatistics(Moments(zero[0, 0], zero[0], zero), zero[0].astype(int))

        return Future()

    def cancel(self, futures):
        self.cancelled += futures


@pytest.fixture
def executor(study, monkeypatch):
    pytest.importorskip("distributed", reason=DISTRIBUTED)
    from driftax.study.cluster import DaskExecutor

    monkeypatch.setattr("distributed.wait", lambda futures, **options: types.SimpleNamespace(done=futures))
    path = study()
    recipe = Recipe.of(path, path.read_text(), 0, False)
    return lambda cluster: DaskExecutor(cluster, recipe, print)


def test_every_chunk_comes_back_although_all_that_were_handed_out_are_done(executor):
    chunks = [Chunk(0, False, Leaves(8 * i, 8192)) for i in range(11)]
    assert sorted(done.chunk for done in executor(Cluster()).run([], chunks)) == chunks


def test_a_chunk_that_kills_its_workers_is_named(executor):
    cluster = Cluster(fatal=1)
    chunks = [Chunk(rung, False, Leaves(0, 8192)) for rung in range(3)]
    with pytest.raises(DriftaxError) as error:
        list(executor(cluster).run([], chunks))
    assert chunks[1].name in error.value.asked and "4 workers died" in error.value.found
    assert len(cluster.cancelled) == 1
