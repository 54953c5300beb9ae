"""The bridge where the other side is missing."""

from __future__ import annotations

import sys

import pytest

from driftax import DriftaxError, from_torch


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(DriftaxError, match="no torch in this environment") as error:
        from_torch(object())
    assert error.value.instead == 'pip install "driftax[torch]"'
