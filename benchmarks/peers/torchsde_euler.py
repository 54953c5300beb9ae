"""torchsde's Euler method with the noise given as a product (`f_and_g_prod`), its fastest way."""

from __future__ import annotations

import torch
import torchsde

from ..interleave import Answer
from ..problem import Problem
from .closed_forms import equation


class _SDE:
    sde_type, noise_type = "ito", "general"

    def __init__(self, problem: Problem, order: int):
        def asarray(array):
            return torch.tensor(array, dtype=torch.float32)

        self.equation = equation(problem, order, asarray, torch.sqrt)
        self.slots = problem.slots

    def f_and_g_prod(self, t, y, v):
        z = y.chunk(self.slots, dim=1)
        w = v.chunk(self.equation.channels, dim=1)
        return torch.cat(self.equation.drift(z), dim=1), torch.cat(self.equation.noise(z, w[0], w[-1]), dim=1)


def run(problem: Problem, order: int, substeps: int, members: int, seed: int) -> Answer:
    """E|x|^2 at the end, `substeps` Euler steps per optimizer step."""
    sde = _SDE(problem, order)
    start = torch.tensor(problem.start.reshape(1, -1), dtype=torch.float32).repeat(members, 1)
    dt, end = problem.learning_rate / substeps, problem.learning_rate * problem.steps
    size = (members, order * problem.dim)
    brownian = torchsde.BrownianInterval(0.0, end, size, dtype=torch.float32, entropy=seed, dt=dt)
    with torch.no_grad():
        path = torchsde.sdeint(sde, start, [0.0, end], bm=brownian, method="euler", dt=dt)
    return Answer.of((path[-1, :, : problem.dim] ** 2).sum(dim=1))
