"""Things that touch a body, for the virtual scanner: boxes from poles and boards to blocks."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from posetx.geometry.rotations import matrix_from_axis_angle, matrix_from_yaw

#: an object has up to one point for so many of the body's
SHARE = 3
#: shortest edge of a box, as a share of the body's height
SHORTEST = 0.03
#: share of the objects that stand upright; the others are turned anyhow
UPRIGHT = 0.7
#: surface of a body, as a share of its squared height
BODY_AREA = 0.58


def add_objects(
    points: Tensor,
    normals: Tensor,
    height: Tensor,
    share: float,
    generator: torch.Generator,
    longest: float,
    real: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Bodies with an object each for about ``share`` of them.

    Parameters
    ----------
    points, normals : (B, N, 3), y up; samples of the bodies' skins, or what was returned before
    height : (B,), in the points' unit
    longest : edge of an object, as a share of the height
    real : (B, N), what was returned before

    Returns
    -------
    points, normals : (B, N + N // 3, 3), what was given first
    real : (B, N + N // 3), false where there is no object, or less of it than would fit
    """
    batch, count = points.shape[:2]
    device, more = points.device, count // SHARE

    def rand(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=device)

    low, high = torch.tensor([SHORTEST, longest]).log()
    half = 0.5 * height.unsqueeze(1) * (low + (high - low) * rand(batch, 3)).exp()
    vector = torch.randn(batch, 3, generator=generator, device=device)
    anyhow = matrix_from_axis_angle(F.normalize(vector, dim=1) * (3.1416 * rand(batch, 1)))
    stands = (rand(batch) < UPRIGHT).view(-1, 1, 1)
    turn = torch.where(stands, matrix_from_yaw(6.2832 * rand(batch)), anyhow)

    # it lies against a point of the skin, not necessarily with its middle
    touched = (rand(batch) * count).long().view(-1, 1, 1).expand(-1, -1, 3)
    at, normal = points.gather(1, touched).squeeze(1), normals.gather(1, touched).squeeze(1)
    own = (turn.transpose(1, 2) @ normal.unsqueeze(-1)).squeeze(-1)  # in the box's frame
    reach = (half * own.abs()).sum(1, keepdim=True)
    aside = half * (2 * rand(batch, 3) - 1)
    aside = aside - (aside * own).sum(1, keepdim=True) * own
    middle = at + normal * reach + (turn @ aside.unsqueeze(-1)).squeeze(-1)

    # points of its surface: which pair of faces by area, which of the two by a coin
    sides = torch.stack([half[:, 1] * half[:, 2], half[:, 0] * half[:, 2], half[:, 0] * half[:, 1]])
    axis = torch.multinomial(sides.T, more, True, generator=generator)
    # (one_hot would ask the device for its largest number)
    face = (axis.unsqueeze(-1) == torch.arange(3, device=device)).float()
    face = face * torch.where(rand(batch, more, 1) < 0.5, -1.0, 1.0)
    surface = torch.where(face == 0, 2 * rand(batch, more, 3) - 1, face)
    surface = (surface * half.unsqueeze(1)) @ turn.transpose(1, 2) + middle.unsqueeze(1)
    outward = face @ turn.transpose(1, 2)

    # as dense as the body, and none for most
    wanted = count * 8 * sides.sum(0) / (BODY_AREA * height**2)
    wanted = wanted * (rand(batch) < share)
    fits = torch.arange(more, device=device) < wanted.unsqueeze(1)
    kept = fits.unsqueeze(-1)
    points = torch.cat([points, torch.where(kept, surface, points[:, :more])], 1)
    normals = torch.cat([normals, torch.where(kept, outward, normals[:, :more])], 1)
    before = torch.ones_like(fits[:, :1]).expand(-1, count) if real is None else real
    return points, normals, torch.cat([before, fits], 1)
