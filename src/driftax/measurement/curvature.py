r"""The Hessian through its products with vectors: trace and tr(H Sigma); the edge of stability.

A Hessian is given as a function `vector [dim] -> H vector [dim]`, or as several of them, each from a chunk of
the examples: their mean is the Hessian, and their spread what the standard errors of the sampling come from.

Source: hutchinson1990; cohen2022, eq. (3) for the edge of Adam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from driftax._errors import DriftaxError
from driftax.measurement.estimates import Estimate, Skewed, jackknife_covariance, root, shape_of
from driftax.measurement.krylov import Product


def hessian_trace(
    products: Sequence[Product], groups: Mapping[str, slice], probes: int | None = None, seed: int = 0
) -> dict[str, Estimate]:
    """The trace of the Hessian's block of every group, by random signs (Hutchinson).

    Probe k meets the Hessian of chunk k (in turn): values are independent where there are as many chunks as
    probes, and their spread then covers the draw of the examples as well as that of the signs.

    Args:
        products: Hessians of the chunks.
        groups: where the parameters of a group stand.
        probes: number of them; as many as there are chunks (2 at least) if left out.
        seed: of the signs.

    Source: hutchinson1990.
    """
    dim = max(part.stop for part in groups.values())
    probes = max(len(products), 2) if probes is None else probes
    random = np.random.default_rng(seed)
    values = np.zeros((probes, len(groups)))
    for k in range(probes):
        signs = random.integers(0, 2, dim) * 2.0 - 1.0
        product = signs * products[k % len(products)](signs)
        values[k] = [product[part].sum() for part in groups.values()]
    errors = values.std(axis=0, ddof=1) / np.sqrt(probes)
    return {
        name: Estimate(float(mean), float(error))
        for name, mean, error in zip(groups, values.mean(axis=0), errors, strict=True)
    }


def hessian_covariance_trace(
    products: Sequence[Product], gradients: np.ndarray, chunks: np.ndarray, unit_size: int = 1
) -> Skewed:
    """tr(H Sigma) of one example, unbiased: `mean of (g - g')' H (g - g') / 2` over pairs of units of a chunk.

    A pair of one chunk meets the Hessians of all others: with that of its own examples the mean would be biased
    by their dependence. The standard error is the jackknife over chunks. Given a single Hessian, that one is
    taken as fixed, and centred gradients give the same with the divisor n - 1.

    Args:
        products: Hessians of the chunks.
        gradients: of the units [n, dim].
        chunks: of each unit, the number of its chunk [n]; units of higher numbers are not used.
        unit_size: examples in a unit.

    Source: re-derived; efron1981.
    """
    if len(products) == 1:
        centred = gradients - gradients.mean(axis=0)
        n = len(centred)
        values = unit_size * np.array([row @ products[0](row) for row in centred]) * n / (n - 1)
        return Skewed(Estimate(float(values.mean()), float(values.std(ddof=1) / np.sqrt(n))))
    count = len(products)
    crossed = np.zeros((count, count))  # pairs of a chunk, Hessian of another
    for chunk in range(count):
        rows = gradients[chunks == chunk]
        differences = rows[0 : len(rows) - 1 : 2] - rows[1::2]
        for other in range(count):
            if other != chunk:
                crossed[chunk, other] = np.mean([row @ products[other](row) / 2 for row in differences])
    total = crossed.sum()
    value = unit_size * total / (count * (count - 1))
    if count < 3:
        return Skewed(Estimate(float(value), float("nan")))
    left = unit_size * (total - crossed.sum(axis=0) - crossed.sum(axis=1)) / ((count - 1) * (count - 2))
    error = root(float(jackknife_covariance(left[:, None])[0, 0]))
    return Skewed(Estimate(float(value), error), shape_of(left))


def stability_edge(
    learning_rate: float, momentum: float = 0.0, averaged: bool = True, nesterov: bool = False
) -> float:
    """The curvature at which an optimizer turns unstable on a quadratic, preconditioned if it is adaptive.

    `2 / lr` without momentum; `2 (1 + b) / ((1 - b) lr)` for an averaged first moment (Adam);
    `2 (1 + b) / lr` for a summed one (heavy ball), over `1 + 2 b` if it is Nesterov's.

    Args:
        learning_rate: above 0.
        momentum: decay b of the first moment.
        averaged: whether the first moment is (1 - b) times a sum, as in Adam.
        nesterov: whether the step looks ahead; of a summed moment only.

    Raises:
        DriftaxError: for numbers out of range.

    Source: cohen2022, eq. (3); cohen2021 for heavy ball and Nesterov.
    """
    if not (learning_rate > 0 and 0 <= momentum < 1):
        found = f"learning_rate = {learning_rate:g}, momentum = {momentum:g}"
        raise DriftaxError("the edge of stability", found, "a learning rate above 0, a momentum in [0, 1)")
    edge = 2 * (1 + momentum) / learning_rate
    if averaged:
        return edge / (1 - momentum)
    return edge / (1 + 2 * momentum) if nesterov else edge
