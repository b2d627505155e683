"""What lies around each point of a cloud, at several distances.

Where a point is does not say whose it is: a hand at the side is where other people's thighs are.
What is around it does: how much, how far off its middle is, and how it is spread (a limb along a
line, a back on a plane, two skins face to face). All of it is bounded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.bodies.body import on_device
from posetx.models.nearness import nearness

#: standard deviation of the widest Gaussian, in the cloud's frame; each next one has half of it
WIDEST, WIDTHS = 0.2, 3
#: numbers that there are of a point at each width
MOMENTS = 10
#: how large a share of the cloud around a point counts half, at first, at each width
HALF_FULL = (0.05, 0.015, 0.005)
#: the upper triangle of a matrix (3, 3)
_ROW, _COLUMN = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)


def surroundings(points: Tensor, cloud: Tensor) -> Tensor:
    """Moments of a ``cloud`` (B, M, 3) around ``points`` (B, N, 3) that are of it.

    Returns (B, N, WIDTHS, MOMENTS): the share of the cloud that is near, then the mean (3) and the
    second moments (6) of the offsets to it, in widths.
    """
    with torch.autocast(points.device.type, enabled=False):
        log_width = points.new_full((cloud.shape[1],), math.log(WIDEST))
        near = nearness(points, cloud, log_width).clamp_max(0).exp()
        basis = torch.cat([torch.ones_like(cloud[..., :1]), cloud, _products(cloud, cloud)], 2)
        own, found, width = _products(points, points), [], WIDEST
        for _ in range(WIDTHS):
            mass, first, second = (near @ basis).split([1, 3, 6], dim=2)
            off = first / mass - points
            # of offsets about the point itself, from those about the origin
            spread = second / mass - _products(points, off) - _products(off, points) - own
            others = (mass - 1).clamp_min(0) / cloud.shape[1]
            found.append(torch.cat([others, off / width, spread / width**2], 2))
            # half the width is the fourth power
            near, width = near.square().square(), width / 2
        return torch.stack(found, 2)


def _products(a: Tensor, b: Tensor) -> Tensor:
    """The upper triangle of a bᵀ: (..., 3) and (..., 3) -> (..., 6)."""
    return a[..., on_device(_ROW, a.device)] * b[..., on_device(_COLUMN, b.device)]


class AroundPoint(nn.Module):
    """Channels (B, N, C) from :func:`surroundings`; nought before training."""

    def __init__(self, hidden: int, width: int):
        super().__init__()
        self.log_half = nn.Parameter(torch.tensor([math.log(share) for share in HALF_FULL]))
        self.enter = nn.Linear(WIDTHS * MOMENTS, hidden)
        self.out = nn.Linear(hidden, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, moments: Tensor) -> Tensor:
        there = moments[..., :1]
        there = there / (there + self.log_half.exp().unsqueeze(-1))
        seen: Tensor = self.out(
            F.relu(self.enter(torch.cat([there, moments[..., 1:]], -1).flatten(2)))
        )
        return seen
