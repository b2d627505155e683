"""Rotations as torch tensors: 3x3 matrices, axis-angle vectors, the 6D form, headings.

The 6D form is the first two columns of the matrix (Zhou et al., CVPR 2019), here in the order
(x of column 0, y, z, x of column 1, y, z).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def full_precision(values: Tensor) -> Tensor:
    """In float32 at least: in bfloat16 a chain of rotations puts its end millimetres off."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def matrix_from_6d(d6: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) from two columns (..., 6), by Gram-Schmidt."""
    a, b = d6[..., :3], d6[..., 3:]
    x = F.normalize(a, dim=-1)
    y = F.normalize(b - (x * b).sum(-1, keepdim=True) * x, dim=-1)
    return torch.stack([x, y, torch.cross(x, y, dim=-1)], dim=-1)


def matrix_from_axis_angle(vector: Tensor) -> Tensor:
    """Rodrigues: matrices (..., 3, 3) from rotation vectors (..., 3) in radians."""
    angle = vector.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    x, y, z = (vector / angle).unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    angle = angle.unsqueeze(-1)
    eye = torch.eye(3, dtype=vector.dtype, device=vector.device)
    matrix: Tensor = eye + angle.sin() * skew + (1 - angle.cos()) * (skew @ skew)
    return matrix


def matrix_from_yaw(angle: Tensor) -> Tensor:
    """Turns (..., 3, 3) about +y by ``angle`` (...) radians; +z turns towards +x."""
    c, s, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    one = torch.ones_like(angle)
    rows = torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1)
    matrix: Tensor = rows.unflatten(-1, (3, 3))
    return matrix


def turn_between(source: Tensor, destination: Tensor) -> Tensor:
    """The smallest turns (..., 3, 3) taking ``source`` to ``destination``, directions (..., 3)."""
    source, destination = F.normalize(source, dim=-1), F.normalize(destination, dim=-1)
    axis = torch.cross(source, destination, dim=-1)
    sine = axis.norm(dim=-1, keepdim=True)
    cosine = (source * destination).sum(-1, keepdim=True)
    return matrix_from_axis_angle(axis / sine.clamp_min(1e-9) * torch.atan2(sine, cosine))
