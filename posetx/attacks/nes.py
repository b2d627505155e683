"""Natural evolution strategies: PGD without gradients, by queries alone (Ilyas et al., ICML 2018).

The gradient is estimated from the objective at random places near by, in pairs on either side:
all that is asked of the victim is its answer.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked, climb
from posetx.attacks.budget import Budget
from posetx.attacks.ifgm import REACH
from posetx.attacks.objective import Objective

#: places asked for a step, two by two
PAIRS = 16
#: how far off they are, as a share of the budget
SIGMA = 0.25


def nes(
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    generator: torch.Generator,
    steps: int = 50,
    pairs: int = PAIRS,
) -> Attacked:
    """The most harmful of ``steps`` places, from ``clouds`` (B, P, 3) on, at 2 ``pairs`` queries
    each."""

    @torch.no_grad()
    def estimated(places: Tensor) -> tuple[Tensor, Tensor]:
        here, uphill = torch.zeros_like(places[:, 0, 0]), torch.zeros_like(places)
        for _ in range(pairs):
            aside = SIGMA * budget.random(places, generator)
            ahead, behind = objective(places + aside), objective(places - aside)
            uphill = uphill + (ahead - behind).view(-1, 1, 1) * aside
            here = here + 0.5 * (ahead + behind) / pairs
        return here, uphill

    # its steps keep to directions that the estimates agree on
    return climb(
        objective,
        clouds,
        budget,
        steps=steps,
        step=REACH / steps,
        momentum=0.9,
        ascend=estimated,
        cost=2 * pairs,
    )[0]
