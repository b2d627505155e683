"""What the iterative attacks share: steps uphill within a budget, the worst place kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective

#: clouds (B, P, 3) -> the objective (B,) there and its gradient (B, P, 3)
Slope = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass
class Attacked:
    """Adversarial clouds (B, P, 3), point for point, and how they came about.

    ``trace`` (S, B) is the objective before each step of the best start, and ``queries`` how often
    the objective (or its gradient) was asked for, for each cloud.
    """

    clouds: Tensor
    trace: Tensor
    queries: int


def slope(objective: Objective) -> Slope:
    """The objective and its gradient by automatic differentiation: the white box.

    Clouds of a batch do not influence each other.
    """

    def value_and_gradient(clouds: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            clouds = clouds.detach().requires_grad_(True)
            value = objective(clouds)
            return value.detach(), torch.autograd.grad(value.sum(), clouds)[0]

    return value_and_gradient


def climb(
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    *,
    start: Tensor | None = None,
    steps: int,
    step: float,
    momentum: float | None = None,
    ascend: Slope | None = None,
    cost: int = 1,
) -> tuple[Attacked, Tensor]:
    """Steps uphill from ``clouds`` (B, P, 3), each ``step`` times the budget's size.

    Parameters
    ----------
    start : displacements (B, P, 3) to begin with; none by default
    momentum : how much of the former steps' directions is kept, their gradients scaled to a mean
        absolute value of 1 (Dong et al., CVPR 2018); None for plain steps
    ascend, cost : where the gradient comes from, and how many queries it takes

    Returns
    -------
    The most harmful place on the way, for each cloud, and its objective (B,).
    """
    ascend = ascend or slope(objective)
    moved = torch.zeros_like(clouds) if start is None else start
    velocity = torch.zeros_like(clouds)
    best, most = moved, torch.full_like(clouds[:, 0, 0], -torch.inf)
    trace = []

    def keep(harm: Tensor) -> None:
        nonlocal best, most
        better = harm > most
        best = torch.where(better.view(-1, 1, 1), moved, best)
        most = torch.where(better, harm, most)

    for _ in range(steps):
        harm, uphill = ascend(clouds + moved)
        trace.append(harm)
        keep(harm)
        if momentum is not None:
            size = uphill.abs().mean((1, 2), keepdim=True)
            velocity = momentum * velocity + torch.nan_to_num(uphill / size)
            uphill = velocity
        moved = budget.project(moved + step * budget.steepest(uphill))
    with torch.no_grad():
        keep(objective(clouds + moved))
    return Attacked(clouds + best, torch.stack(trace), cost * steps + 1), most


def random_start(clouds: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Displacements anywhere within the budget, not only on its edge."""
    reach = torch.rand(
        len(clouds), 1, 1, generator=generator, device=clouds.device, dtype=clouds.dtype
    )
    return reach * budget.random(clouds, generator)
