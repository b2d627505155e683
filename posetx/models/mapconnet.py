"""MAPConNet: 3D-CoreNet whose point features are half identity, half pose.

After "MAPConNet: Self-supervised 3D Pose Transfer with Mesh and Point Contrastive Learning" (ICCV
2023). The network is that of :mod:`posetx.models.core_net`, but the refiner's style is the
identity half alone: with all of them it could learn the pose that an identity came in, and
without ground truth it would. What each half is of is taught by :mod:`posetx.training.contrastive`,
from the features of the identity, of the pose and of the warped points.

The published network has 23,773,319 parameters, this one 23,764,679, for 3D-CoreNet's reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from posetx.models.core_net import CoreNetConfig, Matcher, Refiner, warp
from posetx.models.mesh_model import MeshModel, Moved


@dataclass(frozen=True)
class MAPConNetConfig(CoreNetConfig):
    """Sizes of the network: its backbone's."""


@dataclass
class Matched(Moved):
    """Where the identity's points go, and what the contrastive losses look at.

    Features are of F channels, see :func:`halves`; the plan's rows sum to 1.
    """

    warped: Tensor  # (B, Q, 3) the pose's points by the plan, before they are refined
    plan: Tensor  # (B, Q, P)
    identity_features: Tensor  # (B, Q, F)
    pose_features: Tensor  # (B, P, F)
    warped_features: Tensor  # (B, Q, F)


def halves(features: Tensor) -> tuple[Tensor, Tensor]:
    """Point features (B, N, F) as those of identity and of pose, (B, N, F / 2) each."""
    half = features.shape[-1] // 2
    return features[..., :half], features[..., half:]


class MAPConNet(MeshModel):
    """See the module's docstring. The order of the pose's points does not matter."""

    def __init__(self, config: MAPConNetConfig | None = None):
        super().__init__()
        self.config = c = config or MAPConNetConfig()
        self.matcher = Matcher(c.width, c.epsilon, c.iterations)
        self.refiner = Refiner(c.width, self.matcher.features // 2)

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Matched:
        """See :meth:`MeshModel.forward`."""
        of_points, of_pose = self.matcher.encode(points), self.matcher.encode(pose)
        plan = self.matcher(of_points, of_pose)
        warped = warp(plan, pose)
        style, _ = halves(of_points)
        return Matched(
            positions=self.refiner(warped, style),
            warped=warped,
            plan=plan,
            identity_features=of_points,
            pose_features=of_pose,
            warped_features=self.matcher.encode(warped),
        )
