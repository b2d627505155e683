"""The second look: points in the frames of the body parts as first estimated.

The first estimate of the pose comes from one code for the whole cloud. Here every part looks at
its own points from where it is believed to be (which un-poses them), says which of them are its
own, and pools what is left over; the parts then exchange what they saw, and each corrects its
rotation and position. Seen from its own part a surface looks much the same in every pose, so
this is an easier question than the first one, and it can be asked again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.bodies.body import on_device
from posetx.bodies.skeleton import PARENTS
from posetx.geometry.rotations import full_precision, matrix_from_6d
from posetx.geometry.sampling import farthest_points
from posetx.models.encoder import (
    CROSS,
    Places,
    PointFeatures,
    part_moments,
    part_reaches,
)
from posetx.models.nearness import nearness

#: anchors of each part, the reach of one at first, and what their logits are scaled by
LOOK = 12
WIDTH = 0.07
GAIN = 40.0
HEADS = 4
#: numbers that :class:`PlaceHead` has of each point; its longest step from the anchors' mean along
#: an axis, in metres; the least error it can expect, and how much more, in metres and in the
#: cloud's unit
WORDS, STEP = 6, 0.1
NARROWEST, WIDEST = 0.01, 0.4
#: the root stands for its own parent
_PARENTS = tuple(max(parent, 0) for parent in PARENTS)


@dataclass
class Estimate:
    """Global rotations (B, K, 3, 3) and positions (B, K, 3) of the parts' joints."""

    rotations: Tensor
    joints: Tensor

    def __getitem__(self, rows: slice) -> Estimate:
        """The estimates of some of the batch."""
        return Estimate(self.rotations[rows], self.joints[rows])

    def detach(self) -> Estimate:
        return Estimate(self.rotations.detach(), self.joints.detach())


