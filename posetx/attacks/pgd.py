"""Projected gradient descent: many small steps from a random start, the best of several starts.

Madry et al., ICLR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked, climb, random_start
from posetx.attacks.budget import Budget
from posetx.attacks.ifgm import REACH
from posetx.attacks.objective import Objective


def pgd(
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int = 20,
    restarts: int = 1,
) -> Attacked:
    """For each of ``clouds`` (B, P, 3) its most harmful start's most harmful place."""
    found, most = None, torch.full_like(clouds[:, 0, 0], -torch.inf)
    for _ in range(restarts):
        start = random_start(clouds, budget, generator)
        tried, harm = climb(objective, clouds, budget, start=start, steps=steps, step=REACH / steps)
        if found is None:
            found, most = tried, harm
            continue
        better = harm > most
        found.clouds = torch.where(better.view(-1, 1, 1), tried.clouds, found.clouds)
        found.trace = torch.where(better, tried.trace, found.trace)
        found.queries += tried.queries
        most = torch.where(better, harm, most)
    if found is None:
        raise ValueError(f"restarts {restarts}: at least 1")
    return found
