"""docs/errata.md: every line of its table is what the one-step certificate says."""

import re
from functools import lru_cache
from pathlib import Path

import pytest

from driftax.equation.certificate import local_order
from driftax.published import publish
from driftax.study.build import build_chain, state_to_look_at
from driftax.study.spec import load_study

ROOT = Path(__file__).parents[2]
LINE = re.compile(r"^\| (.+) \| (callisti\S+) \| (examples/\S+) \| (.+) \|$", re.MULTILINE)
LINES = [match.groups()[1:] for match in LINE.finditer((ROOT / "docs" / "errata.md").read_text())]


@lru_cache
def wrong(study, model):
    """The monomials whose residual falls like h^2 only."""
    read = load_study(ROOT / study)
    chain = build_chain(read)
    z, step = state_to_look_at(read, chain)
    found = set()
    for monomial in local_order(publish(model, chain), z, step).monomials:
        known = [order for order in monomial.local_orders if order is not None]
        if known and known[-1] < 2.5:
            assert known[-1] == pytest.approx(2, abs=0.1)
            found.add(monomial.name)
    return found


def test_the_page_has_its_table():
    assert len(LINES) == 15


@pytest.mark.parametrize(("model", "study", "monomials"), LINES)
def test_a_line_is_what_the_certificate_says(model, study, monomials):
    assert wrong(study, model) == set(monomials.split(", "))


@pytest.mark.parametrize(
    "name", ["rmsprop_ballistic", "adam_ballistic", "rmsprop_ballistic_updated", "adam_ballistic_updated"]
)
def test_the_corrected_equation_is_of_order_2(name):
    assert wrong(f"examples/errata/{name}.toml", "callisti-2025-2") == set()
