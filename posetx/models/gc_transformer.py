"""GC-Transformer: NPT with attention from the pose's points to the identity's in each stage.

"Geometry-Contrastive Transformer for Generalized 3D Pose Transfer" (Chen et al., AAAI 2022). NPT's
encoder makes features of both meshes; in each of four stages one linear map takes both on, the
pose's points attend to the identity's (CGP), and a SPAdaIN block styles them.

As published, the attention's weights are of identity points, its values of the pose points of the
same index. So equal counts are needed, and as in NPT the result depends on which points are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.models.mesh_model import MeshModel, Moved, with_count, within_reach
from posetx.models.npt import PointEncoder, SPAdaINBlock, begin_small

#: neighbours of a point: what a triangle mesh's vertex has on average
RING = 6


@dataclass(frozen=True)
class GCTransformerConfig:
    """Sizes of the network; every number of channels is in proportion to ``width``."""

    width: int = 1024
    #: of a training sample; of no meaning to the network
    pose_points: int = 128
    identity_points: int = 128


class CGPAttention(nn.Module):
    """pose + gamma * softmax(query(pose) . key(identity)) value(pose), all (B, N, C).

    One head, products not scaled, gamma learnable from 0. The N x N weights are never held where
    the device has a kernel for that. A bias of the keys would be cancelled by the softmax, one of
    the values by the normalisation that follows.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels, bias=False)
        self.value = nn.Linear(channels, channels, bias=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, pose: Tensor, identity: Tensor) -> Tensor:
        # such kernels want an axis of heads
        query, key, value = (
            x.unsqueeze(1) for x in (self.query(pose), self.key(identity), self.value(pose))
        )
        attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        return pose + self.gamma * attended.squeeze(1)


class GCTransformer(MeshModel):
    """See the module's docstring. Frames are those of :class:`posetx.data.stream.Batch`."""

    equal_counts = True

    def __init__(self, config: GCTransformerConfig | None = None):
        super().__init__()
        self.config = c = config or GCTransformerConfig()
        self.encoder = PointEncoder(c.width)
        sizes = (c.width, c.width, c.width // 2, c.width // 2, c.width // 4)
        self.enter = nn.ModuleList([nn.Linear(a, b, bias=False) for a, b in pairwise(sizes)])
        self.attention = nn.ModuleList([CGPAttention(size) for size in sizes[1:]])
        self.blocks = nn.ModuleList([SPAdaINBlock(size) for size in sizes[1:]])
        self.out = nn.Linear(sizes[-1], 3)
        begin_small(self)

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Moved:
        """See :meth:`MeshModel.forward`; of ``pose`` as many points are taken as there are."""
        x = self.encoder(with_count(pose, points.shape[1]))
        identity = self.encoder(points)
        for enter, attend, block in zip(self.enter, self.attention, self.blocks, strict=True):
            x, identity = enter(x), enter(identity)
            x = block(attend(x, identity), points)
        return Moved(within_reach(self.out(x)))


def central_geodesic_loss(
    predicted: Tensor, identity: Tensor, truth: Tensor | None = None
) -> Tensor:
    """How far the ways from each point to its neighbours are from what they should be, squared.

    The paper's central geodesic contrastive loss, over all points; the published code looks at
    the first vertex only. A point's neighbours are the nearest ones on the identity, as training
    samples have no faces. Every two points' distance is held: meant for samples, not large meshes.

    Parameters
    ----------
    predicted : (B, Q, 3) in the identity's frame.
    identity : (B, Q, 3), the same points before they were moved.
    truth : (B, Q, 3) where they must go: directions count too, as in the paper. Without it only
        lengths do, against the identity's, which a pose change should keep.

    Returns
    -------
    Scalar, mean over points and neighbours, in squared units of the identity's frame.
    """
    # the usual way through products of matrices is too coarse for points close together
    away = torch.cdist(identity, identity, compute_mode="donot_use_mm_for_euclid_dist")
    own = torch.eye(identity.shape[1], dtype=torch.bool, device=identity.device)
    away = away.detach().masked_fill(own, torch.inf)
    near = away.topk(min(RING, identity.shape[1] - 1), largest=False).indices

    def ways(points: Tensor) -> Tensor:  # (B, Q, RING, 3)
        ends = points.gather(1, near.flatten(1).unsqueeze(-1).expand(-1, -1, 3))
        edges: Tensor = ends.unflatten(1, near.shape[1:]) - points.unsqueeze(2)
        return edges

    if truth is not None:
        return (ways(predicted) - ways(truth)).square().mean()
    change: Tensor = (ways(predicted).norm(dim=-1) - ways(identity).norm(dim=-1)).square().mean()
    return change
