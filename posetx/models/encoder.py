"""The pose encoder: a shared mini-PointNet over randomly masked scales, pooled per body part.

3D-PoseMAE (CVPR 2024), section 3.1: scale r keeps 1/2^r of the points, a random mask is applied
at each scale, one mini-PointNet serves all scales, the scales' latents are joined.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.geometry.rotations import full_precision

#: part logits are scaled by this: they have to grow large, which small steps do slowly
SHARPNESS = 4.0

#: channels whose products with the coordinates are pooled per part, see PartPool
CROSS = 8


@dataclass
class PointFeatures:
    """What the mini-PointNet says of each point.

    ``hidden`` (B, N, C); ``parts`` (B, N, K) logits; ``clutter`` (B, N, 1) that of being no part
    of the body, where the network has a word on it.
    """

    hidden: Tensor
    parts: Tensor
    clutter: Tensor | None = None

    def __getitem__(self, points: slice) -> PointFeatures:
        """The features of some of the points."""
        clutter = None if self.clutter is None else self.clutter[:, points]
        return PointFeatures(self.hidden[:, points], self.parts[:, points], clutter)

    @property
    def logits(self) -> Tensor:
        """(B, N, K + 1) of the parts and of clutter, or (B, N, K)."""
        return self.parts if self.clutter is None else torch.cat([self.parts, self.clutter], 2)

    @property
    def shares(self) -> Tensor:
        """(B, N, K) of each part in a point; what is missing to 1 is clutter."""
        return self.logits.softmax(-1)[..., : self.parts.shape[2]]

    def joined(self, sets: int) -> PointFeatures:
        """Features of each ``sets`` clouds as those of one: (B sets, N) to (B, sets N)."""

        def one(values: Tensor) -> Tensor:
            return values.reshape(len(values) // sets, -1, values.shape[2])

        clutter = None if self.clutter is None else one(self.clutter)
        return PointFeatures(one(self.hidden), one(self.parts), clutter)

    def corrected(self, logits: Tensor) -> PointFeatures:
        """With ``logits`` (B, N, K) added to those of the parts."""
        return replace(self, parts=self.parts + logits)


class MiniPointNet(nn.Module):
    """Per-point MLP, max-pool, the pooled vector joined back, second MLP (B, N, 3) -> (B, N, C).

    Also names the body part of each point, and with ``clutter`` says whether it is of a body.
    """

    def __init__(self, width: int, parts: int, clutter: bool = False):
        super().__init__()
        half = width // 2
        self.first = nn.Linear(3, half // 2)
        self.second = nn.Linear(half // 2, half)
        self.joined = nn.Linear(half, width)
        self.context = nn.Linear(half, width, bias=False)
        self.last = nn.Linear(width, width)
        self.parts = nn.Linear(width, parts)
        self.clutter = nn.Linear(width, 1) if clutter else None
        if self.clutter is not None:
            nn.init.zeros_(self.clutter.weight)
            nn.init.constant_(self.clutter.bias, -1.0)

    def local(self, points: Tensor) -> Tensor:
        return F.relu(self.second(F.relu(self.first(points))))

    def forward(self, points: Tensor, sample: int | None = None) -> PointFeatures:
        """Features of all points; only the first ``sample`` of them enter the pooled vector."""
        local = self.local(points)
        pooled = local[:, :sample].amax(1, keepdim=True)
        return self.with_context(local, pooled)

    def with_context(self, local: Tensor, pooled: Tensor) -> PointFeatures:
        hidden = F.relu(self.joined(local) + self.context(pooled))
        hidden = F.relu(self.last(hidden))
        clutter = None if self.clutter is None else SHARPNESS * self.clutter(hidden)
        return PointFeatures(hidden, SHARPNESS * self.parts(hidden), clutter)


def part_moments(
    points: Tensor, values: Tensor, share: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the points (B, N, 3) of each part have together, by the parts' shares (B, N, K).

    Returns the sum of their shares (B, K), their mean position (B, K, 3), the mean of their
    ``values`` (B, N, V), and the covariance (B, K, CROSS, 3) of the first CROSS of these with the
    position.
    """
    mass = share.sum(1)
    weight = (share / (mass.unsqueeze(1) + 1e-3)).transpose(1, 2)  # (B, K, N)
    cross = (values[..., :CROSS, None] * points[..., None, :]).flatten(2)
    pooled = weight @ torch.cat([points, values, cross], 2)
    where, mean, product = pooled.split([3, values.shape[-1], 3 * CROSS], dim=2)
    product = product.unflatten(2, (CROSS, 3)) - mean[..., :CROSS, None] * where[..., None, :]
    return mass, where, mean, product


