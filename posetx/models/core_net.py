"""3D-CoreNet: points matched by optimal transport, then refined in the identity's style.

After "3D Pose Transfer with Correspondence Learning and Mesh Refinement" (NeurIPS 2021). A matcher
gives both clouds' points features; the transport plan between them warps the pose's points into a
coarse mesh with the identity's points; a refiner, normalised by the identity's features (ElaIN),
moves these to where they belong.

What differs from the published network (24,461,447 parameters; 24,452,807 here):

* Its first refiner layer is a convolution of kernel 3 along the vertex index. A mesh's vertices
  have no order, so the result changes with how a file lists them; the kernel here is 1.
* Biases before an instance normalisation are left out, which takes them away again.
* Weights begin as torch's linear layers do. Published is a fiftieth of Xavier's, at which the first
  normalisation has a variance of less than its epsilon to divide by.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.geometry.rotations import full_precision
from posetx.models.instance_norm import instance_norm, standardised
from posetx.models.mesh_model import MeshModel, Moved, within_reach
from posetx.models.transport import EPSILON, ITERATIONS, transport

SLOPE = 0.2  # of the leaky rectifiers
RESIDUAL_BLOCKS = 4


@dataclass(frozen=True)
class CoreNetConfig:
    """Sizes of the network; ``width`` is the published 64, in proportion to which all else is."""

    width: int = 64
    epsilon: float = EPSILON
    iterations: int = ITERATIONS
    pose_points: int = 128
    identity_points: int = 128


class ResidualBlock(nn.Module):
    """Two pointwise layers with instance normalisation; one learned rectifier for both."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Linear(channels, channels, bias=False)
        self.second = nn.Linear(channels, channels, bias=False)
        self.rectifier = nn.PReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.rectifier(instance_norm(self.first(x)))
        out: Tensor = self.rectifier(x + instance_norm(self.second(inner)))
        return out


class Matcher(nn.Module):
    """Point features, and which of the pose's points an identity's points correspond to."""

    def __init__(self, width: int, epsilon: float, iterations: int):
        super().__init__()
        self.epsilon, self.iterations = epsilon, iterations
        self.features = 4 * width
        sizes = [3, width, 2 * width, self.features]
        self.layers = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)])
        self.blocks = nn.Sequential(*[ResidualBlock(self.features) for _ in range(RESIDUAL_BLOCKS)])
        self.identity_key = nn.Linear(self.features, self.features)
        self.pose_key = nn.Linear(self.features, self.features)

    def encode(self, points: Tensor) -> Tensor:
        """Features (B, N, 4 width) of a cloud's points (B, N, 3), of either cloud."""
        # in float32, like all of the matcher: what bf16 rounds away of a cosine would be multiplied
        # by 1 / epsilon, and moved the warped points by 4 % of their spread
        with torch.autocast(points.device.type, enabled=False):
            x = instance_norm(self.layers[0](full_precision(points)))
            for layer in self.layers[1:]:
                x = instance_norm(layer(F.leaky_relu(x, SLOPE)))
            features: Tensor = self.blocks(F.normalize(x, dim=-1))
            return features

    def forward(self, identity: Tensor, pose: Tensor) -> Tensor:
        """The plan (B, Q, P), rows summing to 1, from features (B, Q, F) and (B, P, F)."""
        with torch.autocast(identity.device.type, enabled=False):
            ours = F.normalize(self.identity_key(identity), dim=-1)
            theirs = F.normalize(self.pose_key(pose), dim=-1)
            return transport(1 - ours @ theirs.transpose(1, 2), self.epsilon, self.iterations)


def warp(plan: Tensor, pose: Tensor) -> Tensor:
    """The pose's points (B, P, 3) averaged by the plan (B, Q, P) -> (B, Q, 3)."""
    with torch.autocast(plan.device.type, enabled=False):
        return plan @ full_precision(pose)


