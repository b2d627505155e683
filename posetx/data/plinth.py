"""A base under the feet, as figurines and scanned statues have one."""

from __future__ import annotations

import torch
from torch import Tensor

#: of a figure's samples, how many show its base
SHARE = 8
#: half the size and the height of a base, as shares of the body's height
HALF, HIGH = (0.12, 0.3), (0.01, 0.12)


def add_plinths(
    points: Tensor,
    normals: Tensor,
    height: Tensor,
    share: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Figures, ``share`` of which stand on a disc or a block that took the place of some samples.

    Parameters
    ----------
    points, normals : (B, N, 3), y up, samples in any order
    height : (B,) of the bodies, in the points' unit

    Returns
    -------
    points, normals : (B, N, 3)
    theirs : (B, N), true where a sample is of the base
    """
    batch, count = points.shape[:2]
    more, device = count // SHARE, points.device

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    def between(ends: tuple[float, float]) -> Tensor:
        return height.unsqueeze(1) * (ends[0] + (ends[1] - ends[0]) * rand(batch, 1))

    half, high = between(HALF), between(HIGH)
    lowest = points[..., 1].argmin(1, keepdim=True)
    foot = points.gather(1, lowest.unsqueeze(-1).expand(-1, -1, 3))
    middle = 0.5 * (foot + points.mean(1, keepdim=True))  # between the lower foot and the body

    angle = 6.2832 * rand(batch, more)
    outward = torch.stack([angle.sin(), torch.zeros_like(angle), angle.cos()], -1)
    # of a disc of this radius; a block is the square about it
    block = (rand(batch, 1, 1) < 0.5).float()
    square = outward / outward.abs().amax(-1, keepdim=True).clamp_min(1e-6)
    rim = half.unsqueeze(-1) * (block * square + (1 - block) * outward)
    on_side = (rand(batch, more) < 2 * high / (2 * high + half)).unsqueeze(-1)
    inward = torch.where(on_side, 1.0, rand(batch, more, 1).sqrt())
    down = torch.where(on_side.squeeze(-1), high * rand(batch, more), 0.0)
    base = middle + inward * rim
    base[..., 1] = foot[..., 1] - down
    up = torch.tensor([0.0, 1.0, 0.0], device=device)
    flat = torch.where(square.abs() > 0.9999, square.sign(), 0.0)
    facing = torch.where(on_side, block * flat + (1 - block) * outward, up)

    theirs = torch.zeros(batch, count, dtype=torch.bool, device=device)
    theirs[:, count - more :] = rand(batch, 1) < share
    stands = theirs.unsqueeze(-1)
    points = torch.where(stands, torch.cat([points[:, : count - more], base], 1), points)
    normals = torch.where(stands, torch.cat([normals[:, : count - more], facing], 1), normals)
    return points, normals, theirs
