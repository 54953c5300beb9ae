"""The one exception users see: what was asked, what was found, what to write instead."""

from __future__ import annotations


class DriftaxError(ValueError):
    """A request that cannot be met, in three parts.

    Args:
        asked: what was asked for.
        found: what was found, with the value.
        instead: the line to write instead.
    """

    def __init__(self, asked: str, found: str, instead: str) -> None:
        self.asked, self.found, self.instead = asked, found, instead
        super().__init__(f"asked: {asked}\nfound: {found}\ninstead: {instead}")

    def __reduce__(self) -> tuple[type[DriftaxError], tuple[str, str, str]]:
        """An error of a worker reaches the user as it was raised."""
        return type(self), (self.asked, self.found, self.instead)