class ElaIN(nn.Module):
    """Elastic instance normalisation: each channel's style from the identity, or kept as it was.

    A weight per channel, from the means of both clouds, blends the identity's scale and shift at
    each point with the deviation and mean that the normalisation took away.
    """

    def __init__(self, channels: int, style: int):
        super().__init__()
        self.enter = nn.Linear(style, channels)
        self.scale_shift = nn.Linear(channels, 2 * channels)
        self.blend = nn.Linear(2 * channels, channels)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """``x`` (B, N, C) in the style of the identity's features (B, N, S)."""
        style = self.enter(style)
        x, mean, deviation = standardised(x)
        both = torch.cat([full_precision(style).mean(1, keepdim=True), mean], 2)
        share = full_precision(self.blend(both))
        scale, shift = full_precision(self.scale_shift(style)).chunk(2, -1)
        scale = torch.lerp(deviation, scale, share)
        return torch.addcmul(torch.lerp(mean, shift, share), x, 1 + scale)


class SpectralLinear(nn.Module):
    """A linear layer divided by its largest singular value (Miyato et al., ICLR 2018).

    One step of the power method each time it is used in training. torch's own keeps two vectors
    and trusts their lengths, which weight averaging and half-precision files change.
    """

    direction: Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__()
        plain = nn.Linear(inputs, outputs, bias)
        self.weight, self.bias = plain.weight, plain.bias
        self.register_buffer("direction", F.normalize(torch.randn(outputs), dim=0))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            weight = self.weight
            with torch.no_grad():
                left = F.normalize(self.direction, dim=0)
                right = F.normalize(left @ weight, dim=0)
                if self.training:
                    left = F.normalize(weight @ right, dim=0)
                    self.direction.copy_(left)
            weight = weight / (left @ weight @ right)
        return F.linear(x, weight, self.bias)


class ElaINBlock(nn.Module):
    """Two normalised layers beside a third; their sum."""

    def __init__(self, channels: int, style: int):
        super().__init__()
        self.norms = nn.ModuleList([ElaIN(channels, style) for _ in range(3)])
        self.first = SpectralLinear(channels, channels)
        self.second = SpectralLinear(channels, channels)
        self.shortcut = SpectralLinear(channels, channels, bias=False)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        inner = self.first(F.leaky_relu(self.norms[0](x, style), SLOPE))
        inner = self.second(F.leaky_relu(self.norms[1](inner, style), SLOPE))
        out: Tensor = inner + self.shortcut(F.leaky_relu(self.norms[2](x, style), SLOPE))
        return out


class Refiner(nn.Module):
    """From warped points (B, Q, 3) and the identity's features (B, Q, S) to positions."""

    def __init__(self, width: int, style: int):
        super().__init__()
        sizes = [16 * width, 8 * width, 4 * width]
        self.enter = nn.Linear(3, sizes[0])
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in pairwise(sizes[:1] + sizes)])
        self.blocks = nn.ModuleList([ElaINBlock(size, style) for size in sizes])
        self.out = nn.Linear(sizes[-1], 3)
        with torch.no_grad():  # begin near the origin, where tanh has a slope
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()

    def forward(self, warped: Tensor, style: Tensor) -> Tensor:
        x = self.enter(warped)
        for layer, block in zip(self.layers, self.blocks, strict=True):
            x = block(layer(x), style)
        # in bf16 a metre would be rounded to four millimetres
        with torch.autocast(x.device.type, enabled=False):
            return within_reach(self.out(full_precision(x)))


class CoreNet(MeshModel):
    """See the module's docstring. The order of the pose's points does not matter."""

    def __init__(self, config: CoreNetConfig | None = None):
        super().__init__()
        self.config = c = config or CoreNetConfig()
        self.matcher = Matcher(c.width, c.epsilon, c.iterations)
        self.refiner = Refiner(c.width, self.matcher.features)

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Moved:
        """See :meth:`MeshModel.forward`."""
        style = self.matcher.encode(points)
        plan = self.matcher(style, self.matcher.encode(pose))
        return Moved(self.refiner(warp(plan, pose), style))
