"""What several tests measure or call in one line."""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.fit.cloud import BodyFit
from posetx.models.pose_mae import PoseCode


def geodesic_degrees(a: Tensor, b: Tensor) -> Tensor:
    """The angle (...) in degrees between rotation matrices (..., 3, 3)."""
    # the half-angle form keeps its precision near zero, where arccos of the trace loses it
    chord = (a - b).flatten(-2).norm(dim=-1)
    return torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1.0)))


@torch.no_grad()
def improved(fit: BodyFit, clouds: Tensor, pose: PoseCode) -> PoseCode:
    """``pose`` with the estimate that fits ``clouds`` (B, N, 3) best."""
    return fit.posed(pose, fit.figures(clouds, pose))
