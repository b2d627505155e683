"""MAPConNet's contrastive losses: what each half of the point features must be alike in.

Paper (ICCV 2023), Eq 7 to 12; |.| is over feature channels. The mesh losses compare whole clouds,
a hinge on the mean over their points; the point loss tells corresponding points from others.

The published code takes the next index for an other point, which is a random one only because it
shuffles its meshes, and in a mesh as it comes is the neighbour; here it is drawn.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posetx.geometry.rotations import full_precision
from posetx.models.mapconnet import Matched, halves

MARGIN = 1.0
#: the kinds: of whole clouds, of points
TERMS = ("mesh", "point")
#: of either kind, next to the mean squared error: the published 1 to 1000
TRIPLET = 1e-3


def distance_gap(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Eq 8: how much further the positive is than the negative, (B, N) from three (B, N, F)."""
    anchor, positive, negative = map(full_precision, (anchor, positive, negative))
    gap: Tensor = (anchor - positive).norm(dim=-1) - (anchor - negative).norm(dim=-1)
    return gap


def mesh_triplet(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = MARGIN
) -> Tensor:
    """Eq 7 for features (B, N, F) whose points correspond by index; a scalar."""
    return (margin + distance_gap(anchor, positive, negative).mean(1)).relu().mean()


def point_triplet(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = MARGIN
) -> Tensor:
    """Eq 12 for features (B, N, F): a hinge at each point; a scalar."""
    return (margin + distance_gap(anchor, positive, negative)).relu().mean()


def reordered(features: Tensor, plan: Tensor) -> Tensor:
    """Eq 10: of features (B, P, F) the one that each row of the plan (B, Q, P) is largest at."""
    return _taken(features, plan.argmax(2))


def others(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """For each point of ``like`` (B, N, F) the index (B, N) of a random other one, N >= 2."""
    batch, count = like.shape[:2]
    # without a generator by the CPU's, whose state a training run saves
    where = generator.device if generator else "cpu"
    step = torch.randint(1, count, (batch, count), generator=generator, device=where)
    return (torch.arange(count, device=like.device) + step.to(like.device)) % count


def supervised_terms(
    output: Matched, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Eq 11 and 12, unweighted scalars: ``mesh`` and ``point``, of any pair of clouds.

    The warped points must have the identity of one input and the pose of the other, whose points
    are put in order by the plan. ``generator`` draws the other points.
    """
    pose_features = reordered(output.pose_features, output.plan)
    (identity, identity_pose), (source, pose) = (
        halves(output.identity_features),
        halves(pose_features),
    )
    warped, warped_pose = halves(output.warped_features)
    return {
        "mesh": mesh_triplet(warped_pose, pose, identity_pose)
        + mesh_triplet(warped, identity, source),
        "point": _point_term(output, generator),
    }


def aligned_terms(output: Matched, generator: torch.Generator | None = None) -> dict[str, Tensor]:
    """Eq 9 and 12, likewise, where both inputs are the same points of one body in two poses.

    Now the anchor is the pose source, whose identity the warped points should not simply inherit.
    Raises ValueError when the inputs have not equally many points.
    """
    if output.pose_features.shape != output.identity_features.shape:
        raise ValueError("aligned inputs have as many pose points as identity points")
    identity, identity_pose = halves(output.identity_features)
    source, pose = halves(output.pose_features)
    warped, warped_pose = halves(output.warped_features)
    return {
        "mesh": mesh_triplet(pose, warped_pose, identity_pose)
        + mesh_triplet(source, identity, warped),
        "point": _point_term(output, generator),
    }


def _point_term(output: Matched, generator: torch.Generator | None) -> Tensor:
    features = output.identity_features
    negative = _taken(features, others(features, generator))
    return point_triplet(output.warped_features, features, negative)


def _taken(features: Tensor, index: Tensor) -> Tensor:
    """Of features (B, P, F) those at ``index`` (B, Q)."""
    return features.gather(1, index.unsqueeze(-1).expand(-1, -1, features.shape[-1]))
