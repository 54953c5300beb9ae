"""When to measure: every so many steps, or as seldom as keeps the cost below a share of the time."""

from __future__ import annotations

import time

from driftax._errors import DriftaxError


class Schedule:
    """Steps counted, and seconds.

    Args:
        every: steps between measurements; None if the budget alone decides.
        budget: largest share of the wall-clock time since the first step, such as `"5%"` or 0.05; None for any.

    Raises:
        DriftaxError: for what is neither.
    """

    def __init__(self, every: int | None, budget: float | str | None):
        if every is not None and (isinstance(every, bool) or not isinstance(every, int) or every < 1):
            raise DriftaxError("NoiseProbe(every=...)", f"every = {every!r}", "every=100, a number of steps")
        self.every = every
        self.share = _share("5%" if every is None and budget is None else budget)
        self.steps = 0
        self.spent = 0.0  # seconds
        self.cost = 0.0  # of the last measurement
        self._begin: float | None = None

    def due(self) -> bool:
        """Counts a step; whether to measure after it."""
        now = time.perf_counter()
        self._begin = now if self._begin is None else self._begin
        self.steps += 1
        if self.every is not None and self.steps % self.every:
            return False
        # The first one tells what they cost.
        allowed = self.share is None or self.spent + self.cost <= self.share * (now - self._begin + self.cost)
        return allowed or self.cost == 0.0

    def took(self, seconds: float) -> None:
        """Counts the time of a measurement."""
        self.spent += seconds
        self.cost = seconds


def _share(budget: float | str | None) -> float | None:
    if budget is None:
        return None
    try:
        text = str(budget).strip()
        share = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 < share <= 1:
        raise DriftaxError(
            "NoiseProbe(budget=...)", f"budget = {budget!r}", 'budget="5%", a share of the time'
        )
    return share
