"""The pipeline of the paper (Callisti, Romito, Triggiano, arXiv 2509.21614), rewritten from its description.

The optimizer and its equation are simulated apart, from independent draws. The optimizer's noise is drawn before
it runs, and whole paths are stored. The equation is integrated by torchsde's Euler method with
dt = learning_rate^2, general noise and a freshly built matrix (member, state, noise) at every step. Second
moments below the learning rate are lifted to it in the coefficients, as in the paper.

Deviation: coefficients are the corrected ones of `closed_forms`, for the update that PyTorch and optax use; the noise
is drawn for the steps taken, where the paper draws 1000 per member.
"""

from __future__ import annotations

import torch
import torchsde

from ..interleave import Answer
from ..problem import EPS, SIGMA, Problem
from .closed_forms import equation


def discrete(problem: Problem, members: int, seed: int) -> torch.Tensor:
    """Paths [step, member, slot * dim] of RMSprop or Adam (without bias correction) from a warm start."""
    generator = torch.Generator().manual_seed(seed)
    hessian = torch.tensor(problem.hessian, dtype=torch.float32)
    noise = torch.randn((problem.steps, members, problem.dim), generator=generator)
    state = torch.tensor(problem.start, dtype=torch.float32)[:, None].repeat(1, members, 1)
    path = [torch.cat(tuple(state), dim=1)]
    rate = problem.learning_rate
    x, nu, mu = state[0], state[-1], state[1]
    b1, b2 = problem.betas if problem.optimizer == "Adam" else (None, problem.decay)
    for step in range(problem.steps):
        gradient = (x - SIGMA * noise[step]) @ hessian
        nu = b2 * nu + (1 - b2) * gradient**2
        if b1 is None:
            x = x - rate * gradient / (torch.sqrt(nu) + EPS)
            path.append(torch.cat((x, nu), dim=1))
        else:
            mu = b1 * mu + (1 - b1) * gradient
            x = x - rate * mu / (torch.sqrt(nu) + EPS)
            path.append(torch.cat((x, mu, nu), dim=1))
    return torch.stack(path)


class _SDE:
    sde_type, noise_type = "ito", "general"

    def __init__(self, problem: Problem, order: int):
        def asarray(array):
            return torch.tensor(array, dtype=torch.float32)

        self.equation = equation(problem, order, asarray, torch.sqrt)
        self.problem = problem
        self.basis = torch.eye(order * problem.dim)

    def _lifted(self, y):
        *others, nu = y.chunk(self.problem.slots, dim=1)
        return (*others, torch.clamp(nu, min=self.problem.learning_rate))

    def f(self, t, y):
        return torch.cat(self.equation.drift(self._lifted(y)), dim=1)

    def g(self, t, y):
        z = tuple(slot[:, None, :] for slot in self._lifted(y))  # a row of the matrix per basis vector
        w = self.basis.chunk(self.equation.channels, dim=1)
        slots = torch.broadcast_tensors(*self.equation.noise(z, w[0], w[-1]))
        return torch.cat(slots, dim=2).transpose(1, 2).contiguous()


def sde(problem: Problem, order: int, members: int, seed: int, substeps: int | None = None) -> torch.Tensor:
    """Paths [step, member, slot * dim] of the equation; dt is learning_rate^2 if `substeps` is left out."""
    rate = problem.learning_rate
    substeps = round(1 / rate) if substeps is None else substeps
    start = torch.tensor(problem.start.reshape(1, -1), dtype=torch.float32).repeat(members, 1)
    times = torch.arange(problem.steps + 1) * rate
    size = (members, order * problem.dim)
    brownian = torchsde.BrownianInterval(0.0, float(times[-1]), size, dtype=torch.float32, entropy=seed)
    with torch.no_grad():
        return torchsde.sdeint(
            _SDE(problem, order), start, times, bm=brownian, method="euler", dt=rate / substeps
        )


def squares(path: torch.Tensor, dim: int, slot: int = 0) -> Answer:
    """E of the squared norm of a slot at the end of stored paths."""
    part = path[-1, :, slot * dim : (slot + 1) * dim] if slot >= 0 else path[-1, :, -dim:]
    return Answer.of((part**2).sum(dim=1))
