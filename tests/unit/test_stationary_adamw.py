"""The stationary law of AdamW beside torch.optim.AdamW itself."""

from __future__ import annotations

import math

import pytest

from driftax.predict.adaptive import AdaptiveRule, adaptive_stationary

RULE = AdaptiveRule(
    0.05, 0.9, 0.998, 2.0
)  # eta theta = 0.1: a decay after the step would give 0.81 of the variance


@pytest.mark.needs_torch
@pytest.mark.statistical
def test_the_stationary_loss_is_that_of_torch_which_decays_the_old_params():
    """False alarms: 6e-7 (5 standard errors, beside 1 % for the formula); power 1: the other order is 20 % away."""
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.Parameter(torch.zeros(512, 2))
    x.grad = torch.zeros_like(x)
    betas = (RULE.b1, RULE.b2)
    optimizer = torch.optim.AdamW([x], RULE.learning_rate, betas, weight_decay=RULE.weight_decay, fused=True)
    curvature, total = torch.tensor([1.0, 2.0]), torch.zeros(512)
    for step in range(4000):
        x.grad.normal_(0.0, 2.0, generator=generator).addcmul_(x.detach(), curvature)
        optimizer.step()
        if step >= 2000 and step % 10 == 0:
            total += x.detach() ** 2 @ curvature / 2
    losses = total.numpy() / 200
    expected = adaptive_stationary([1.0, 2.0], [2.0, 2.0], RULE)["refined"].value.loss
    error = losses.std() / math.sqrt(512)
    assert abs(losses.mean() - expected) < 5 * error + 0.01 * expected
    assert error < 0.01 * expected
