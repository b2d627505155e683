"""Random places on triangles."""

from __future__ import annotations

import torch
from torch import Tensor


def barycentric(uniform: Tensor) -> Tensor:
    """Weights (..., 3) of a triangle's corners, evenly spread, from numbers (2, ...) in [0, 1)."""
    u, v = uniform
    # the other half of the parallelogram, folded back
    fold = (u + v) > 1
    u, v = torch.where(fold, 1 - u, u), torch.where(fold, 1 - v, v)
    return torch.stack([1 - u - v, u, v], -1)