class PartPool(nn.Module):
    """Pools point features per body part: (B, N, C) -> (B, K * PartPool.size + C).

    A part's points are those the network assigns to it (softmax over parts and clutter). Pooled
    are their share, mean position, mean features, and the mean product of a few features with the
    centred coordinates: with features that name a place on the body, that product is the
    cross-covariance from which a rigid fit (Procrustes) would read the part's rotation.
    """

    def __init__(self, width: int, values: int):
        super().__init__()
        self.values = nn.Linear(width, values)
        self.size = 1 + 3 + values + 3 * CROSS

    def forward(self, points: Tensor, features: PointFeatures) -> Tensor:
        values = self.values(features.hidden)
        mass, where, mean, product = part_moments(points, values, features.shares)
        mass = mass / points.shape[1]
        per_part = [4.0 * mass.unsqueeze(-1), where, mean, 4.0 * product.flatten(2)]
        pooled = torch.cat(per_part, 2).flatten(1)
        return torch.cat([pooled, features.hidden.amax(1)], 1)


class ResidualMLP(nn.Module):
    """x + W2 relu(W1 norm(x)), on (B, C)."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        moved: Tensor = x + self.down(F.relu(self.up(self.norm(x))))
        return moved


class PoseHead(nn.Module):
    """From a code (B, C): every joint's rotation in 6D (B, K, 6) and position (B, K, 3)."""

    def __init__(self, width: int, joints: int):
        super().__init__()
        self.joints = joints
        self.out = nn.Linear(width, joints * 9)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.copy_(torch.tensor([1.0, 0, 0, 0, 1, 0, 0, 0, 0]).repeat(joints))

    def forward(self, code: Tensor) -> tuple[Tensor, Tensor]:
        out = full_precision(self.out(code).unflatten(1, (self.joints, 9)))  # see PoseMAE.motion
        return out[..., :6], out[..., 6:]


class MultiScaleEncoder(nn.Module):
    """Points (B, N, 3) -> code (B, D). Training masks points; inference uses all of them.

    The pose code does not depend on the order of the points as long as all scales see the same
    ones; scale r > 0 takes the first N / 2^r, so callers put points in farthest-first order.
    """

    def __init__(
        self,
        width: int,
        parts: int,
        values: int,
        code: int,
        scales: int,
        depth: int,
        clutter: bool = False,
    ):
        super().__init__()
        self.net = MiniPointNet(width, parts, clutter)
        self.pool = PartPool(width, values)
        latent = parts * self.pool.size + width
        self.join = nn.ModuleList([nn.Linear(latent, code) for _ in range(scales)])
        self.blocks = nn.Sequential(*[ResidualMLP(code) for _ in range(depth)])
        self.norm = nn.LayerNorm(code)

    def forward(
        self, points: Tensor, mask_ratio: float = 0.0, extra: Tensor | None = None
    ) -> tuple[Tensor, PointFeatures]:
        """The code, and the features of the points of scale 0 (in training: the unmasked).

        ``extra`` (B, E, 3) points get features too, after the others', but shape no code.
        """
        latents: list[Tensor] = []
        first: PointFeatures | None = None
        for scale, join in enumerate(self.join):
            kept = points[:, : max(points.shape[1] >> scale, 8)]
            if mask_ratio:
                # the points come in random order in training, so a slice is a random mask;
                # odd scales take it from the end, so that they do not repeat scale 0's points
                length = max(int(kept.shape[1] * (1 - mask_ratio)), 8)
                start = (points.shape[1] - length) if scale % 2 else 0
                kept = points[:, start : start + length]
            if first is None:
                shown = kept if extra is None else torch.cat([kept, extra], 1)
                first = self.net(shown, kept.shape[1])
                features = first[slice(kept.shape[1])]
            else:
                features = self.net(kept)
            latents.append(join(self.pool(kept, features)))
        assert first is not None  # there is at least one scale
        return self.norm(self.blocks(torch.stack(latents).sum(0))), first
