"""What is read off the trace, and whether it is so."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.optimizer.structure import growth, structure
from driftax.testing.arithmetic import numbers_as
from driftax.testing.probe import Probe, stepped
from driftax.testing.report import Row

_FORMS = {1: "linear in the gradient", 2: "quadratic in the gradient", None: "of any form"}


def check_shape(optimizer: AbstractOptimizer, at: Probe) -> list[Row]:
    """Mixing and kinks as the compiler reads them; refuses rounding, and a reading that is not so."""
    read = structure(numbers_as(optimizer, float), at.dim)
    jacobian = jax.jacfwd(lambda gradient: stepped(optimizer, at.step, at.rows, gradient))(at.gradient)
    off = np.asarray(jnp.max(jnp.abs(jacobian) * (1 - jnp.eye(at.dim))[None])).max()
    if read.elementwise and off > 0:
        raise DriftaxError(
            f"the trace of {optimizer.name}",
            f"coordinates that depend on each other (a derivative of {off:.2g}), which the trace does not show",
            "a report to driftax with this rule: the reading of its trace is wrong",
        )
    mixing = "each on its own"
    if not read.elementwise:
        mixing = (
            f"mix ({read.mixing})" if off > 0 else f"taken to mix ({read.mixing}), although none was seen to"
        )
    kinks = "none: smooth in the gradient"
    if not read.elementwise:
        kinks = "not looked for, since coordinates mix"
    elif read.switches:
        kinks = f"{len(read.switches)}: " + ", ".join(_FORMS[degree] for degree in read.switches)
    powers = growth(optimizer, at.dim)
    grows = ", ".join(
        f"{name} {['bounded', 'linear', 'quadratic'][power] if power < 3 else f'to the power {power}'}"
        for name, power in powers.items()
    )
    return [
        Row("coordinates", mixing, None if read.elementwise else float(off)),
        Row("kinks", kinks),
        Row("large gradients", grows),
    ]
