"""How near points are to places, as exponents of Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor


def nearness(points: Tensor, places: Tensor, log_width: Tensor) -> Tensor:
    """-|p - q|² / 2 w² of points (B, N, 3) and places (A, 3) or (B, A, 3): (B, N, A).

    The exponents of Gaussians, as one product for all of them; in float32, as bfloat16 is too
    coarse for it.
    """
    with torch.autocast(points.device.type, enabled=False):
        gain = torch.exp(-2 * log_width) / 2
        size = points.square().sum(-1, keepdim=True)
        maps = torch.cat([2 * places, -torch.ones_like(places[..., :1])], -1) * gain[:, None]
        shift = -(gain * places.square().sum(-1)).unsqueeze(-2)
        return torch.cat([points, size], -1) @ maps.transpose(-1, -2) + shift
