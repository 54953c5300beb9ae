"""What an error about a study file says: the nearest known word, a value as TOML writes it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any, NoReturn

from driftax._errors import DriftaxError

QUOTED = '"{}"'


def nearest(word: str, known: Iterable[str], form: str) -> str:
    """The nearest known word, then all of them."""
    known = list(known)
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    listed = ", ".join(form.format(k) for k in known)
    return f"{form.format(near[0])}; known: {listed}" if near and len(known) > 1 else f"one of {listed}"


def refuse_name(asked: str, name: Any, known: Iterable[str]) -> NoReturn:
    """Refuses an unknown name."""
    raise DriftaxError(asked, shown(name), nearest(str(name), known, QUOTED))


def shown(value: Any) -> str:
    """A value as TOML writes it, cut to a readable length."""
    try:
        text = json.dumps(value).replace("NaN", "nan").replace("Infinity", "inf")
    except (TypeError, ValueError):
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
