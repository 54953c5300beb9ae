"""Names of data sets as users write them."""

from __future__ import annotations

import difflib

from driftax._errors import DriftaxError
from driftax.data._value import Entry
from driftax.data.catalogue import SETS


def entry(name: str, asked: str) -> Entry:
    """The data set of a name.

    Raises:
        DriftaxError: if there is none; it names the nearest.
    """
    if name in SETS:
        return SETS[name]
    near = difflib.get_close_matches(name, SETS, n=1, cutoff=0.5)
    known = ", ".join(SETS)
    raise DriftaxError(
        asked, f"no data set {name!r}", f"{near[0]}; known: {known}" if near else f"one of {known}"
    )
