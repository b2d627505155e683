"""Carlini and Wagner's attack: the smallest displacement that does the harm asked for.

"Towards Evaluating the Robustness of Neural Networks" (S&P 2017), with harm to a result in place
of a wrong class: for a weight c, Adam minimises

    rms(d)^2 / rms(budget)^2  +  c * max(0, log goal - objective(x + d))

and the largest c that fails and the smallest that succeeds are drawn together by bisection.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked, slope
from posetx.attacks.budget import Budget
from posetx.attacks.objective import Objective

#: weights of the harm that the search begins with and never exceeds
BEGIN, MOST = 1.0, 1e4
#: Adam's step, as a share of the budget, and once there is a success of that one's displacement
RATE, FINER = 0.05, 0.1
#: how much of the smallest success the next search begins with
AGAIN = 0.8


def cw(
    objective: Objective,
    clouds: Tensor,
    budget: Budget,
    goal: float,
    steps: int = 40,
    searches: int = 7,
) -> Attacked:
    """The clouds (B, P, 3) with the smallest displacement whose objective is at least ``goal``.

    Nothing leaves the budget: its epsilon is where the search gives up. Clouds of which no place
    succeeded are at the most harmful one.
    """
    whole = budget.random(clouds, torch.Generator(device=clouds.device).manual_seed(0))
    unit = whole.square().mean((1, 2)).sqrt()  # (B,) root mean square of a full-size displacement
    row = torch.ones_like(unit)
    weight, low, high = BEGIN * row, 0 * row, torch.full_like(row, MOST)
    best, least = torch.zeros_like(clouds), torch.full_like(row, torch.inf)
    worst, most = torch.zeros_like(clouds), torch.full_like(row, -torch.inf)
    ascend, trace = slope(objective), []
    for _ in range(searches):
        done = torch.zeros_like(row, dtype=torch.bool)
        # what is wanted may be far smaller than the budget: a success sets the scale of the rest
        moved = AGAIN * best
        pace = torch.where(least < torch.inf, FINER * least.clamp(1e-3, 1), RATE * row) * unit
        mean, square = torch.zeros_like(clouds), torch.zeros_like(clouds)
        for step in range(1, steps + 1):
            harm, uphill = ascend(clouds + moved)
            trace.append(harm)
            size = moved.square().mean((1, 2)).sqrt() / unit
            done |= harm >= goal
            better = (harm >= goal) & (size < least)
            best = torch.where(better.view(-1, 1, 1), moved, best)
            least = torch.where(better, size, least)
            worse = harm > most
            worst = torch.where(worse.view(-1, 1, 1), moved, worst)
            most = torch.where(worse, harm, most)
            # the gradient of what is minimised, over one of unit length: budgets and clouds differ
            count = moved[0].numel()
            back = 2 * moved / (count * unit.view(-1, 1, 1) ** 2)
            forth = torch.nan_to_num(uphill) * (weight * (harm < goal)).view(-1, 1, 1)
            slant = (back - forth) * unit.view(-1, 1, 1)
            mean, square = mean.lerp(slant, 0.1), square.lerp(slant.square(), 0.01)
            scaled = mean / (1 - 0.9**step)
            scaled = scaled / ((square / (1 - 0.99**step)).sqrt() + 1e-9)
            moved = budget.project(moved - pace.view(-1, 1, 1) * scaled)
        high = torch.where(done, weight, high)
        low = torch.where(done, low, weight)
        between = torch.where(high < MOST, (low + high) / 2, 10 * weight)
        weight = between.clamp_max(MOST)
    moved = torch.where((least < torch.inf).view(-1, 1, 1), best, worst)
    return Attacked(clouds + moved, torch.stack(trace), searches * steps)
