"""The real torch optimizer beside a driftax rule, step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from driftax._errors import DriftaxError
from driftax.optimizer import AbstractOptimizer

STEPS = 20
TOLERANCE = 1e-10  # of the distance the params travel

_SHAPES = ((2, 2), (3,))  # of the tensors of every group
_SIZE = sum(int(np.prod(shape)) for shape in _SHAPES)
# How an update is computed, not what it is.
_FLAGS = {"foreach": False, "fused": None, "capturable": False, "differentiable": False}
_PLAIN = (bool, int, float, str, tuple, type, type(None))


def prove(
    torch: Any,
    optimizer: Any,
    groups: Sequence[Mapping[str, Any]],
    rule: Callable[[Sequence[int]], AbstractOptimizer],
) -> None:
    """Runs a torch class and a rule side by side, in double precision, on params and gradients of our own.

    Args:
        torch: the module.
        optimizer: the user's object: its class and numbers are used, its params and state are not touched.
        groups: the numbers of its parameter groups.
        rule: the driftax rule, given the sizes of the groups.

    Raises:
        DriftaxError: if the params differ after any step by more than 1e-10 of the distance they travel.
    """
    sizes = [_SIZE] * len(groups)
    draws = np.random.default_rng(0).normal(size=(STEPS + 1, sum(sizes)))
    start, gradients = draws[0], draws[1:]
    theirs = _torch_path(torch, optimizer, groups, start, gradients)
    ours = _own_path(rule(sizes), start, gradients)
    travelled = np.abs(theirs - start).max()
    difference = np.abs(ours - theirs).max(axis=1)
    allowed = TOLERANCE * travelled + 1e-14 * np.abs(theirs).max()
    wrong = np.flatnonzero(~(difference <= allowed))  # nan is wrong, too
    if wrong.size:
        step = int(wrong[0])
        raise DriftaxError(
            f"`from_torch` of {type(optimizer).__name__}, proved on {STEPS} steps of the real class",
            f"after step {step + 1} the params differ by {difference[step] / max(travelled, 1e-300):.3g} of the "
            f"distance they travel ({TOLERANCE:g} is allowed)",
            "from_torch(optimizer, rule=YourRule(...)) with a rule that makes these steps; for one of torch's "
            "own classes this is a fault of driftax: please report it with the versions of both",
        )


def _own_path(rule: AbstractOptimizer, start: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """The params [step, dim] along the rule."""
    with jax.enable_x64(True):

        def step(state: Any, given: Any) -> Any:
            number, gradient = given
            state = rule.update(number, state, gradient)
            return state, state[0]

        numbers = jnp.arange(len(gradients), dtype=jnp.float64)
        return np.asarray(
            jax.lax.scan(step, rule.init(jnp.asarray(start)), (numbers, jnp.asarray(gradients)))[1]
        )


def _torch_path(
    torch: Any, optimizer: Any, groups: Sequence[Mapping[str, Any]], start: np.ndarray, gradients: np.ndarray
) -> np.ndarray:
    """The params [step, dim] along an optimizer of the same class and numbers."""
    with _double_precision(torch):
        params = [
            torch.tensor(values.reshape(shape), requires_grad=True)
            for values, shape in _tensors(start, len(groups))
        ]
        twin = _twin(optimizer, groups, params)
        path = []
        for gradient in gradients:
            for param, (values, shape) in zip(params, _tensors(gradient, len(groups)), strict=True):
                param.grad = torch.tensor(values.reshape(shape))
            twin.step()
            path.append(np.concatenate([param.detach().numpy().reshape(-1) for param in params]))
        return np.stack(path)


def _tensors(vector: np.ndarray, groups: int) -> Iterator[tuple[np.ndarray, tuple[int, ...]]]:
    position = 0
    for shape in _SHAPES * groups:
        size = int(np.prod(shape))
        yield vector[position : position + size], shape
        position += size


@contextmanager
def _double_precision(torch: Any) -> Iterator[None]:
    """The default precision, in which torch keeps scalars of its state such as NAdam's mu_product."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("cpu"), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)


def _twin(optimizer: Any, groups: Sequence[Mapping[str, Any]], params: Sequence[Any]) -> Any:
    """A new optimizer of the same class with the same numbers."""
    each = len(_SHAPES)
    given = [
        {**group, **{flag: value for flag, value in _FLAGS.items() if flag in group}} for group in groups
    ]
    for number, group in enumerate(given):
        group["params"] = list(params[number * each : (number + 1) * each])
    try:
        accepted = list(inspect.signature(type(optimizer)).parameters)[1:]
        own = {key: value for key, value in vars(optimizer).items() if isinstance(value, _PLAIN)}
        known = {**own, **optimizer.defaults, **_FLAGS}
        keywords = {name: known[name] for name in accepted if name in known and name != "params"}
        return type(optimizer)(given, **keywords)
    except Exception as error:
        raise DriftaxError(
            f"`from_torch` of {type(optimizer).__name__}, proved on {STEPS} steps of the real class",
            f"a class that cannot be built again from its parameter groups ({type(error).__name__}: {error})",
            "a constructor (params, **numbers) whose numbers are in `defaults`, as in torch.optim",
        ) from error
