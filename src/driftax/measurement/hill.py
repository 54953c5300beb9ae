r"""Hill's tail index over a range of k: `1/alpha = mean of ln(|x|_(j) / |x|_(k+1))` over the k largest.

The inverse of a mean of k logarithms is larger than alpha by k/(k-1) on average, which is taken off.

Source: hill1975.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from driftax.measurement.estimates import Estimate, Skewed, shape_of
from driftax.measurement.standardised import clustered_variance

FRACTIONS = (0.005, 0.01, 0.02, 0.05, 0.1)


def hill(noise: np.ndarray, fractions: Sequence[float] = FRACTIONS) -> list[Skewed]:
    """The tail index at every fraction of the values; nan where fewer than 10 values are in it.

    It is the exponent alpha of `P(|x| > u) ~ u^-alpha`. For Gaussian noise it grows without bound as the
    fraction falls, for Student's law it tends to the degrees of freedom from below. Standard errors take the
    values of a unit, and those of a coordinate, as dependent. Shapes are those of what a unit adds to 1/alpha.

    Args:
        noise: standardised, [n, dim].
        fractions: of the values, from the largest.
    """
    sizes = np.abs(noise)
    ordered = np.sort(sizes, axis=None)[::-1]
    found = []
    for fraction in fractions:
        k = int(fraction * ordered.size)
        if k < 10 or k + 1 > ordered.size or ordered[k] <= 0:
            found.append(Skewed(Estimate(float("nan"), float("nan"))))
            continue
        mean = float(np.log(ordered[:k] / ordered[k]).mean())
        beyond = sizes > ordered[k]
        logs = np.log(np.where(beyond, sizes, ordered[k]) / ordered[k])
        influence = np.where(beyond, logs - mean, 0.0)
        error = float(np.sqrt(clustered_variance(influence[:, :, None])[0, 0])) / k
        unbiased = (k - 1) / k
        estimate = Estimate(unbiased / mean, unbiased * error / mean**2)
        found.append(Skewed(estimate, shape_of(-influence.sum(axis=1))))  # what leaving a unit out takes off
    return found
