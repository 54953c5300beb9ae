"""PyTorch's own optimizers on one batched parameter [member, dim] (they act coordinate by coordinate)."""

from __future__ import annotations

import torch

from ..interleave import Answer
from ..problem import EPS, SIGMA, Problem


def discrete(problem: Problem, members: int, seed: int) -> Answer:
    generator = torch.Generator().manual_seed(seed)
    hessian = torch.tensor(problem.hessian, dtype=torch.float32)
    start = torch.tensor(problem.params, dtype=torch.float32)
    params = torch.nn.Parameter(start.repeat(members, 1))
    optimizer = _optimizer(problem, params)
    noise = torch.empty(members, problem.dim)
    second, fourth = [], []
    with torch.no_grad():
        for _ in range(problem.steps):
            noise.normal_(generator=generator)
            gradient = (params - SIGMA * noise) @ hessian
            params.grad = torch.sign(gradient) if problem.optimizer == "SignSGD" else gradient
            optimizer.step()
            squares = torch.sum(params**2, dim=1)
            second.append(squares.mean(dtype=torch.float64).item())
            fourth.append((squares**2).mean(dtype=torch.float64).item())
    return Answer(second[-1], ((fourth[-1] - second[-1] ** 2) / members) ** 0.5)


def _optimizer(problem: Problem, params: torch.nn.Parameter) -> torch.optim.Optimizer:
    rate = problem.learning_rate
    match problem.optimizer:
        case "RMSprop":
            return torch.optim.RMSprop([params], lr=rate, alpha=problem.decay, eps=EPS)
        case "Adam":
            return torch.optim.Adam([params], lr=rate, betas=problem.betas, eps=EPS)
    return torch.optim.SGD([params], lr=rate)  # of the gradient, or of its sign