class PartLinear(nn.Module):
    """A linear map of its own for each part: (B, K, C) -> (B, K, D)."""

    def __init__(self, parts: int, inputs: int, outputs: int, scale: float = 1.0):
        super().__init__()
        weight = torch.randn(parts, inputs, outputs)
        if not weight.is_meta:  # where nothing is allocated torch imports its compiler to divide
            weight = weight * scale / inputs**0.5
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(parts, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return (x.transpose(0, 1) @ self.weight).transpose(0, 1) + self.bias


class PartLook(nn.Module):
    """Where points lie from each part's frame: near which of its anchors, and whose they are.

    Every part has LOOK anchors in its own frame, on the neutral body's surface at first
    (:meth:`begin_on`). A point's hidden channels are Gaussians of its distances to them.
    """

    def __init__(self, parts: int):
        super().__init__()
        self.anchors = nn.Parameter(torch.randn(parts, LOOK, 3).mul_(0.1))
        self.log_width = nn.Parameter(torch.full((parts, LOOK), math.log(WIDTH)))
        self.logit = nn.Parameter(torch.zeros(parts, LOOK))

    def begin_on(self, surface: Tensor, weights: Tensor, joints: Tensor) -> None:
        """Spread the anchors over a neutral body: points (V, 3), their weights (V, K), joints."""
        with torch.no_grad():
            for part, joint in enumerate(joints):
                strong = weights[:, part] > 0.5 * weights[:, part].max()
                own = surface[strong] - joint
                chosen = farthest_points(own.double().cpu().numpy(), LOOK)
                self.anchors[part] = own[torch.from_numpy(chosen)]

    def forward(self, points: Tensor, estimate: Estimate) -> tuple[Tensor, Tensor]:
        """Hidden channels (B, N, K * LOOK), and logits (B, N, K) to be added to the first ones."""
        placed = self.placed(estimate).flatten(1, 2)
        hidden = nearness(points, placed, self.log_width.flatten()).exp()
        with torch.autocast(points.device.type, enabled=False):
            return hidden, hidden @ torch.block_diag(*(GAIN * self.logit).unsqueeze(-1))

    def placed(self, estimate: Estimate) -> Tensor:
        """The anchors (B, K, LOOK, 3) in the cloud's frame."""
        with torch.autocast(estimate.joints.device.type, enabled=False):
            turned = self.anchors @ estimate.rotations.transpose(-1, -2)
            return turned + estimate.joints.unsqueeze(2)

    def sums(self, points: Tensor, hidden: Tensor) -> Tensor:
        """Of the points near each anchor the sum of their places, and how many: (B, K, LOOK, 4)."""
        ones = torch.ones_like(points[..., :1])
        # what becomes of it is a small difference
        with torch.autocast(points.device.type, enabled=False):
            summed: Tensor = hidden.transpose(1, 2) @ torch.cat([points, ones], 2)
        each: Tensor = summed.unflatten(1, self.logit.shape)
        return each

    def pooled(self, sums: Tensor, count: int, estimate: Estimate) -> Tensor:
        """What every part sees at its anchors (B, K, 4 LOOK): how much, and how far off it is.

        ``sums`` are of ``count`` points. How far off is the step of a soft iterative-closest-point
        fit, in the part's frame.
        """
        sums = sums / count
        there = sums[..., 3:]
        off = sums[..., :3] - there * self.placed(estimate)
        off = (off / (there + 0.02)) @ estimate.rotations
        return torch.cat([4.0 * there.squeeze(-1), 8.0 * off.flatten(2)], 2)


class PartExchange(nn.Module):
    """One attention layer over the parts (B, K, C), then an MLP; both residual."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.merge = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 2 * width)
        self.down = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        # (torch's fused attention is ten times slower for so few tokens)
        near = (qkv[0] * qkv.shape[-1] ** -0.5) @ qkv[1].transpose(-1, -2)
        seen = near.softmax(-1) @ qkv[2]
        x = x + self.merge(seen.transpose(1, 2).flatten(2))
        moved: Tensor = x + self.down(F.relu(self.up(self.mlp_norm(x))))
        return moved


class PlaceHead(nn.Module):
    """Of each point: its place on the neutral body, how far it lies off the skin, how sure that is.

    The place is a mean of the parts' anchors on the neutral body, by how near the point is to each
    and by whose it is, and a bounded step from there.
    """

    joints: Tensor
    unit: Tensor

    def __init__(self, features: int, parts: int):
        super().__init__()
        self.near = nn.Linear(parts * LOOK, WORDS, bias=False)
        self.seen = nn.Linear(features, WORDS)
        with torch.no_grad():
            self.near.weight.mul_(0.1)
            self.seen.weight.mul_(0.1)
        self.register_buffer("joints", torch.zeros(parts, 3))
        self.register_buffer("unit", torch.ones(()))

    def begin_on(self, joints: Tensor, unit: Tensor) -> None:
        """The neutral body's joints (K, 3) in the clouds' frame, whose unit is so many metres."""
        self.joints.copy_(joints)
        self.unit.copy_(unit)

    def forward(self, features: PointFeatures, hidden: Tensor, look: PartLook) -> Places:
        """``hidden`` (B, N, K * LOOK) is what ``look`` saw of the points with these features."""
        parts, anchors = len(self.joints), look.anchors
        maps = torch.block_diag(*torch.cat([anchors, torch.ones_like(anchors[..., :1])], 2))
        seen = full_precision(hidden @ torch.cat([maps, self.near.weight.T], 1))
        words = seen[..., -WORDS:] + full_precision(self.seen(features.hidden))
        with torch.autocast(hidden.device.type, enabled=False):
            near = seen[..., :-WORDS].unflatten(2, (parts, 4))
            there = near[..., 3:] + 1e-3
            share = full_precision(features.shares).unsqueeze(-1) * near[..., 3:] / there
            places = self.joints + near[..., :3] / there
            place = (share * places).sum(2) / share.sum(2).clamp_min(1e-3)
            return Places(
                place=self.unit * place + STEP * torch.tanh(words[..., :3]),
                lift=F.softplus(words[..., 3] - 3.0),
                spread=NARROWEST + WIDEST * torch.sigmoid(words[..., 4:]),
            )


@dataclass
class Look:
    """What one look at a cloud came to: the estimate, and by which features it was made."""

    estimate: Estimate
    features: PointFeatures


class PartRefiner(nn.Module):
    """Corrects an :class:`Estimate` by the points it is of, as often as it is asked to."""

    def __init__(
        self,
        features: int,
        values: int,
        code: int,
        parts: int,
        width: int,
        depth: int,
        places: bool,
    ):
        super().__init__()
        self.look = PartLook(parts)
        self.values = nn.Linear(features, values)
        self.enter = PartLinear(parts, 1 + 3 + values + 3 * CROSS + 4 * LOOK + 24, width)
        self.log_reach = part_reaches(parts)
        self.places = PlaceHead(features, parts) if places else None
        self.code = nn.Linear(code, width)
        self.exchange = nn.Sequential(*[PartExchange(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.out = PartLinear(parts, width, 9, scale=0.0)

    def forward(
        self,
        points: Tensor,
        features: PointFeatures,
        code: Tensor,
        estimate: Estimate,
        looks: int = 1,
        more: Tensor | None = None,
    ) -> list[Look]:
        """So many looks, one after the other, each at what the one before left over.

        ``more`` (B, M, 3) points have no features, and are seen by where they are alone.
        """
        taken: list[Look] = []
        code = self.code(code).unsqueeze(1)
        for _ in range(looks):
            taken.append(self._look(points, features, code, estimate, more))
            estimate = taken[-1].estimate
        return taken

    def _look(
        self,
        points: Tensor,
        features: PointFeatures,
        code: Tensor,
        estimate: Estimate,
        more: Tensor | None,
    ) -> Look:
        if self.training:
            # each look learns its own step only; an attack, though, has to see through all
            estimate = estimate.detach()
        turn, joints = estimate.rotations, estimate.joints
        hidden, logits = self.look(points, estimate)
        features = features.corrected(logits)
        shares = features.shares
        if self.places is not None:
            features.places = self.places(features, hidden, self.look)
            shares = shares * features.places.sure
        values = self.values(features.hidden)
        mass, where, mean, product = part_moments(points, values, shares, self.log_reach)
        sums, count = self.look.sums(points, hidden), points.shape[1]
        if more is not None:
            # anchors learn from the others; to be seen by more points costs hardly anything so
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.training):
                sums = sums + self.look.sums(more, self.look(more, estimate)[0])
            count += more.shape[1]
        looks = self.look.pooled(sums, count, estimate)
        parents = on_device(_PARENTS, joints.device)
        bone = joints - joints[:, parents]
        inputs = [
            4.0 * mass.unsqueeze(-1) / points.shape[1],
            4.0 * ((where - joints).unsqueeze(2) @ turn).squeeze(2),
            mean,
            8.0 * (product @ turn).flatten(2),
            looks,
            (turn[:, parents].transpose(-1, -2) @ turn).flatten(2),
            2.0 * (bone.unsqueeze(2) @ turn).squeeze(2),
            turn.flatten(2),
            joints,
        ]
        x = self.enter(torch.cat(inputs, 2)) + code
        step = full_precision(self.out(F.relu(self.norm(self.exchange(x)))))
        axes = step[..., :6] + torch.eye(2, 3, device=step.device, dtype=step.dtype).flatten()
        with torch.autocast(step.device.type, enabled=False):
            moved = joints + (turn @ step[..., 6:].unsqueeze(-1)).squeeze(-1)
            return Look(Estimate(turn @ matrix_from_6d(axes), moved), features)
