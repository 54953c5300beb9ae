"""What every test runs under.

This file must not import driftax: pytest puts the run-time type check in place for driftax's first import.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os

os.environ["MPLBACKEND"] = "Agg"  # in the environment, so that subprocesses draw without a screen too
# Several workers share the cores: threads of torch that wait for each other make small steps 20 times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Compiling is most of what the tests do. XLA's older code generator compiles equations and certificates in 60 % of
# the time (ensembles in the same); the numbers agree up to rounding. Other releases may not know the flag, and stop.
if importlib.metadata.version("jaxlib").startswith("0.10."):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_use_fusion_emitters=false".strip()

import hypothesis
import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_rank_promotion", "raise")

# The first call of a jitted function compiles, so a deadline would measure the compiler.
hypothesis.settings.register_profile("driftax", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("driftax")

TORCH_IS_MISSING = importlib.util.find_spec("torch") is None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what is marked `needs_torch` where torch is not installed."""
    if TORCH_IS_MISSING and item.get_closest_marker("needs_torch"):
        pytest.skip("needs torch, which is not installed here: pip install 'driftax[torch]'")


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_functions():
    """Compiled functions of one file are of no use to the next, and together they fill the memory."""
    yield
    jax.clear_caches()
