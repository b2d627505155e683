"""The attacks by name."""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.fgm import fgm
from posetx.attacks.objective import Objective
from posetx.attacks.pgd import pgd

METHODS = ("fgm", "pgd")


def perturbed(
    method: str,
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int,
) -> Tensor:
    """Adversarial clouds (B, P, 3) by one of METHODS; ``steps`` are those of iterative ones."""
    if method == "fgm":
        return fgm(objective, clouds, budget)
    return pgd(objective, clouds, budget, generator, steps)
