"""A network's codes of poses and of bodies, and how well those of one lie together.

3D-PoseMAE's Figure 5 shows codes in the plane. Here the same few poses are taken by many bodies,
and their pose codes should tell the poses apart and not the bodies. The same few bodies stand in
many ways, as targets do; whether their identity codes tell the bodies apart or how these stand is
looked at both ways.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from posetx.arrays import Floats
from posetx.bodies.body import BodyModel
from posetx.data.identities import draw_rest_poses
from posetx.data.poses import PoseBank
from posetx.evaluation.protocols import eligible_bodies
from posetx.models.predictor import IdentityFrame, Predictor, pose_sample


@dataclass(frozen=True)
class Codes:
    """Codes (G, M, D): M members of each of G groups, and what is said of them.

    Attributes
    ----------
    nearest : the share of codes whose nearest other one is of the same group
    silhouette : the mean of how much nearer a code is to its own group than to the nearest other
        one, -1 to 1
    plane : (G, M, 2) in the two directions that they differ most in
    share : of all that the codes differ in, so much is in the plane
    """

    codes: Floats
    nearest: float
    silhouette: float
    plane: Floats
    share: float

    @classmethod
    def of(cls, codes: Floats) -> Codes:
        """Those of codes (G, M, D), of which G and M are at least 2."""
        groups, members, width = codes.shape
        flat = codes.reshape(-1, width)
        middle = flat - flat.mean(axis=0)
        _, sizes, axes = np.linalg.svd(middle, full_matrices=False)
        share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-300))
        plane = (middle @ axes[:2].T).reshape(groups, members, -1)
        away = np.linalg.norm(flat[:, None] - flat[None], axis=2)
        group = np.repeat(np.arange(groups), members)
        np.fill_diagonal(away, np.inf)
        nearest = float((group[away.argmin(axis=1)] == group).mean())
        np.fill_diagonal(away, 0.0)
        sums = np.stack([away[:, group == g].sum(axis=1) for g in range(groups)], axis=1)
        every = np.arange(len(flat))
        own = sums[every, group] / (members - 1)
        sums[every, group] = np.inf
        other = sums.min(axis=1) / members
        silhouette = float(((other - own) / np.maximum(np.maximum(own, other), 1e-300)).mean())
        return cls(codes, nearest, silhouette, plane, share)

    @property
    def other_way(self) -> Codes:
        """The same codes, grouped by what the members of a group are: M groups of G."""
        return Codes.of(self.codes.swapaxes(0, 1))

    def to_json(self) -> dict[str, float]:
        """What is said of them, without the codes."""
        return {"nearest": self.nearest, "silhouette": self.silhouette, "plane": self.share}


def pose_codes(
    predictor: Predictor, body: BodyModel, bank: PoseBank, poses: int, bodies: int, seed: int = 0
) -> Codes:
    """Of each pose drawn from a bank, taken by as many bodies of adults."""
    generator = torch.Generator().manual_seed(seed)
    rotations = bank.draw(poses, generator)
    shapes = _shapes(body, bodies, generator)
    codes = []
    for pose in rotations:
        clouds = body.pose(shapes, pose.expand(bodies, -1, -1, -1)).double().numpy()
        sets = [pose_sample(cloud, predictor.model.config.pose_points) for cloud in clouds]
        codes.append(predictor.encode_pose(np.stack(sets)).code.double().cpu().numpy())
    return Codes.of(np.stack(codes))


def identity_codes(
    predictor: Predictor, body: BodyModel, bodies: int, poses: int, seed: int = 0
) -> Codes:
    """Of each of some bodies, which stand in as many ways, between an A and a T."""
    generator = torch.Generator().manual_seed(seed)
    shapes = _shapes(body, bodies, generator)
    rests = draw_rest_poses(body, poses, generator)
    faces = body.faces.numpy()
    codes = []
    for shape in shapes:
        every = body.pose(shape.expand(poses, -1), rests).double().numpy()
        normal = [IdentityFrame.of(one, faces).to_normal(one) for one in every]
        sample = torch.cat([predictor.identity_sample(one, faces) for one in normal])
        with torch.inference_mode():
            codes.append(predictor.model.encode_identity(sample).code.double().cpu().numpy())
    return Codes.of(np.stack(codes))


def _shapes(body: BodyModel, count: int, generator: torch.Generator) -> torch.Tensor:
    """Of so many adults (count, S), no two of them the same."""
    rows = eligible_bodies(body)
    return body.bank[rows[torch.randperm(len(rows), generator=generator)[:count]]]
