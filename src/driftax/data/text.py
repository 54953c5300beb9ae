"""Text as tokens, one per character."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from driftax._errors import DriftaxError
from driftax.data._value import Raw


def read_characters(folder: Path) -> Raw:
    """The characters of `input.txt` in their order, as their place in the alphabet; the last tenth is for tests."""
    text = (folder / "input.txt").read_text(encoding="utf-8")
    alphabet, tokens = np.unique(np.array(list(text)), return_inverse=True)
    train, test = np.split(tokens.astype(np.int32), [len(tokens) - len(tokens) // 10])
    return Raw(train, train, test, test, len(alphabet))


def windows(tokens: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """The text cut into windows that do not overlap, and the tokens that follow each of theirs.

    Args:
        tokens: [size].
        length: of a window.

    Returns:
        Inputs and labels, both [window, length].

    Raises:
        DriftaxError: if the text has no window of this length.
    """
    count = (len(tokens) - 1) // length if length >= 1 else 0
    if count < 1:
        raise DriftaxError(
            "windows of a text",
            f"length = {length}",
            f"a length of 1 to {max(1, len(tokens) - 1)} characters",
        )
    shape = (count, length)
    return tokens[: count * length].reshape(shape), tokens[1 : count * length + 1].reshape(shape)
