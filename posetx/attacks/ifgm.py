"""The iterative fast gradient method: small steps from the clean cloud.

Kurakin et al., ICLR 2017 (workshop): the same gradient as FGM, asked for anew after each step.
"""

from __future__ import annotations

from torch import Tensor

from posetx.attacks.ascent import Attacked, climb
from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective

#: the steps together are this many times the budget's size, so that every corner can be reached
REACH = 2.5


def ifgm(objective: Objective, clouds: Tensor, budget: Budget, steps: int = 20) -> Attacked:
    """The most harmful of ``steps`` places, from ``clouds`` (B, P, 3) on."""
    return climb(objective, clouds, budget, steps=steps, step=REACH / steps)[0]
