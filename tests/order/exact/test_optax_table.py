"""Every alias of optax compiles and is certified, or is refused with its reason; docs/optax.md says which."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import optax
import pytest

from driftax import DriftaxError, Regime, from_optax, local_order
from driftax.equation import derive
from driftax.optimizer.from_optax import optax_by_name
from driftax.optimizer.optax_aliases import ALIASES, REFUSED, alias_names

ROOT = Path(__file__).parents[3]
_spec = importlib.util.spec_from_file_location("optax_table", ROOT / "benchmarks" / "optax_table.py")
table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(table)


def test_every_alias_stands_in_one_of_the_two_tables():
    assert sorted(alias_names()) == sorted([*ALIASES, *REFUSED])


@pytest.mark.parametrize("name", ALIASES)
def test_an_alias_compiles(name):
    """Its state is read, moves slowly, and has finite moments, in every regime the table gives it."""
    for regime in ALIASES[name].regimes:
        chain, state = table.chain_of(table.build(name, regime), regime)
        if (name, regime) == (
            "fromage",
            Regime.BATCH_EQUIVALENT,
        ):  # a direction that is singular in the noise
            with pytest.raises(DriftaxError, match="integrates only to|is not slow|drift diverges"):
                derive(chain, weak_order=1, at=state, step=table.STEP)
            continue
        equation = derive(chain, weak_order=1, at=state, step=table.STEP)
        flat = state.reshape(-1)
        assert np.all(np.isfinite(equation.step_drift(table.STEP, flat)))
        assert np.all(np.isfinite(equation.step_covariance(table.STEP, flat)))


@pytest.mark.parametrize("name", ["adadelta", "adagrad", "lars", "sm3", "yogi"])
def test_the_equation_of_order_1_of_an_alias(name):
    """Those whose clock or slots are not Adam's; docs/optax.md holds all."""
    chain, state = table.chain_of(table.build(name, Regime.BALLISTIC), Regime.BALLISTIC)
    found = local_order(derive(chain, weak_order=1, at=state, step=table.STEP), state, table.STEP).order
    assert found == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("name", ["adabelief", "lion"])
def test_the_equation_of_order_2_of_an_alias(name):
    found = table.outcome(lambda: table.build(name, Regime.BALLISTIC), Regime.BALLISTIC, 2)
    assert found.order == pytest.approx(2.0, abs=0.02)


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_alias_says_why(name):
    with pytest.raises(DriftaxError) as refusal:
        optax_by_name(name, {"learning_rate": 0.1}, Regime.BALLISTIC)
    assert refusal.value.found == REFUSED[name]


@pytest.mark.filterwarnings("ignore:Specifying a key", "ignore:`optimistic_adam` is deprecated")
@pytest.mark.parametrize("name", sorted(set(REFUSED) - {"adafactor"}))
def test_what_refuses_an_alias_is_found_without_the_table(name):
    """The same optimizer given as a family, which no table knows."""
    keyword = "max_learning_rate" if name == "polyak_sgd" else "learning_rate"
    constructor = getattr(optax, name)
    found = table.outcome(
        lambda: from_optax(lambda s: constructor(**{keyword: table.RATE * s}), learning_rate=table.RATE),
        Regime.BALLISTIC,
        1,
    )
    assert found.refusal is not None


def test_the_page_holds_a_row_for_every_alias_and_chain():
    page = table.DOCS.read_text(encoding="utf-8")
    for name in ALIASES:
        assert f"| `{name}` |" in page
    for name, why in REFUSED.items():
        assert f"| `{name}` | {why} |" in page
    for name in table.chains():
        assert f"| {name} |" in page
    assert f"{len(ALIASES)} aliases compile, {len(REFUSED)} are refused." in page
