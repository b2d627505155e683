"""The pose encoder: a shared mini-PointNet over randomly masked scales, pooled per body part.

3D-PoseMAE (CVPR 2024), section 3.1: scale r keeps 1/2^r of the points, a random mask is applied
at each scale, one mini-PointNet serves all scales, the scales' latents are joined.

Points come in as Gaussians of their distances to anchors and are pooled by means that level off
or are trimmed: there is no maximum over points, through which most of an attack's harm went.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.geometry.rotations import full_precision
from posetx.geometry.sampling import farthest_points
from posetx.models.nearness import nearness
from posetx.models.surroundings import AroundPoint

#: part logits are scaled by this: they have to grow large, which small steps do slowly
SHARPNESS = 4.0

#: distance from a part's mean at which a point counts half, at first
REACH = 0.4

#: expected error of a point's place, in metres, at which it counts half
UNSURE = 0.1

#: of anchors' places and widths at first, in the clouds' frame
SPREAD, FINE, COARSE = 0.33, 0.08, 0.16
#: how large a share of the points makes an anchor half full at first
HALF_FULL = 0.01

#: channels whose products with the coordinates are pooled per part, see PartPool
CROSS = 8


@dataclass
class Places:
    """Where on the neutral body points belong (see :class:`posetx.models.refine.PlaceHead`)."""

    place: Tensor  # (B, N, 3) on the template at rest, metres
    lift: Tensor  # (B, N) how far it lies off the skin, in the cloud's frame
    spread: Tensor  # (B, N, 2) mean error to be expected of both, in their units

    @property
    def sure(self) -> Tensor:
        """(B, N, 1) from 0 to 1: how much a point counts for the part it is of."""
        return UNSURE / (UNSURE + self.spread[..., :1])


@dataclass
class PointFeatures:
    """What the mini-PointNet says of each point.

    ``hidden`` (B, N, C); ``parts`` (B, N, K) logits; ``clutter`` (B, N, 1) that of being no part
    of the body, and ``places``, where the network has a word on it.
    """

    hidden: Tensor
    parts: Tensor
    clutter: Tensor | None = None
    places: Places | None = None

    def __getitem__(self, points: slice) -> PointFeatures:
        """The features of some of the points."""
        clutter = None if self.clutter is None else self.clutter[:, points]
        return PointFeatures(self.hidden[:, points], self.parts[:, points], clutter)

    def of_cloud(self, row: int) -> PointFeatures:
        """All features of the points of one cloud, a batch of one."""
        one, clutter, places = slice(row, row + 1), self.clutter, self.places
        return PointFeatures(
            self.hidden[one],
            self.parts[one],
            None if clutter is None else clutter[one],
            None if places is None else Places(*(x[one] for x in vars(places).values())),
        )

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
            return values.reshape(values.shape[0] // sets, -1, values.shape[2])

        clutter = None if self.clutter is None else one(self.clutter)
        return PointFeatures(one(self.hidden), one(self.parts), clutter)

    def corrected(self, logits: Tensor) -> PointFeatures:
        """With ``logits`` (B, N, K) added to those of the parts."""
        return replace(self, parts=self.parts + logits)


class Anchors(nn.Module):
    """Which anchors a point is near to: (B, N, 3) -> Gaussians of its distances (B, N, A).

    Functions that are bounded, unlike coordinates, and nought for a point far from any body.
    """

    def __init__(self, count: int):
        super().__init__()
        self.place = nn.Parameter(torch.randn(count, 3).mul_(SPREAD))
        self.log_width = nn.Parameter(torch.zeros(count))

    def begin(self) -> None:
        """Before training: spread evenly, every other one fine."""
        fixed = torch.Generator().manual_seed(0)
        count = len(self.place)
        many = SPREAD * torch.randn(8 * count, 3, generator=fixed)
        chosen = torch.from_numpy(farthest_points(many.double().numpy(), count))
        fine = torch.arange(count) % 2 == 0
        with torch.no_grad():
            self.place.copy_(many[chosen])
            self.log_width.copy_(torch.where(fine, math.log(FINE), math.log(COARSE)))

    def forward(self, points: Tensor) -> Tensor:
        exponent = nearness(points, self.place, self.log_width)
        if torch.is_autocast_enabled(points.device.type):
            # what follows is in this precision anyway
            exponent = exponent.to(torch.get_autocast_dtype(points.device.type))
        return exponent.exp()


class MiniPointNet(nn.Module):
    """Per-point features, all points' pooled, joined back, an MLP (B, N, 3) -> (B, N, C).

    Points are known by the anchors that they are near to. Pooled is how full it is around each
    anchor: a mean that levels off, so that no single point decides, and a few make an anchor nearly
    as full as many do. Also names the body part of each point, with ``clutter`` says whether it is
    of a body, and with ``around`` makes use of its surroundings.
    """

    def __init__(self, width: int, parts: int, clutter: bool = False, around: bool = False):
        super().__init__()
        self.around = AroundPoint(width // 2, width) if around else None
        self.local = Anchors(width)
        self.log_half = nn.Parameter(torch.full((width,), math.log(HALF_FULL)))
        self.joined = nn.Linear(width, width)
        self.context_in = nn.Linear(width, width)
        self.context = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, width)
        self.parts = nn.Linear(width, parts)
        self.clutter = nn.Linear(width, 1) if clutter else None
        if self.clutter is not None:
            nn.init.zeros_(self.clutter.weight)
            nn.init.constant_(self.clutter.bias, -1.0)

    def near(self, points: Tensor) -> Tensor:
        """Features of each point by itself, (B, N, A)."""
        near: Tensor = self.local(points)
        return near

    def pooled(self, local: Tensor) -> Tensor:
        """What points with these features (B, N, A) have together, (B, 1, A)."""
        mean = local.mean(1, keepdim=True)
        return mean / (mean + self.log_half.exp())

    def pooled_over(self, points: Tensor) -> Tensor:
        """:meth:`pooled` of points (B, N, 3)."""
        return self.pooled(self.near(points))

    def forward(
        self, points: Tensor, sample: int | None = None, around: Tensor | None = None
    ) -> PointFeatures:
        """Features of all points; only the first ``sample`` of them enter what is pooled.

        ``around`` is what :func:`posetx.models.surroundings.surroundings` says of them.
        """
        local = self.near(points)
        return self.with_context(local, self.pooled(local[:, :sample]), around)

    def with_context(
        self, local: Tensor, pooled: Tensor, around: Tensor | None = None
    ) -> PointFeatures:
        """Features of points from :meth:`near` and what was :meth:`pooled`."""
        hidden = self.joined(local) + self.context(F.relu(self.context_in(pooled)))
        if self.around is not None and around is not None:
            hidden = hidden + self.around(around)
        hidden = F.relu(self.last(F.relu(hidden)))
        clutter = None if self.clutter is None else SHARPNESS * self.clutter(hidden)
        return PointFeatures(hidden, SHARPNESS * self.parts(hidden), clutter)


def part_moments(
    points: Tensor, values: Tensor, share: Tensor, log_reach: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What the points (B, N, 3) of each part have together, by the parts' shares (B, N, K).

    Returns the sum of their shares (B, K), their mean position (B, K, 3), the mean of their
    ``values`` (B, N, V), and the covariance (B, K, CROSS, 3) of the first CROSS of these with the
    position, by shares that are :func:`trimmed` by ``log_reach`` (K,).
    """
    share = trimmed(points, share, log_reach)
    mass = share.sum(1)
    weight = (share / (mass.unsqueeze(1) + 1e-3)).transpose(1, 2)  # (B, K, N)
    cross = (values[..., :CROSS, None] * points[..., None, :]).flatten(2)
    pooled = weight @ torch.cat([points, values, cross], 2)
    where, mean, product = pooled.split([3, values.shape[-1], 3 * CROSS], dim=2)
    product = product.unflatten(2, (CROSS, 3)) - mean[..., :CROSS, None] * where[..., None, :]
    return mass, where, mean, product


