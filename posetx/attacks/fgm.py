"""The fast gradient method: one step of the budget's full size.

3D-PoseMAE Eq 6 and 7; Goodfellow et al., ICLR 2015 (there with signs, norm ``linf``).
"""

from __future__ import annotations

from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective, gradient


def fgm(objective: Objective, clouds: Tensor, budget: Budget) -> Tensor:
    """Adversarial clouds (B, P, 3), point for point."""
    return clouds + budget.steepest(gradient(objective, clouds))
