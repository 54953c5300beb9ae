"""`data`: the table, the folder of a set, a copy into the cache, and wrong words."""

from __future__ import annotations

import json

import pytest


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    for key in ("HOME", "XDG_CACHE_HOME", "DRIFTAX_DATA", "TORCH_HOME", "KERAS_HOME"):
        monkeypatch.setenv(key, str(tmp_path / key.lower()))


def test_the_list(driftax, nowhere):
    answer = driftax("data", "list")
    assert answer.code == 0
    for part in ("breast_cancer", "28 x 28 x 1", "CC BY-SA 3.0", "not found", "scikit-learn"):
        assert part in answer.out
    rows = {row["name"]: row for row in json.loads(driftax("data", "--json").out)["data"]}
    assert rows["mnist"]["examples"] == 60000 and rows["mnist"]["folder"] is None
    assert rows["iris"]["folder"]


def test_the_path(driftax, nowhere):
    assert driftax("data", "path", "iris").out.strip().endswith("data")
    assert json.loads(driftax("data", "path", "wine", "--json").out)["name"] == "wine"


WRONG = {
    "name": (["path", "mnis"], "instead: mnist"),
    "missing": (["path", "mnist"], "driftax data import mnist /path/to/folder"),
    "import": (["import", "cifar10", "absent"], "not in absent"),
    "nothing to import": (["import", "iris", "."], "comes with scikit-learn"),
    "words": (["fetch", "mnist"], "neither `list`"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_words(name, driftax, nowhere):
    words, part = WRONG[name]
    answer = driftax("data", *words)
    assert answer.code == 2
    assert answer.out == ""
    assert [line.split(":")[0] for line in answer.err.splitlines()] == ["asked", "found", "instead"]
    assert part in answer.err
