"""Study files of landscape experiments, as text: what their parts share."""

from __future__ import annotations


def study_text(
    objective: str, noise: str, optimizer: str, start: str, compare: str, ladder: str = "[1.0]", seed: int = 0
) -> str:
    """A study file from the lines of its sections, in the ballistic regime."""
    return f"""seed = {seed}

[objective]
{objective}

[noise]
{noise}

[optimizer]
{optimizer}

[start]
{start}

[regime]
name = "ballistic"
ladder = {ladder}

[compare]
{compare}
"""


def records(steps: int, count: int = 40) -> list[int]:
    """The first step and `count` steps spread evenly to the last."""
    return sorted({1, *(round(steps * i / count) for i in range(1, count + 1))})


def compare(steps: int, models: list[str], members: int, observables=("loss",), more: str = "") -> str:
    """The lines of a [compare] section."""
    return (
        f"steps = {steps}\nrecord = {records(steps)}\nmodels = {models!r}\n"
        f'observables = {list(observables)!r}\nmembers = {members}\nrandomness = "fast"\n{more}'
    )


DIAGONAL = 'name = "quadratic"\nhessian = [[1.0, 0.0], [0.0, 2.0]]'


def gaussian(sigma: float) -> str:
    """The lines of independent Gaussian noise of standard deviation sigma."""
    return f'name = "gaussian"\ncovariance = {sigma**2!r}'
