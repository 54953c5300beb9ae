"""The battery for rules of one's own: every broken rule fails where it is broken."""

from __future__ import annotations

import functools

import jax.numpy as jnp
import pytest

from driftax import SGD, DriftaxError, RMSprop, derive
from driftax.testing import check_optimizer, equations
from driftax.testing.parts import check_parts
from unit.broken_rules import FAILS, SMOOTH, Broken


def test_the_rule_that_is_broken_is_right_before():
    report = check_optimizer(Broken(), certificate=False)
    assert report.row("kinks").outcome == SMOOTH and report.row("slots").outcome == "params, nu [gradient]^2"


@pytest.mark.parametrize(("rule", "found", "instead"), FAILS, ids=lambda x: getattr(x, "__name__", ""))
def test_a_broken_rule_is_refused_where_it_is_broken(rule, found, instead):
    with pytest.raises(DriftaxError) as refusal:
        check_optimizer(rule(), certificate=False)
    assert found in refusal.value.found and instead in refusal.value.instead, refusal.value
    assert refusal.value.asked and refusal.value.instead


@pytest.mark.parametrize(("given", "found"), [(Broken, "the class Broken"), (3, "int")])
def test_what_is_no_optimizer_is_refused(given, found):
    with pytest.raises(DriftaxError, match=found):
        check_parts(given, dim=2)  # of `check_optimizer` the run-time types are checked first


def test_a_state_of_ones_own():
    optimizer, at = RMSprop(0.1, 0.9, 0.1), jnp.asarray([[1.2], [0.5]])
    report = check_optimizer(optimizer, certificate=False, at=at, step=5.0)
    own = check_optimizer(optimizer, certificate=False)
    assert report.row("mean step").number != own.row("mean step").number
    with pytest.raises(DriftaxError, match="one row per slot"):
        check_optimizer(optimizer, certificate=False, at=at[:1])


def test_one_parameter_cannot_mix():
    with pytest.raises(DriftaxError, match="dim = 2 or more"):
        check_optimizer(SGD(0.1), dim=1)


def test_a_certificate_that_falls_short_is_an_error(monkeypatch):
    """An equation without its noise claims order 2 and is of order 1."""
    monkeypatch.setattr(equations, "derive", functools.partial(derive, stochastic=False))
    with pytest.raises(DriftaxError, match="the order 1.0") as refusal:
        check_optimizer(SGD(0.1))
    assert "order 2, ballistic" in refusal.value.asked and "params[0]^2" in refusal.value.found
