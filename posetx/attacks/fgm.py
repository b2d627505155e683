"""The fast gradient method: one step of the budget's full size.

3D-PoseMAE Eq 6 and 7; Goodfellow et al., ICLR 2015 (there with signs, norm ``linf``).
"""

from __future__ import annotations

from torch import Tensor

from posetx.attacks.ascent import Attacked, slope
from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective


def fgm(objective: Objective, clouds: Tensor, budget: Budget) -> Attacked:
    """One step from ``clouds`` (B, P, 3)."""
    harm, uphill = slope(objective)(clouds)
    return Attacked(clouds + budget.steepest(uphill), harm.unsqueeze(0), 1)
