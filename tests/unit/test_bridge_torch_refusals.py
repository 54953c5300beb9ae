"""`from_torch`: what it refuses, in which words."""

from __future__ import annotations

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError, from_torch
from unit.torch_cases import CASES, built

pytestmark = pytest.mark.needs_torch


# ---------------------------------------------------------------- refusals

REFUSED = {
    "LBFGS": ({}, "a closure several times"),
    "SparseAdam": ({}, "sparse gradients"),
    "Adafactor": ({}, "factored over rows and columns"),
    "Muon": ({}, "orthogonalises"),
    "ASGD": ({}, "falls by a rule of its own"),
    "Rprop": ({}, "jump by 0.5 or 1.2"),
    "Adadelta": ({}, "compared with gradients and with steps"),
    "Adamax": ({}, "grows as the clock gets finer"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_every_other_class_of_torch_is_refused_with_its_reason(name):
    import torch

    keywords, reason = REFUSED[name]
    optimizer = getattr(torch.optim, name)([torch.zeros(2, 2, requires_grad=True)], **keywords)
    with pytest.raises(DriftaxError, match=reason) as refusal:
        from_torch(optimizer)
    assert refusal.value.asked.endswith(name)


def test_every_class_of_torch_is_decided():
    import torch

    classes = {
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    }
    assert classes - {"Optimizer"} == {case[0] for case in CASES.values()} | set(REFUSED)


def test_a_scheduler_is_not_left_out_in_silence():
    import torch

    optimizer, _ = built("AdamW", [{}])
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    with pytest.raises(
        DriftaxError, match=r"initial_lr = 0\.1.*reads the lr of this moment, 0\.05"
    ) as refusal:
        from_torch(optimizer)
    assert "Scheduled(" in refusal.value.instead
    assert from_torch(optimizer, ignore_schedule=True).learning_rate == 0.05
    with pytest.raises(DriftaxError, match=r"from_torch\(it\.optimizer\)"):
        from_torch(scheduler)


def test_a_schedule_around_groups():
    from driftax.optimizer import Scheduled, cosine

    rule = Scheduled(from_torch(built("AdamW", [{"lr": 0.01}, {}])[0]), {"learning_rate": cosine(10.0)})
    state = rule.init(jnp.ones(8))
    early, late = (np.asarray(rule.update(step, state, jnp.ones(8)).params) - 1 for step in (0.0, 5.0))
    assert early[-1] == pytest.approx(10 * early[0], rel=0.2)
    assert np.all(np.abs(late) < 0.6 * np.abs(early))


def test_what_changes_a_step_from_outside_is_refused():
    optimizer, params = built("SGD", [{}])
    optimizer.register_step_pre_hook(lambda *_: None)
    with pytest.raises(DriftaxError, match=r"1 step hook\(s\)"):
        from_torch(optimizer)
    optimizer, params = built("SGD", [{}])
    params[0].requires_grad_(False)
    with pytest.raises(DriftaxError, match=r"frozen .* of shape \[2, 2\] in parameter group 0"):
        from_torch(optimizer)


def test_complex_params_are_refused():
    import torch

    with pytest.raises(DriftaxError, match="a complex parameter"):
        from_torch(torch.optim.SGD([torch.zeros(2, dtype=torch.complex64, requires_grad=True)], lr=0.1))


@pytest.mark.parametrize(
    ("name", "groups", "option"),
    [
        ("SGD", [{"momentum": 0.9, "nesterov": True}, {"momentum": 0.9}], "nesterov"),
        ("Adam", [{"amsgrad": True}, {}], "amsgrad"),
        ("RMSprop", [{"centered": True}, {}], "centered"),
        (
            "NAdam",
            [{"weight_decay": 0.1, "decoupled_weight_decay": True}, {"weight_decay": 0.1}],
            "decoupled_weight_decay",
        ),
    ],
)
def test_two_rules_in_one_optimizer_are_refused(name, groups, option):
    with pytest.raises(DriftaxError, match=f"{option} on in some and off in others"):
        from_torch(built(name, groups)[0])


@pytest.mark.parametrize(
    ("name", "keywords", "found"),
    [
        ("SGD", {"momentum": 1.0}, "decay = 1"),
        ("SGD", {"momentum": 0.9, "dampening": 1.0}, "the dampening"),
        ("RMSprop", {"momentum": 1.5}, "the momentum"),
        ("RMSprop", {"alpha": 1.0}, "decay = 1"),
        ("Adam", {"lr": 0.0}, "learning_rate = 0"),
    ],
)
def test_numbers_without_an_equation_are_refused(name, keywords, found):
    with pytest.raises(DriftaxError, match=found):
        from_torch(built(name, [keywords])[0])


def test_what_is_no_optimizer_of_torch_is_refused():
    import optax
    import torch

    from driftax import Adam

    with pytest.raises(DriftaxError, match="the class `Adam`"):
        from_torch(torch.optim.Adam)
    with pytest.raises(DriftaxError, match="from_optax"):
        from_torch(optax.adam(0.1))
    with pytest.raises(DriftaxError, match="used as it is"):
        from_torch(Adam(0.1))
    with pytest.raises(DriftaxError, match=r"torch\.optim\.AdamW\("):
        from_torch(0.1)


def test_importing_driftax_does_not_import_torch():
    code = "import sys, driftax; driftax.from_torch; driftax.Grouped; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
