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
from posetx.models.encoder import CROSS, PointFeatures, part_moments

#: anchors of each part, the reach of one at first, and what their logits are scaled by
LOOK = 12
WIDTH = 0.07
GAIN = 40.0
HEADS = 4
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
        self.weight = nn.Parameter(torch.randn(parts, inputs, outputs) * scale / inputs**0.5)
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
        self.anchors = nn.Parameter(0.1 * torch.randn(parts, LOOK, 3))
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
        with torch.autocast(points.device.type, enabled=False):
            # |p - q|^2 as one product for all points and anchors q, which bf16 is too coarse for
            placed = self.placed(estimate).flatten(1, 2)
            gain = torch.exp(-2 * self.log_width).flatten() / 2
            size = points.square().sum(-1, keepdim=True)
            maps = torch.cat([2 * placed, -torch.ones_like(placed[..., :1])], 2) * gain[:, None]
            shift = -(gain * placed.square().sum(-1)).unsqueeze(1)
            exponent = torch.baddbmm(shift, torch.cat([points, size], 2), maps.transpose(1, 2))
            hidden = exponent.clamp_max(0).exp()
            return hidden, hidden @ torch.block_diag(*(GAIN * self.logit).unsqueeze(-1))

    def placed(self, estimate: Estimate) -> Tensor:
        """The anchors (B, K, LOOK, 3) in the cloud's frame."""
        with torch.autocast(estimate.joints.device.type, enabled=False):
            turned = self.anchors @ estimate.rotations.transpose(-1, -2)
            return turned + estimate.joints.unsqueeze(2)

    def pooled(self, points: Tensor, hidden: Tensor, estimate: Estimate) -> Tensor:
        """What every part sees at its anchors (B, K, 4 LOOK): how much, and how far off it is.

        How far off is the step of a soft iterative-closest-point fit, in the part's frame.
        """
        ones = torch.ones_like(points[..., :1])
        # what follows is a small difference of these
        with torch.autocast(points.device.type, enabled=False):
            sums = hidden.transpose(1, 2) @ (torch.cat([points, ones], 2) / points.shape[1])
        sums = sums.unflatten(1, self.logit.shape)
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
        seen = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        x = x + self.merge(seen.transpose(1, 2).flatten(2))
        moved: Tensor = x + self.down(F.relu(self.up(self.mlp_norm(x))))
        return moved


class PartRefiner(nn.Module):
    """One correction of an :class:`Estimate` by the points it is of."""

    def __init__(self, features: int, values: int, code: int, parts: int, width: int, depth: int):
        super().__init__()
        self.look = PartLook(parts)
        self.values = nn.Linear(features, values)
        self.enter = PartLinear(parts, 1 + 3 + values + 3 * CROSS + 4 * LOOK + 24, width)
        self.code = nn.Linear(code, width)
        self.exchange = nn.Sequential(*[PartExchange(width) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.out = PartLinear(parts, width, 9, scale=0.0)

    def forward(
        self, points: Tensor, features: PointFeatures, code: Tensor, estimate: Estimate
    ) -> tuple[Estimate, PointFeatures]:
        """The corrected estimate, and the features with the part logits it was made with."""
        if self.training:
            # each look learns its own step only; an attack, though, has to see through both
            estimate = estimate.detach()
        turn, joints = estimate.rotations, estimate.joints
        hidden, logits = self.look(points, estimate)
        features = features.corrected(logits)
        values = self.values(features.hidden)
        mass, where, mean, product = part_moments(points, values, features.shares)
        looks = self.look.pooled(points, hidden, estimate)
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
        x = self.enter(torch.cat(inputs, 2)) + self.code(code).unsqueeze(1)
        step = full_precision(self.out(F.relu(self.norm(self.exchange(x)))))
        axes = step[..., :6] + torch.eye(2, 3, device=step.device, dtype=step.dtype).flatten()
        with torch.autocast(step.device.type, enabled=False):
            moved = joints + (turn @ step[..., 6:].unsqueeze(-1)).squeeze(-1)
            return Estimate(turn @ matrix_from_6d(axes), moved), features
