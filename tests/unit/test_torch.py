"""driftax's optimizers are torch.optim's, in double precision."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import SGD, Adagrad, Adam, AMSGrad, Momentum, NAdam, RAdam, RMSprop
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
    "momentum": (Momentum(0.1, 0.8), "SGD", {"momentum": 0.8}),
    "nesterov l2": (
        Momentum(0.1, 0.8, nesterov=True, weight_decay=0.3, weight_decay_form=L2),
        "SGD",
        {"momentum": 0.8, "nesterov": True, "weight_decay": 0.3},
    ),
    "amsgrad": (
        AMSGrad(0.1, 0.8, 0.7, 0.05),
        "Adam",
        {"betas": (0.8, 0.7), "eps": 0.05, "amsgrad": True},
    ),
    "amsgrad l2": (
        AMSGrad(0.1, 0.8, 0.7, 0.05, 0.3, L2),
        "Adam",
        {"betas": (0.8, 0.7), "eps": 0.05, "weight_decay": 0.3, "amsgrad": True},
    ),
    "amsgradw defaults": (AMSGrad(0.1, weight_decay=0.01), "AdamW", {"amsgrad": True}),
    "adagrad": (
        Adagrad(0.1, 0.05, 0.1, 0.2, 0.3, L2),
        "Adagrad",
        {"eps": 0.05, "lr_decay": 0.1, "initial_accumulator_value": 0.2, "weight_decay": 0.3},
    ),
    "adagrad defaults": (Adagrad(0.1), "Adagrad", {}),
    "nadam": (
        NAdam(0.1, 0.8, 0.95, 0.05, momentum_decay=0.1),
        "NAdam",
        {"betas": (0.8, 0.95), "eps": 0.05, "momentum_decay": 0.1},
    ),
    "nadam l2": (
        NAdam(0.1, 0.8, 0.95, 0.05, 0.1, 0.3, L2),
        "NAdam",
        {"betas": (0.8, 0.95), "eps": 0.05, "momentum_decay": 0.1, "weight_decay": 0.3},
    ),
    "nadamw": (
        NAdam(0.1, 0.8, 0.95, 0.05, 0.1, 0.3),
        "NAdam",
        {
            "betas": (0.8, 0.95),
            "eps": 0.05,
            "momentum_decay": 0.1,
            "weight_decay": 0.3,
            "decoupled_weight_decay": True,
        },
    ),
    "radam": (RAdam(0.1, 0.8, 0.95, 0.05), "RAdam", {"betas": (0.8, 0.95), "eps": 0.05}),
    "radam l2": (
        RAdam(0.1, 0.8, 0.95, 0.05, 0.3, L2),
        "RAdam",
        {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.3},
    ),
    "radamw": (
        RAdam(0.1, 0.8, 0.95, 0.05, 0.3),
        "RAdam",
        {"betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True},
    ),
    "radam, never rectified": (RAdam(0.1, 0.8, 0.5, 0.05), "RAdam", {"betas": (0.8, 0.5), "eps": 0.05}),
    "nadam defaults": (NAdam(0.1, momentum_decay=0.004), "NAdam", {}),
    "radam defaults": (RAdam(0.1), "RAdam", {}),
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
