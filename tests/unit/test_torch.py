"""driftax's optimizers are torch.optim's, in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adam, RMSprop
from driftax.optimizer import DecayForm

START = np.array([0.7, -1.2, 0.4])
GRADIENTS = np.random.default_rng(2).normal(size=(20, 3))
L2 = DecayForm.L2

CASES = {
    "sgd": (SGD(0.1), "SGD", {}),
    "sgd l2": (SGD(0.1, 0.3, L2), "SGD", {"weight_decay": 0.3}),
    "rmsprop": (RMSprop(0.1, 0.9, 0.05), "RMSprop", {"alpha": 0.9, "eps": 0.05}),
    "rmsprop l2": (
        RMSprop(0.1, 0.9, 0.05, 0.3, L2),
        "RMSprop",
        {"alpha": 0.9, "eps": 0.05, "weight_decay": 0.3},
    ),
    "adam": (Adam(0.1, 0.8, 0.95, 0.05), "Adam", {"betas": (0.8, 0.95), "eps": 0.05}),
    "adam l2": (
        Adam(0.1, 0.8, 0.95, 0.05, 0.3, L2),
        "Adam",
        {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.3},
    ),
    "adamw": (
        Adam(0.1, 0.8, 0.95, 0.05, 0.3),
        "AdamW",
        {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.3},
    ),
    "adam defaults": (Adam(0.1), "Adam", {}),
    "adamw defaults": (Adam(0.1, weight_decay=0.01), "AdamW", {}),
    "rmsprop defaults": (RMSprop(0.1), "RMSprop", {}),
}


@pytest.mark.needs_torch
@pytest.mark.parametrize("name", CASES)
def test_twenty_steps_equal_torch(name):
    import torch

    own, theirs, keywords = CASES[name]
    params = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = getattr(torch.optim, theirs)([params], lr=0.1, **keywords)
    state = own.init(jnp.asarray(START))
    update = jax.jit(lambda number, state, gradient: own.update(number, state, gradient))
    for number, gradient in enumerate(GRADIENTS):
        params.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        state = update(float(number), state, jnp.asarray(gradient))
        np.testing.assert_allclose(state[0], params.detach().numpy(), rtol=1e-6, atol=1e-9)
