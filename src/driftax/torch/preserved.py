"""A model, its gradients and every random generator, left as they were found."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

_DEPTH = 4  # of attributes that are searched for generators


@contextmanager
def preserved(model: Any, *sources: Any) -> Iterator[None]:
    """Restores what passes through a model may change, bit for bit, also where they fail.

    Training mode, buffers and `.grad` of the model; the global generators of Python, numpy and torch (CPU and
    every CUDA device in use); generators that `sources` (a loader, its data set) hold in their attributes.
    What a module keeps in plain Python attributes is its own affair.

    Args:
        model: a torch module.
        sources: objects whose generators are restored.
    """
    with ExitStack() as stack:
        stack.callback(_restore_random, _random_state())
        for generator in _generators(sources):
            stack.callback(_set_state, generator, _get_state(generator))
        modes = [(module, module.training) for module in model.modules()]
        stack.callback(_restore_modes, modes)
        grads = [(param, param.grad) for param in model.parameters()]
        stack.callback(_restore_grads, grads)
        buffers = [
            (module, name, buffer, None if buffer is None else buffer.detach().clone())
            for module in model.modules()
            for name, buffer in module._buffers.items()
        ]
        stack.callback(_restore_buffers, buffers)
        yield


def _random_state() -> tuple[Any, ...]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), cuda


def _restore_random(state: tuple[Any, ...]) -> None:
    python, of_numpy, cpu, cuda = state
    random.setstate(python)
    np.random.set_state(of_numpy)
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state_all(cuda)


def _generators(sources: tuple[Any, ...]) -> list[Any]:
    """Generators in the attributes of some objects, and in theirs."""
    kinds = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
    found: list[Any] = []
    seen: set[int] = set()
    level = list(sources)
    for _ in range(_DEPTH):
        following: list[Any] = []
        for thing in level:
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if isinstance(thing, kinds):
                found.append(thing)
            elif isinstance(thing, list | tuple) and len(thing) < 100:
                following += thing
            elif hasattr(thing, "__dict__") and not isinstance(thing, type | torch.Tensor):
                following += vars(thing).values()
        level = following
    return found


def _get_state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    return generator.get_state() if isinstance(generator, np.random.RandomState) else generator.getstate()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator | np.random.RandomState):
        generator.set_state(state)
    elif isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    else:
        generator.setstate(state)


def _restore_modes(modes: list[tuple[Any, bool]]) -> None:
    for module, training in modes:
        module.training = training


def _restore_grads(grads: list[tuple[Any, Any]]) -> None:
    for param, grad in grads:
        param.grad = grad


def _restore_buffers(buffers: list[tuple[Any, str, Any, Any]]) -> None:
    with torch.no_grad():
        for module, name, buffer, values in buffers:
            module._buffers[name] = buffer
            # Writing what is there already would still invalidate a graph that has yet to go backward.
            if buffer is not None and not _same_bits(buffer, values):
                buffer.copy_(values)


def _same_bits(one: Any, other: Any) -> bool:
    if one.dtype.is_floating_point or one.dtype.is_complex:
        return bool(((one == other) | (torch.isnan(one) & torch.isnan(other))).all())
    return torch.equal(one, other)
