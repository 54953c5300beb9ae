"""NumPy in float64, one array [member, dim] per vector of the state."""

from __future__ import annotations

import numpy as np

from ..interleave import Answer
from ..problem import EPS, SIGMA, Problem


def discrete(problem: Problem, members: int, seed: int) -> Answer:
    random = np.random.default_rng(seed)
    hessian, rate = problem.hessian, problem.learning_rate
    params = np.tile(problem.params, (members, 1))
    mu, nu = np.zeros_like(params), np.zeros_like(params)
    second, fourth = np.zeros(problem.steps), np.zeros(problem.steps)
    for step in range(problem.steps):
        gradient = (params - SIGMA * random.standard_normal(params.shape)) @ hessian
        match problem.optimizer:
            case "SGD":
                params -= rate * gradient
            case "SignSGD":
                params -= rate * np.sign(gradient)
            case "RMSprop":
                nu += (1 - problem.decay) * (gradient**2 - nu)
                params -= rate * gradient / (np.sqrt(nu) + EPS)
            case "Adam":
                b1, b2 = problem.betas
                mu += (1 - b1) * (gradient - mu)
                nu += (1 - b2) * (gradient**2 - nu)
                corrected = np.sqrt(nu / (1 - b2 ** (step + 1))) + EPS
                params -= rate * (mu / (1 - b1 ** (step + 1))) / corrected
        squares = np.sum(params**2, axis=1)
        second[step], fourth[step] = squares.mean(), (squares**2).mean()
    return Answer(float(second[-1]), float(np.sqrt((fourth[-1] - second[-1] ** 2) / members)))
