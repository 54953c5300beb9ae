"""Exact dimensional analysis of a step: the declared powers of [gradient] against what rescaling does.

If gradients are multiplied by c, every slot by c**power and every number by c**dimension (an eps is a gradient,
the learning rate of a plain step one over a gradient), a step must give the same params and slots times
c**power. With c = 4 this holds to rounding, or a declaration is wrong; the right one is then looked for.

Source: re-derived (`driftax.regime`).
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer
from driftax.regime import Role, gradient_dimension
from driftax.testing.probe import Probe, stepped
from driftax.testing.report import Row

_FACTOR = 4.0
_CLOSE = 1e-9
_POWERS = (0, 1, 2, -1)
_TELLING = 0.1  # of an eps or a decay
_MOST = 4096  # declarations that are tried
_ROLES = {0: Role.FIXED, 1: Role.EPS, 2: Role.EPS_ROOT}


class Powers(NamedTuple):
    """A declaration: the powers of the slots behind the params, of the numbers, and whether steps are normalised."""

    slots: tuple[int, ...]
    numbers: tuple[int, ...]
    normalised: bool


def check_dimensions(optimizer: AbstractOptimizer, at: Probe) -> list[Row]:
    """Refuses wrong powers in `slots`, a wrong `normalised`, a wrong role of an eps, and hidden constants."""
    roles = optimizer.roles
    if not roles:
        return [Row("powers of [gradient]", "not checked: its numbers are inside the family")]
    names = [name for name in roles if name != "learning_rate"]
    slots = list(optimizer.slots)[1:]
    declared = _declared(optimizer, names)
    off = _misfit(optimizer, at, names)
    found = float(off(*_exponents(optimizer, declared, names)))
    if found <= _CLOSE:
        said = "the params" if optimizer.normalised else "the params at learning_rate / [gradient]"
        return [Row("powers of [gradient]", f"as declared; {said} stay when gradients are rescaled", found)]
    right = _search(optimizer, declared, names, off)
    asked = f"the powers of [gradient] of {optimizer.name}"
    if right is None:
        raise DriftaxError(
            asked,
            f"gradients, slots and numbers rescaled as declared give another step (off by {found:.2g}), and no "
            "other powers help: `update` compares a gradient with a constant",
            "the constant as a field with roles = {..., 'threshold': Role.EPS} (EPS_ROOT for a squared gradient)",
        )
    wrong, instead = [], []
    if right.slots != declared.slots:
        pairs = zip(slots, declared.slots, right.slots, strict=True)
        wrong += [
            f"{name} of power {own} that is of power {true}" for name, own, true in pairs if own != true
        ]
        instead.append(f"slots = {dict(zip(['params', *slots], [0, *right.slots], strict=True))}")
    if right.numbers != declared.numbers:
        for name, own, true in zip(names, declared.numbers, right.numbers, strict=True):
            if own != true:
                wrong.append(f"{name} declared as {roles[name].name} that is a gradient to the power {true}")
                instead.append(f"{name!r}: Role.{_role_of(roles[name], true).name} in `roles`")
    if right.normalised != declared.normalised:
        wrong.append(
            f"a step that is {'' if right.normalised else 'not '}the same when gradients are rescaled"
        )
        instead.append(f"normalised = {right.normalised}")
    raise DriftaxError(asked, "; ".join(wrong), "; ".join(instead))


def _declared(optimizer: AbstractOptimizer, names: list[str]) -> Powers:
    roles, normalised = optimizer.roles, optimizer.normalised
    numbers = tuple(gradient_dimension(roles[name], normalised) for name in names)
    return Powers(tuple(optimizer.slots.values())[1:], numbers, normalised)


def _exponents(optimizer: AbstractOptimizer, powers: Powers, names: list[str]) -> tuple[Any, Any]:
    rate = gradient_dimension(Role.LEARNING_RATE, powers.normalised)
    return jnp.asarray([0.0, *powers.slots]), jnp.asarray([float(rate), *powers.numbers])


def _misfit(optimizer: AbstractOptimizer, at: Probe, names: list[str]):
    """How far a rescaled step is from the step, relative to how far the slots move in it."""
    optimizer = _telling(optimizer, names)
    roles = optimizer.roles
    plain = stepped(optimizer, at.step, at.rows, at.gradient)
    size, moved = (jnp.max(jnp.abs(rows), axis=1) for rows in (plain, plain - at.rows))

    def off(slots, numbers):
        factors = {
            name: _FACTOR ** numbers[index]
            for index, name in enumerate(["learning_rate", *names])
            if index == 0 or _can_carry(roles[name])
        }
        units = (_FACTOR**slots)[:, None]
        after = stepped(optimizer.scaled(factors), at.step, units * at.rows, _FACTOR * at.gradient) / units
        return jnp.max(jnp.max(jnp.abs(after - plain), axis=1) / (moved + 1e-6 * size + 1e-300))

    return off


def _telling(optimizer: AbstractOptimizer, names: list[str]) -> AbstractOptimizer:
    """The optimizer at numbers of a size that tells: an eps of 1e-8 or a decay of 0 would hide a wrong role."""
    fields = {field.name for field in dataclasses.fields(optimizer)}
    factors = {}
    for name in [
        "learning_rate",
        *(name for name in names if gradient_dimension(optimizer.roles[name], True)),
    ]:
        value = getattr(optimizer, name) if name in fields else None
        if value is not None and jnp.ndim(value) == 0 and 0 < float(value) < _TELLING:
            factors[name] = _TELLING / float(value)
    optimizer = optimizer.scaled(factors)
    for name in names:
        decay = optimizer.roles[name] in (Role.DECOUPLED_DECAY, Role.L2_DECAY)
        if (
            decay
            and name in fields
            and jnp.ndim(getattr(optimizer, name)) == 0
            and float(getattr(optimizer, name)) == 0
        ):
            optimizer = eqx.tree_at(operator.attrgetter(name), optimizer, _TELLING)
    return optimizer


def _can_carry(role: Role) -> bool:
    """Whether a number of that role can carry a power of [gradient]; decays and rates are pure."""
    return role not in (Role.DECAY, Role.RATE)


def _role_of(role: Role, dimension: int) -> Role:
    """The role of the same kind with that power of [gradient]."""
    if role in (Role.DECOUPLED_DECAY, Role.L2_DECAY):
        return Role.L2_DECAY if dimension else Role.DECOUPLED_DECAY
    return _ROLES[dimension]


def _search(optimizer: AbstractOptimizer, declared: Powers, names: list[str], off) -> Powers | None:
    """The declaration nearest to the given one under which a step rescales exactly."""
    roles = optimizer.roles

    def choices(name: str, own: int, normalised: bool) -> tuple[int, ...]:
        role = roles[name]
        if role in (Role.EPS, Role.EPS_ROOT, Role.EPS_ROOT_RATE, Role.FIXED):
            return (0, 1, 2)
        if role in (Role.DECOUPLED_DECAY, Role.L2_DECAY):
            return (0, 1)
        return (gradient_dimension(role, normalised),)

    candidates = []
    for normalised in (declared.normalised, not declared.normalised):
        options = [choices(n, d, normalised) for n, d in zip(names, declared.numbers, strict=True)]
        for numbers in itertools.product(*options):
            for slots in itertools.product(_POWERS, repeat=len(declared.slots)):
                candidates.append(Powers(slots, numbers, normalised))
    candidates = sorted(candidates, key=lambda powers: _changes(declared, powers))[:_MOST]
    exponents = [_exponents(optimizer, powers, names) for powers in candidates]
    stacked = [jnp.stack(column) for column in zip(*exponents, strict=True)]
    fits = np.asarray(jax.jit(jax.vmap(off))(*stacked))
    fitting = np.flatnonzero(fits <= _CLOSE)
    return candidates[int(fitting[0])] if len(fitting) else None


def _changes(declared: Powers, powers: Powers) -> int:
    pairs = zip((*declared.slots, *declared.numbers), (*powers.slots, *powers.numbers), strict=True)
    return sum(one != other for one, other in pairs) + (declared.normalised != powers.normalised)
