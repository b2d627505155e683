"""What a camera far away sees of surfaces that are given as samples, by a coarse depth buffer."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def camera_axes(direction: Tensor) -> Tensor:
    """Axes (B, 3, 3), in columns: right, above and towards cameras in ``direction`` (B, 3)."""
    direction = F.normalize(direction, dim=-1)
    helper = torch.zeros_like(direction)
    helper[:, 1] = 1.0
    helper = torch.where(direction[:, 1:2].abs() > 0.9, helper.roll(-1, 1), helper)
    right = F.normalize(torch.cross(helper, direction, dim=-1), dim=-1)
    above = torch.cross(direction, right, dim=-1)
    return torch.stack([right, above, direction], 2)


def visible_from(
    points: Tensor,
    normals: Tensor,
    direction: Tensor,
    cell: float | Tensor,
    side: int | None = None,
) -> Tensor:
    """Which points (B, N) a camera far away in ``direction`` (B, 3) sees.

    ``points``, ``normals`` (B, N, 3); ``cell`` is the depth buffer's cell in the points' unit,
    one or (B, 1), and has to be about twice the points' spacing; ``direction`` points from the body
    to the camera. ``side`` is how many cells the buffer has along a side, enough for any cloud's
    diagonal; who knows it saves the host from waiting for the device.
    """
    direction = F.normalize(direction, dim=-1)
    u, v, depth = (points @ camera_axes(direction)).unbind(-1)
    column = ((u - u.amin(1, keepdim=True)) / cell).long()
    row = ((v - v.amin(1, keepdim=True)) / cell).long()
    if side is None:
        side = int(torch.maximum(column.max(), row.max())) + 1
    index = row * side + column
    nearest = torch.full((len(points), side * side), -torch.inf, device=points.device)
    nearest = nearest.scatter_reduce(1, index, depth, "amax")
    facing = (normals @ direction.unsqueeze(-1)).squeeze(-1) > 0.1
    return facing & (depth > nearest.gather(1, index) - 1.5 * cell)
