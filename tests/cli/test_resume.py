"""A study that is stopped in any way goes on where it was, and ends in the very same numbers."""

from __future__ import annotations

import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

MEMBERS = 60000  # not a whole number of leaves
WORDS = ["--members", str(MEMBERS), "--out", "out"]


def numbers(directory: str | Path) -> str:
    """All numbers of a run, with every bit."""
    found = json.loads((Path(directory) / "results.json").read_text())
    return json.dumps([found[key] for key in ("results", "means", "errors") if key in found])


def chunks(directory: str | Path) -> list[Path]:
    return sorted(Path(directory).glob("chunks/*/*.zarr.zip"))


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Members that were computed, call by call."""
    from driftax.compare.weak_error import RungStudy

    run, calls = RungStudy.run, []

    def counted(self, leaves, *rest, **more):
        calls.append(leaves.members)
        return run(self, leaves, *rest, **more)

    monkeypatch.setattr(RungStudy, "run", counted)
    return calls


def test_killed_runs_resume_to_the_same_bits(study, driftax):
    """`kill -9` after a random number of chunks, twice, with other numbers of devices."""
    path, whole, die = study(), ["--members", "120000", "--out"], random.Random(0)
    driftax("verify", path, *whole, "reference")
    command = [sys.executable, "-m", "driftax", "verify", str(path), *whole, "killed"]
    seen, kills = 0, 0
    for devices in (2, 1):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
        environment = {**os.environ, "XLA_FLAGS": flags}
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        aim = seen + die.randint(1, 8)
        while len(chunks("killed")) < aim and process.poll() is None:
            time.sleep(0.01)
        kills += process.poll() is None
        process.kill()
        told = process.communicate()[1]
        assert ("resuming" in told) == (seen > 0)
        seen = len(chunks("killed"))
    assert kills == 2
    answer = driftax("verify", path, *whole, "killed")
    assert f"resuming: {seen} of " in answer.err
    assert numbers("killed") == numbers("reference")
    assert [c.read_bytes() for c in chunks("killed")] == [c.read_bytes() for c in chunks("reference")]


NETWORK = """seed = 0
[objective]
name = "network"
data = "iris"
model = "shallow"
width = 150
examples = 60
test_examples = 10
[noise]
name = "minibatch"
batch_size = 8
[optimizer]
name = "sgd"
learning_rate = 0.05
[regime]
name = "ballistic"
[compare]
steps = 100
models = ["derived-1"]
observables = ["loss"]
members = 10
"""


def test_a_network_killed_between_two_members_resumes_to_the_same_bits(tmp_path, driftax):
    """More than 1,000 parameters: every member is a chunk."""
    path = tmp_path / "network.toml"
    path.write_text(NETWORK)
    command = [sys.executable, "-m", "driftax", "simulate", str(path), "--out", "killed"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    while len(chunks("killed")) < 3 and process.poll() is None:
        time.sleep(0.005)
    process.kill()
    process.wait()
    seen = len(chunks("killed"))
    assert 3 <= seen < 10 and not Path("killed/results.json").exists()
    assert f"resuming: {seen} of 10 chunks" in driftax("simulate", path, "--out", "killed").err
    driftax("simulate", path, "--out", "reference")
    assert numbers("killed") == numbers("reference")
    assert [c.read_bytes() for c in chunks("killed")] == [c.read_bytes() for c in chunks("reference")]


def test_more_members_and_another_judgement_reuse_every_whole_chunk(study, driftax, computed):
    driftax("verify", study(), *WORDS)
    assert sum(computed) == 3 * MEMBERS
    computed.clear()
    driftax("verify", study(("steps = 4", 'steps = 4\nat = "max"')), *WORDS, "--alpha", 0.01)
    assert computed == []
    answer = driftax("verify", study(), "--members", 3 * 8192 * 3, "--out", "out")
    assert "resuming: 21 of 27 chunks are there" in answer.err
    assert sum(computed) == 3 * (9 - 7) * 8192
    driftax("verify", study(), "--members", 3 * 8192 * 3, "--out", "at once")
    assert numbers("out") == numbers("at once")


def test_a_changed_study_mixes_nothing(study, driftax, computed):
    driftax("verify", study(), *WORDS)
    first = numbers("out")
    changed = driftax("verify", study(("learning_rate = 0.25", "learning_rate = 0.2")), *WORDS)
    assert "the study file changed: 24 finished chunks of the earlier request stay in" in changed.err
    driftax("verify", study(("learning_rate = 0.25", "learning_rate = 0.2")), *WORDS[:3], "alone")
    assert numbers("out") == numbers("alone") != first
    computed.clear()
    driftax("verify", study(), *WORDS)  # and back: all of it is still there
    assert computed == [] and numbers("out") == first
    driftax("verify", study(), *WORDS, "--fresh")
    assert sum(computed) == 3 * MEMBERS and numbers("out") == first


def test_a_corrupted_chunk_is_told_and_computed_again(study, driftax, computed):
    driftax("simulate", study(), *WORDS)
    first = numbers("out")
    victim = chunks("out")[3]
    content = bytearray(victim.read_bytes())
    content[1000] ^= 4
    victim.write_bytes(content)
    Path("out/results.json").unlink()
    computed.clear()
    answer = driftax("simulate", study(), *WORDS)
    assert answer.code == 0 and numbers("out") == first and computed == [8192]
    assert f"kept as {victim}.corrupt, and computed again" in answer.err


@pytest.mark.parametrize("full_at", [3, 5, "results.json"])
def test_a_full_disk_loses_nothing(full_at, study, driftax, monkeypatch):
    """The disk is full at a chunk, or at the results themselves."""
    replace, written = os.replace, []

    def fill(source, target):
        written.append(Path(target).name)
        if full_at == written[-1] or full_at == len(written):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", fill)
        answer = driftax("simulate", study(), *WORDS)
    assert answer.code == 2 and "Traceback" not in answer.err
    asked, found, instead = answer.err.strip().splitlines()[-3:]
    assert written[-1] in asked and "no space left on device" in found
    assert "free some space" in instead and "the same command again" in instead
    assert not list(Path("out").glob("**/*.part")) and not Path("out/results.json").exists()
    kept = len(chunks("out"))
    again = driftax("simulate", study(), *WORDS)
    assert again.code == 0 and (f"resuming: {kept} of 8" in again.err) == (kept > 0)
    driftax("simulate", study(), *WORDS[:3], "reference")
    assert numbers("out") == numbers("reference")


def test_two_processes_on_one_store(study, driftax):
    from driftax.study.lock import locked

    with locked(Path("out")):
        answer = driftax("simulate", study(), *WORDS)
    assert answer.code == 2
    assert f"another process is writing there: process {os.getpid()} on " in answer.err
    assert not chunks("out")
    assert driftax("simulate", study(), *WORDS).code == 0


def test_a_budget_that_cut_a_run_short_is_made_up_for_later(study, driftax):
    """Every repetition gets on, even with a budget that the start of the program takes."""
    words = ["verify", study(), "--members", 20000, "--out"]
    driftax(*words, "out", "--budget", "0.001s")
    provenance = json.loads(Path("out/results.json").read_text())["provenance"]
    assert provenance["complete"] is False and provenance["members"] == {"1": 8192, "0.5": 8192, "0.25": 8192}
    runs = 0
    while not json.loads(Path("out/results.json").read_text())["provenance"]["complete"]:
        runs += 1
        driftax(*words, "out", "--budget", "0.001s")
    assert runs == 6
    driftax(*words, "reference")
    assert numbers("out") == numbers("reference")


def test_runs_that_are_repeated_get_no_further_looks(study, driftax, monkeypatch):
    """Else a study would be looked at until its verdict is as wished: the false alarm is shared by 8 looks."""
    from driftax.study import verification

    monkeypatch.setattr(verification, "_growth_wanted", lambda rows, false_alarm: 1.3)
    monkeypatch.setattr(verification, "_growth_affordable", _once_each())
    looks, members = [], []
    for alpha in range(1, 10):  # another request each time, on the same chunks
        driftax("verify", study(), "--out", "out", "--alpha", alpha * 1e-3)
        provenance = json.loads(Path("out/results.json").read_text())["provenance"]
        looks.append(provenance["looks"])
        members.append(provenance["members"]["0.25"] // 8192)
    assert looks[0] == 2 and looks[-1] == verification.LOOKS == 8
    assert members == sorted(members) and members[-3] == members[-2] == members[-1]
    driftax("verify", study(), "--out", "out", "--members", 20 * 8192)  # more is stored than was looked at
    driftax("verify", study(), "--out", "out", "--alpha", 0.1)
    provenance = json.loads(Path("out/results.json").read_text())["provenance"]
    assert provenance["looks"] == 8 and provenance["members"]["0.25"] // 8192 == members[-1]


def _once_each() -> Callable[..., float]:
    """Time for one growth per run."""
    begun = set()

    def affordable(studies, computed, since, deadline) -> float:
        first = deadline not in begun
        begun.add(deadline)
        return 8.0 if first else 0.0

    return affordable


def test_growth_ends_where_members_do(study, driftax, monkeypatch):
    from driftax.study import verification

    monkeypatch.setattr(verification, "_growth_wanted", lambda rows, false_alarm: 8.0)
    monkeypatch.setattr(verification, "_MOST_MEMBERS", 3 * 8192)
    driftax("verify", study(), "--out", "out", "--budget", "1h")
    provenance = json.loads(Path("out/results.json").read_text())["provenance"]
    assert provenance["members"]["0.25"] == 3 * 8192 and provenance["looks"] == 2
