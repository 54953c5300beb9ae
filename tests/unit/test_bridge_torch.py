"""`from_torch`: what it takes over, and how it proves it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from driftax import DriftaxError, from_torch
from unit.torch_cases import CASES, built

pytestmark = pytest.mark.needs_torch


@pytest.mark.parametrize("name", CASES)
def test_thirty_steps_of_the_users_own_object(name):
    import torch

    kind, groups, slots = CASES[name]
    optimizer, params = built(kind, groups)
    rule = from_torch(optimizer)
    assert list(rule.slots) == slots
    start = np.concatenate([p.detach().numpy().reshape(-1) for p in params])
    for group in optimizer.param_groups:  # flags that a machine without a GPU does not run
        group |= {flag: False for flag in ("capturable", "fused", "foreach") if flag in group}
    torch.set_default_dtype(torch.float64)
    try:
        state = rule.init(jnp.asarray(start))
        update = jax.jit(lambda number, state, gradient: rule.update(number, state, gradient))
        for number, gradient in enumerate(np.random.default_rng(5).normal(size=(30, len(start)))):
            position = 0
            for p in params:
                p.grad = torch.tensor(gradient[position : position + p.numel()].reshape(p.shape))
                position += p.numel()
            optimizer.step()
            state = update(float(number), state, jnp.asarray(gradient))
            theirs = np.concatenate([p.detach().numpy().reshape(-1) for p in params])
            np.testing.assert_allclose(state[0], theirs, rtol=1e-9, atol=1e-11)
    finally:
        torch.set_default_dtype(torch.float32)


def test_nothing_of_the_users_is_touched():
    import torch

    optimizer, params = built("NAdam", [{"weight_decay": 0.1}, {"maximize": True}])
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    copies = [p.detach().clone() for p in params]
    gradients = [p.grad.clone() for p in params]
    state = [{k: v.clone() for k, v in optimizer.state[p].items()} for p in params]
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    torch_random, numpy_random = torch.get_rng_state(), np.random.get_state()[1].copy()
    from_torch(optimizer)
    assert all(torch.equal(p, copy) for p, copy in zip(params, copies, strict=True))
    assert all(torch.equal(p.grad, copy) for p, copy in zip(params, gradients, strict=True))
    for p, before in zip(params, state, strict=True):
        assert optimizer.state[p].keys() == before.keys()
        assert all(torch.equal(optimizer.state[p][key], value) for key, value in before.items())
    assert groups == [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    assert torch.equal(torch_random, torch.get_rng_state())
    assert np.array_equal(numpy_random, np.random.get_state()[1])
    assert torch.get_default_dtype() == torch.float32
    assert jax.config.jax_enable_x64


def test_the_proof_is_in_double_precision_without_x64():
    optimizer, _ = built("AdamW", [{}])
    with jax.enable_x64(False):
        assert from_torch(optimizer).weight_decay == 0.01


def test_a_wrong_rule_is_found_out_with_a_number():
    from driftax import RMSprop

    optimizer, _ = built("RMSprop", [{"alpha": 0.99}])
    assert from_torch(optimizer, rule=RMSprop(0.1)).decay == 0.99
    with pytest.raises(DriftaxError, match=r"after step 2 the params differ by \d\.\d+e-0\d of the distance"):
        # A buffer that remembers 1e-7 of the step before.
        from_torch(built("RMSprop", [{"alpha": 0.99, "momentum": 1e-7}])[0], rule=RMSprop(0.1))
    with pytest.raises(DriftaxError, match="after step 1 the params differ by"):
        from_torch(optimizer, rule=RMSprop(0.1, bias_correction=True))


def test_a_proof_has_a_tolerance_of_1e_10():
    from driftax import SGD

    optimizer, _ = built("SGD", [{}])
    from_torch(optimizer, rule=SGD(0.1 * (1 + 1e-11)))
    with pytest.raises(DriftaxError, match="params differ"):
        from_torch(optimizer, rule=SGD(0.1 * (1 + 1e-9)))


def test_learning_rates_keep_their_ratio_along_the_ladder():
    from driftax import Regime

    rule = from_torch(built("AdamW", [{"lr": 0.01}, {}])[0])
    finer = rule.at(0.25, Regime.BALLISTIC)
    assert [float(o.learning_rate) for o in finer.optimizers] == pytest.approx([0.0025, 0.025])
    assert float(finer.time_step(Regime.BALLISTIC)) == pytest.approx(0.0025)
    assert [float(o.b1) for o in finer.optimizers] == pytest.approx([0.975, 0.975])


def test_a_momentum_buffer_sets_the_time_step():
    from driftax import Regime

    for keywords in ({}, {"nesterov": True}, {"dampening": 0.5}):
        rule = from_torch(built("SGD", [{"momentum": 0.8, **keywords}])[0])
        expected = 0.1 / 0.2 * (0.5 if "dampening" in keywords else 1)
        assert float(rule.time_step(Regime.BALLISTIC)) == pytest.approx(expected)


# ---------------------------------------------------------------- rules of one's own


@pytest.mark.parametrize(
    ("name", "keywords"), [("Adadelta", {}), ("Adamax", {}), ("ASGD", {"lambd": 0.1, "t0": 3})]
)
def test_the_lines_of_a_refusal_run(name, keywords):
    optimizer, _ = built(name, [{"weight_decay": 0.1, **keywords}])
    with pytest.raises(DriftaxError) as refusal:
        from_torch(optimizer)
    names = {"optimizer": optimizer, "from_torch": from_torch}
    exec(refusal.value.instead, names)


def test_the_lines_for_a_class_of_the_users_have_its_numbers_and_vectors():
    import torch

    class Mine(torch.optim.Optimizer):
        def __init__(self, params, lr=0.1, rho=0.9):
            super().__init__(params, {"lr": lr, "rho": rho})

        @torch.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    average = self.state[p].setdefault("exp_avg", torch.zeros_like(p))
                    average.lerp_(p.grad, 1 - group["rho"])
                    p.add_(average, alpha=-group["lr"])

    p = torch.zeros(3, requires_grad=True)
    optimizer = Mine([p])
    with pytest.raises(DriftaxError, match="after one step"):
        from_torch(optimizer)
    p.grad = torch.ones(3)
    optimizer.step()
    with pytest.raises(DriftaxError, match="cannot read a step off Python code") as refusal:
        from_torch(optimizer)
    lines = refusal.value.instead
    assert "rho: float = 0.9" in lines and "slots = {'params': 0, 'exp_avg': 1}" in lines
    names = {"optimizer": optimizer, "from_torch": from_torch}
    with pytest.raises(DriftaxError, match="params differ"):
        exec(lines, names)
    step = "exp_avg = state.exp_avg + (1 - self.rho) * (gradient - state.exp_avg)"
    exec(
        lines.replace(next(line for line in lines.splitlines() if "  exp_avg = " in line).strip(), step),
        names,
    )


def test_a_subclass_is_not_taken_for_its_parent():
    import torch

    class Louder(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            super().step(closure)

    from driftax import SGD

    optimizer = Louder([torch.zeros(3, requires_grad=True)], lr=0.1)
    with pytest.raises(DriftaxError, match="a subclass of SGD, whose step may be another"):
        from_torch(optimizer)
    with pytest.raises(DriftaxError, match="after step 1 the params differ by 0"):
        from_torch(optimizer, rule=SGD(0.1))
    assert from_torch(optimizer, rule=SGD(0.2)).learning_rate == 0.2


def test_one_rule_for_each_group():
    from driftax import SGD, Grouped

    optimizer, _ = built("SGD", [{}, {"lr": 0.3}])
    assert isinstance(from_torch(optimizer, rule=[SGD(0.1), SGD(0.3)]), Grouped)
    with pytest.raises(DriftaxError, match="1 rules for 2 parameter groups"):
        from_torch(optimizer, rule=[SGD(0.1)])
    with pytest.raises(DriftaxError, match="params differ"):
        from_torch(optimizer, rule=SGD(0.1))
