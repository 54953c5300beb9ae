"""Rules of one's own that are written in a way driftax cannot read say so where they are first used."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
import pytest

from driftax import Chain, DriftaxError, GaussianNoise, Grouped, Quadratic, derive
from driftax.equation import Method
from driftax.optimizer import AbstractOptimizer

AT = jnp.asarray([[0.5]])


def chain(optimizer):
    return Chain(Quadratic([[1.0]]), GaussianNoise(0.3), optimizer)


class Warm(AbstractOptimizer):
    """A warm-up in `clock`, and an `update` that computes it again."""

    learning_rate: float
    decay: float = 0.9
    slots = {"params": 0}

    def clock(self, step):
        return 1 - self.decay ** (step + 1)

    def update(self, step, state, gradient):
        return state._replace(params=state.params - self.learning_rate * self.clock(step) * gradient)


def test_a_clock_that_update_is_not_given():
    """The taylor method and groups hand the clock's values to `advance`; the finite-step method needs none."""
    derive(chain(Warm(0.1)), weak_order=1, at=AT)
    taylor = derive(chain(Warm(0.1)), weak_order=1, method=Method.TAYLOR)
    groups = Grouped((Warm(0.1), Warm(0.2)), (1, 1))
    uses = [
        lambda: taylor.drift(0.0, AT[0]),
        lambda: groups.update(0.0, groups.init(jnp.ones(2)), jnp.ones(2)),
    ]
    for use in uses:
        with pytest.raises(DriftaxError, match="`clock` of its own, which `update` is not given") as refusal:
            use()
        assert "def advance(self, clock, state, gradient)" in refusal.value.instead


class Option(AbstractOptimizer):
    learning_rate: float
    doubled: bool = True
    slots = {"params": 0}

    def update(self, step, state, gradient):
        rate = 2 * self.learning_rate if self.doubled else self.learning_rate
        return state._replace(params=state.params - rate * gradient)


class Word(Option):
    form: str = "raw"


class Static(Option):
    doubled: bool = eqx.field(default=True, static=True)


@pytest.mark.parametrize(
    ("rule", "asked", "instead"),
    [
        (Option, "the field doubled of Option", "doubled: bool = eqx.field(default=..., static=True)"),
        (Word, "the field form of Word", "form: str = eqx.field(default=..., static=True)"),
    ],
)
def test_an_option_among_the_numbers(rule, asked, instead):
    given = rule(0.1) if rule is Option else eqx.tree_at(lambda o: o.doubled, rule(0.1), 1.0)
    with pytest.raises(DriftaxError, match="an option and no number") as refusal:
        chain(given)
    assert refusal.value.asked == asked and refusal.value.instead == instead


def test_a_static_option_is_none_of_them():
    assert derive(chain(Static(0.1)), weak_order=1, at=AT).drift(0.0, AT[0]) == pytest.approx(-1.0)