def trimmed(points: Tensor, share: Tensor, log_reach: Tensor) -> Tensor:
    """Shares (B, N, K) that fall with the distance from the part's mean: a step to its medoid.

    ``log_reach`` (K,) is the logarithm of the distance at which half is left.
    """
    with torch.autocast(points.device.type, enabled=False):
        share = full_precision(share)
        mean = share.transpose(1, 2) @ points / (share.sum(1).unsqueeze(-1) + 1e-3)
        return share / (1 - 2 * nearness(points, mean, log_reach).clamp_max(0))


def part_reaches(parts: int) -> nn.Parameter:
    """What :func:`trimmed` takes (K,), for learning."""
    return nn.Parameter(torch.full((parts,), math.log(REACH)))


class PartPool(nn.Module):
    """Pools point features per body part: (B, N, C) -> (B, K * PartPool.size + C).

    A part's points are those the network assigns to it (softmax over parts and clutter). Pooled
    are their share, mean position, mean features, and the mean product of a few features with the
    centred coordinates: with features that name a place on the body, that product is the
    cross-covariance from which a rigid fit (Procrustes) would read the part's rotation.
    """

    def __init__(self, width: int, values: int, parts: int):
        super().__init__()
        self.values = nn.Linear(width, values)
        self.size = 1 + 3 + values + 3 * CROSS
        self.log_reach = part_reaches(parts)

    def forward(self, points: Tensor, features: PointFeatures) -> Tensor:
        values = self.values(features.hidden)
        mass, where, mean, product = part_moments(points, values, features.shares, self.log_reach)
        mass = mass / points.shape[1]
        per_part = [4.0 * mass.unsqueeze(-1), where, mean, 4.0 * product.flatten(2)]
        pooled = torch.cat(per_part, 2).flatten(1)
        return torch.cat([pooled, features.hidden.mean(1)], 1)


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
        around: bool = False,
    ):
        super().__init__()
        self.net = MiniPointNet(width, parts, clutter, around)
        self.pool = PartPool(width, values, parts)
        latent = parts * self.pool.size + width
        self.join = nn.ModuleList([nn.Linear(latent, code) for _ in range(scales)])
        self.blocks = nn.Sequential(*[ResidualMLP(code) for _ in range(depth)])
        self.norm = nn.LayerNorm(code)

    def forward(
        self,
        points: Tensor,
        mask_ratio: float = 0.0,
        extra: Tensor | None = None,
        around: Tensor | None = None,
    ) -> tuple[Tensor, PointFeatures]:
        """The code, and the features of the points of scale 0 (in training: the unmasked).

        ``extra`` (B, E, 3) points get features too, after the others', but shape no code.
        ``around`` are the points' surroundings, where there is no ``extra``.
        """
        latents: list[Tensor] = []
        first: PointFeatures | None = None
        for scale, join in enumerate(self.join):
            start, length = 0, max(points.shape[1] >> scale, 8)
            if mask_ratio:
                # the points come in random order in training, so a slice is a random mask;
                # odd scales take it from the end, so that they do not repeat scale 0's points
                length = max(int(min(length, points.shape[1]) * (1 - mask_ratio)), 8)
                start = (points.shape[1] - length) if scale % 2 else 0
            kept = points[:, start : start + length]
            near = None if around is None else around[:, start : start + length]
            if first is None:
                shown = kept if extra is None else torch.cat([kept, extra], 1)
                first = self.net(shown, kept.shape[1], near)
                features = first[slice(kept.shape[1])]
            else:
                features = self.net(kept, around=near)
            latents.append(join(self.pool(kept, features)))
        assert first is not None  # there is at least one scale
        return self.norm(self.blocks(torch.stack(latents).sum(0))), first
