"""B6: standard normals per second of every generator in the tables, and whether they are normal."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import torch

from driftax.simulate.normals import CounterNormals

from .interleave import Answer, Candidate, check_agreement, interleave
from .peers import numba_kernel
from .peers.torch_threads import fastest
from .row import Row, rows

TITLE = "Random numbers"
TEXT = """Filling memory with standard normals, over NumPy's PCG64 in float64. Every generator must have the moments of
a normal to the sixth (of a three-point variable where it says so, to the fifth) and uncorrelated neighbours, along
either axis and in squares, within five standard errors. Above 1, NumPy is faster."""
COMPARES = "time per number, over NumPy's"

_SHAPE = (6, 1024)  # of one draw of the engine: parameters, members of a leaf


def run(quick: bool) -> list[Row]:
    count = 2**20 if quick else 2**23
    draws = count // (_SHAPE[0] * _SHAPE[1])
    count = draws * _SHAPE[0] * _SHAPE[1]
    functions = {
        "NumPy PCG64 float64": lambda seed: np.random.default_rng(seed).standard_normal((draws, *_SHAPE)),
        "NumPy PCG64 float32": lambda seed: np.random.default_rng(seed).standard_normal(
            (draws, *_SHAPE), dtype=np.float32
        ),
        "driftax float32": _driver(draws, jnp.float32),
        "driftax float64": _driver(draws, jnp.float64),
        "jax.random, one array": _one_array(draws),
        "torch": fastest(
            lambda seed: torch.randn((draws, *_SHAPE), generator=torch.Generator().manual_seed(seed))
        ),
        "Numba kernel": numba_kernel.normals(count),
        "Numba kernel, three-point": numba_kernel.normals(count, gaussian=False),
    }
    for name, function in functions.items():
        check(name, np.asarray(function(1)), gaussian="three-point" not in name)

    def candidate(name, function):
        def run(seed):
            drawn = function(seed)
            return Answer(float(drawn[0, 0, 0]), np.inf)

        return Candidate(name, run, count)

    measured = interleave([candidate(*pair) for pair in functions.items()], rounds=3 if quick else 7)
    check_agreement(measured)
    return rows("standard normals", measured)


def _driver(draws, dtype):
    """What the engine draws in one step for a leaf, over and over."""
    stream, (dim, members) = CounterNormals(), _SHAPE

    @jax.jit
    def fill(key):
        return jax.lax.map(
            lambda step: stream.draw(key, step, (1, 1, dim), members, dtype)[0][0, 0], jnp.arange(draws)
        )

    return lambda seed: fill(jax.random.key(seed)).block_until_ready()


def _one_array(draws):
    fill = jax.jit(lambda key: jax.random.normal(key, (draws, *_SHAPE), jnp.float32))
    return lambda seed: fill(jax.random.key(seed)).block_until_ready()


def check(name: str, drawn: np.ndarray, gaussian: bool = True) -> None:
    """Refuses draws [block, row, lane] whose moments or correlations are not those of independent normals."""
    z = drawn.astype(np.float64)
    moments = {1: 0.0, 2: 1.0, 3: 0.0, 4: 3.0, 5: 0.0, **({6: 15.0} if gaussian else {})}
    for power, expected in moments.items():
        _within(f"moment {power} of {name}", z**power, expected)
    for axis in range(3):
        first, second = (
            np.take(z, range(0, z.shape[axis] - 1), axis),
            np.take(z, range(1, z.shape[axis]), axis),
        )
        _within(f"correlation of {name} along axis {axis}", first * second, 0.0)
        _within(f"correlation of squares of {name} along axis {axis}", (first**2 - 1) * (second**2 - 1), 0.0)


def _within(what: str, values: np.ndarray, expected: float) -> None:
    found = Answer.of(values.reshape(-1))
    # Three-point variables keep 16 bits of their probabilities: an error of 1e-4 in moments.
    if abs(found.mean - expected) > 5 * found.standard_error + 2e-4:
        raise AssertionError(f"{what}: {found.mean:.5f} ({found.standard_error:.1e}), expected {expected}")
