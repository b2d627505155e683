"""Iterative gradient sign method: each coordinate moves by alpha a step, by epsilon in all.

"On the Robustness of 3D Human Pose Estimation", there on pixels; here on the coordinates of the
points. IGSM-U takes the objective of the harm done, IGSM-T that of nearness to a wanted pose (see
:mod:`posetx.attacks.objective`).
"""

from __future__ import annotations

from torch import Tensor

from posetx.attacks.ascent import Attacked, climb
from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective

#: a step, as a share of epsilon: the paper's
ALPHA = 1 / 8


def igsm(
    objective: Objective, clouds: Tensor, budget: Budget, steps: int = 20, alpha: float = ALPHA
) -> Attacked:
    """The best of ``steps`` places, from ``clouds`` (B, P, 3) on.

    Raises ValueError for a budget that is not ``linf``: signs are that norm's steps.
    """
    if budget.norm != "linf":
        raise ValueError(f"IGSM moves coordinates: its norm is linf, not {budget.norm}")
    return climb(objective, clouds, budget, steps=steps, step=alpha)[0]
