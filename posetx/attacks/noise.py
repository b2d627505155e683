"""Random noise of the budget's full size: what every attack has to beat."""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked
from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective


def noise(
    objective: Objective, clouds: Tensor, budget: Budget, generator: torch.Generator
) -> Attacked:
    """The clouds (B, P, 3) at a random place; the objective is not asked."""
    moved = clouds + budget.random(clouds, generator)
    return Attacked(moved, clouds.new_zeros(0, len(clouds)), 0)
