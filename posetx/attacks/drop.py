"""The saliency-drop attack: take away the points that the result depends on most.

"PointCloud Saliency Maps" (Zheng et al., ICCV 2019): a point that is pulled to the cloud's middle
is as good as gone, so the objective's rise along that way says what losing the point would do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.attacks.ascent import Attacked, slope
from posetx.attacks.objective import Objective

#: share of the points that goes by default, and in how many rounds
SHARE, ROUNDS = 0.1, 10


def drop(
    objective: Objective, clouds: Tensor, share: float = SHARE, rounds: int = ROUNDS
) -> tuple[Attacked, Tensor]:
    """Clouds (B, P, 3) without ``share`` of their points, and which are left (B, P).

    The place of a point that is gone is taken by one that is left, so that a batch stays a tensor
    of as many points as the network was given; only the mask says how few there are.
    Raises ValueError for a share that leaves nothing.
    """
    if not 0 <= share < 1 or rounds < 1:
        raise ValueError(f"share {share} must be from 0 to below 1, rounds {rounds} at least 1")
    batch, points = clouds.shape[:2]
    ascend, trace = slope(objective), []
    left = torch.ones(batch, points, dtype=torch.bool, device=clouds.device)
    shown = clouds
    for round_ in range(rounds):
        harm, uphill = ascend(shown)
        trace.append(harm)
        middle = shown.median(1, keepdim=True).values
        inward = -(torch.nan_to_num(uphill) * (shown - middle)).sum(-1)
        # of a point that stands for others as well, its own place decides
        inward = inward.masked_fill(~left, -torch.inf)
        going = round(share * points * (round_ + 1) / rounds) - round(
            share * points * round_ / rounds
        )
        left = left.scatter(1, inward.topk(going, dim=1).indices, False)
        shown = filled(clouds, left)
    return Attacked(shown, torch.stack(trace), rounds), left


def filled(clouds: Tensor, left: Tensor) -> Tensor:
    """Clouds (B, P, 3) in which those of the points that are ``left`` (B, P) take all places."""
    return clouds.gather(1, standing_in(left).unsqueeze(-1).expand(-1, -1, 3))


def standing_in(left: Tensor) -> Tensor:
    """Which point (B, P) takes each place: itself where it is ``left`` (B, P).

    The k-th of the others gives way to the k-th of those left.
    """
    order = (~left).to(torch.int8).sort(dim=1, stable=True).indices
    rank = (~left).cumsum(1) - 1
    own = torch.arange(left.shape[1], device=left.device).expand_as(left)
    return torch.where(left, own, order.gather(1, rank.clamp_min(0) % left.sum(1, keepdim=True)))
