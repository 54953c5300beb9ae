"""A short run of both fuzzers; the long ones are `python tests/fuzz/studies.py` and `python tests/fuzz/chains.py`."""

from __future__ import annotations

from fuzz import chains, studies


def test_random_study_files_are_answered_or_refused(tmp_path):
    seen, failures = studies.run(12, seed=7, whole=12, folder=tmp_path)
    assert not failures, failures[0]
    assert seen["refused"] + seen["finite"] == 12


def test_random_optax_chains_are_answered_or_refused():
    seen, failures = chains.run(4, seed=7)
    assert not failures, failures[0]
    assert seen["refused"] + seen["finite"] == 4
