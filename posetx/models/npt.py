"""NPT and NPT-MP: an identity's points, styled by where they are, move as a pose's features tell.

"Neural Pose Transfer by Spatially Adaptive Instance Normalization" (Wang et al., CVPR 2020). A
point-wise encoder makes features of the pose's points; a decoder takes them with the identity's
coordinates. Between its layers the features are normalised over the points and then scaled and
shifted by each identity point's coordinates (SPAdaIN), which gives the shape.

NPT joins the i-th pose point's features to the i-th identity point: it needs equal counts, and its
result depends on how the two are paired (only a common order has no meaning). The authors keep
both in random order, as :class:`posetx.data.stream.Batch` does. NPT-MP (``pool``) joins the
features' maximum to each point instead: any counts, no matter which order of the pose.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.models.instance_norm import instance_norm
from posetx.models.mesh_model import MeshModel, Moved, with_count, within_reach


@dataclass(frozen=True)
class NPTConfig:
    """Sizes of the network; every number of channels is in proportion to ``width``."""

    width: int = 1024
    #: NPT-MP
    pool: bool = False
    #: of a training sample; of no meaning to the network
    pose_points: int = 128
    identity_points: int = 128


class PointEncoder(nn.Module):
    """Features (B, P, width) of each of a cloud's points (B, P, 3), normalised over the cloud.

    Like all linear maps before a normalisation these have no bias: it would have no effect.
    """

    def __init__(self, width: int):
        super().__init__()
        sizes = (3, width // 16, width // 8, width)
        self.layers = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)])

    def forward(self, cloud: Tensor) -> Tensor:
        x = cloud
        for layer in self.layers:
            x = F.relu(instance_norm(layer(x)))
        return x


class SPAdaIN(nn.Module):
    """norm(x) * scale(identity) + shift(identity): features (B, Q, C), identity (B, Q, 3).

    Not ``normalised`` in NPT-MP's first block, where most channels are the same for all points.
    """

    def __init__(self, channels: int, normalised: bool = True):
        super().__init__()
        self.normalised = normalised
        self.style = nn.Linear(3, 2 * channels)

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        scale, shift = self.style(identity).chunk(2, -1)
        styled: Tensor = (instance_norm(x) if self.normalised else x) * scale + shift
        return styled


class SPAdaINBlock(nn.Module):
    """(SPAdaIN, ReLU, linear) twice, and once more beside them as a learned shortcut; summed."""

    def __init__(self, channels: int, normalised: bool = True):
        super().__init__()
        self.styles = nn.ModuleList([SPAdaIN(channels, normalised) for _ in range(3)])
        self.layers = nn.ModuleList([nn.Linear(channels, channels, bias=False) for _ in range(3)])

    def forward(self, x: Tensor, identity: Tensor) -> Tensor:
        def part(index: int, x: Tensor) -> Tensor:
            out: Tensor = self.layers[index](F.relu(self.styles[index](x, identity)))
            return out

        return part(1, part(0, x)) + part(2, x)


class NPT(MeshModel):
    """See the module's docstring. Frames are those of :class:`posetx.data.stream.Batch`."""

    def __init__(self, config: NPTConfig | None = None):
        super().__init__()
        self.config = c = config or NPTConfig()
        self.equal_counts = not c.pool
        self.encoder = PointEncoder(c.width)
        joined = c.width + 3
        sizes = (joined, joined, joined // 2, joined // 4)
        self.enter = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)])
        self.blocks = nn.ModuleList(
            [
                SPAdaINBlock(size, normalised=bool(i) or not c.pool)
                for i, size in enumerate(sizes[1:])
            ]
        )
        self.out = nn.Linear(sizes[-1], 3)
        begin_small(self)

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Moved:
        """See :meth:`MeshModel.forward`; NPT takes of ``pose`` as many points as there are."""
        if self.config.pool:
            features = self.encoder(pose).amax(1, keepdim=True).expand(-1, points.shape[1], -1)
        else:
            features = self.encoder(with_count(pose, points.shape[1]))
        x = torch.cat([features, points], 2)
        for enter, block in zip(self.enter, self.blocks, strict=True):
            x = block(enter(x), points)
        return Moved(within_reach(self.out(x)))


def begin_small(model: nn.Module) -> None:
    """All linear maps from N(0, 0.02), biases as torch has them: the papers' beginning."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
