"""Projected gradient descent: many small steps from a random start, the best of several starts.

Madry et al., ICLR 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective, gradient

#: the steps together are this many times the budget's size, so that every corner can be reached
REACH = 2.5


def pgd(
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int = 20,
    restarts: int = 1,
) -> Tensor:
    """Adversarial clouds (B, P, 3), point for point: for each cloud its most harmful start's."""
    best, most = clouds, torch.full_like(clouds[:, 0, 0], -torch.inf)
    for _ in range(restarts):
        moved = budget.random(clouds, generator)
        # anywhere within the budget, not only on its edge
        moved = moved * torch.rand(
            len(clouds), 1, 1, generator=generator, device=clouds.device, dtype=clouds.dtype
        )
        for _ in range(steps):
            ascent = budget.steepest(gradient(objective, clouds + moved))
            moved = budget.project(moved + (REACH / steps) * ascent)
        with torch.no_grad():
            harm = objective(clouds + moved)
        better = harm > most
        best = torch.where(better.view(-1, 1, 1), clouds + moved, best)
        most = torch.where(better, harm, most)
    return best
