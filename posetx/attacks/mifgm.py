"""The momentum iterative fast gradient method (Dong et al., CVPR 2018).

Steps follow a running sum of the gradients, each scaled to a mean absolute value of 1, which
smooths over what one network alone is sensitive to: the perturbations carry over to others better.
"""

from __future__ import annotations

from torch import Tensor

from posetx.attacks.ascent import Attacked, climb
from posetx.attacks.budget import Budget
from posetx.attacks.ifgm import REACH
from posetx.attacks.objective import Objective

#: how much of the former directions is kept; the paper's, and the one 3D-PoseMAE's code means
MOMENTUM = 1.0


def mifgm(objective: Objective, clouds: Tensor, budget: Budget, steps: int = 20) -> Attacked:
    """The most harmful of ``steps`` places, from ``clouds`` (B, P, 3) on."""
    return climb(objective, clouds, budget, steps=steps, step=REACH / steps, momentum=MOMENTUM)[0]
