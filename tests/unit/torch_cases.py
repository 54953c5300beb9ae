"""Optimizers of torch that `from_torch` takes over."""

from __future__ import annotations

# Class, keywords of every parameter group, and the slots the rule has.
CASES = {
    "sgd": ("SGD", [{}], ["params"]),
    "sgd l2": ("SGD", [{"weight_decay": 0.3}], ["params"]),
    "sgd up": ("SGD", [{"maximize": True, "weight_decay": 0.3}], ["params"]),
    "momentum": ("SGD", [{"momentum": 0.8, "weight_decay": 0.3}], ["params", "mu"]),
    "nesterov": ("SGD", [{"momentum": 0.8, "nesterov": True, "weight_decay": 0.3}], ["params", "mu"]),
    "dampened": ("SGD", [{"momentum": 0.8, "dampening": 0.5, "weight_decay": 0.3}], ["params", "mu"]),
    "ema": ("SGD", [{"momentum": 0.9, "dampening": 0.9}], ["params", "mu"]),
    "rmsprop": ("RMSprop", [{"alpha": 0.9, "eps": 0.05, "weight_decay": 0.3}], ["params", "nu"]),
    "rmsprop momentum": ("RMSprop", [{"momentum": 0.8, "weight_decay": 0.3}], ["params", "nu", "buffer"]),
    "rmsprop centered": ("RMSprop", [{"centered": True}], ["params", "nu", "mu"]),
    "rmsprop both": (
        "RMSprop",
        [{"centered": True, "momentum": 0.8, "alpha": 0.9, "weight_decay": 0.3}],
        ["params", "nu", "mu", "buffer"],
    ),
    "adam": ("Adam", [{"betas": (0.8, 0.95), "weight_decay": 0.3}], ["params", "mu", "nu"]),
    "adam flags": ("Adam", [{"foreach": True, "capturable": True}], ["params", "mu", "nu"]),
    "adam fused": ("Adam", [{"fused": True}], ["params", "mu", "nu"]),
    "adamw": ("AdamW", [{"maximize": True}], ["params", "mu", "nu"]),
    "amsgrad": ("AdamW", [{"amsgrad": True, "betas": (0.8, 0.7)}], ["params", "mu", "nu", "nu_max"]),
    "nadam": ("NAdam", [{"weight_decay": 0.3}], ["params", "mu", "nu", "mu_product"]),
    "nadamw": (
        "NAdam",
        [{"weight_decay": 0.3, "decoupled_weight_decay": True, "momentum_decay": 0.0}],
        ["params", "mu", "nu", "mu_product"],
    ),
    "radam": ("RAdam", [{"betas": (0.8, 0.9), "weight_decay": 0.3}], ["params", "mu", "nu"]),
    "radamw": ("RAdam", [{"weight_decay": 0.3, "decoupled_weight_decay": True}], ["params", "mu", "nu"]),
    "adagrad": (
        "Adagrad",
        [{"lr_decay": 0.1, "weight_decay": 0.3, "initial_accumulator_value": 0.5}],
        ["params", "nu"],
    ),
    "two groups": (
        "AdamW",
        [{"lr": 0.01, "weight_decay": 0.3}, {"weight_decay": 0.0, "betas": (0.5, 0.9), "eps": 0.1}],
        ["params", "mu", "nu"],
    ),
    "momentum in one group": (
        "SGD",
        [{"momentum": 0.8, "nesterov": True}, {"lr": 0.3, "maximize": True}],
        ["params", "mu"],
    ),
    "dampening in one group": (
        "SGD",
        [{"momentum": 0.8, "dampening": 0.5}, {"momentum": 0.5}],
        ["params", "mu"],
    ),
    "three nadams": (
        "NAdam",
        [{}, {"momentum_decay": 0.5}, {"lr": 1.0}],
        ["params", "mu", "nu", "mu_product"],
    ),
    "two radams": ("RAdam", [{"betas": (0.8, 0.5)}, {"betas": (0.8, 0.9)}], ["params", "mu", "nu"]),
    "two adagrads": ("Adagrad", [{"lr_decay": 0.1}, {"lr": 0.2, "eps": 0.1}], ["params", "nu"]),
}


def built(name, groups, seed=0):
    """A torch optimizer with one group for each set of keywords, and its params (the first group has two)."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    shapes = [[(2, 2), (1,)], [(3,)], [(2,)]][: len(groups)]
    params = [
        [torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_() for shape in group]
        for group in shapes
    ]
    given = [{"params": p, **keywords} for p, keywords in zip(params, groups, strict=True)]
    if len(groups) == 1:
        optimizer = getattr(torch.optim, name)(params[0], **{"lr": 0.1, **groups[0]})
    else:
        optimizer = getattr(torch.optim, name)(given, lr=0.1)
    return optimizer, [p for group in params for p in group]
