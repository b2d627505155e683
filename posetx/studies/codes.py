"""A network's codes of poses and of bodies, and how well those of one lie together.

3D-PoseMAE's Figure 5 shows codes in the plane. Here the same few poses are taken by many bodies,
and their pose codes should tell the poses apart and not the bodies. The same few bodies stand in
many ways, as targets do; whether their identity codes tell the bodies apart or how these stand is
looked at both ways. Beside the pose codes lie those of the same clouds after an attack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import Floats
from posetx.attacks.scan import picked_vertices, victim_of
from posetx.attacks.settings import AttackSettings
from posetx.attacks.victim import Victim
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
    middle : (D,) of all codes
    axes : (2, D) of the plane
    """

    codes: Floats
    nearest: float
    silhouette: float
    plane: Floats
    share: float
    middle: Floats
    axes: Floats

    @classmethod
    def of(cls, codes: Floats) -> Codes:
        """Those of codes (G, M, D), of which G and M are at least 2."""
        groups, members, width = codes.shape
        flat = codes.reshape(-1, width)
        middle = flat.mean(axis=0)
        _, sizes, axes = np.linalg.svd(flat - middle, full_matrices=False)
        share = float((sizes[:2] ** 2).sum() / max((sizes**2).sum(), 1e-300))
        plane = ((flat - middle) @ axes[:2].T).reshape(groups, members, -1)
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
        return cls(codes, nearest, silhouette, plane, share, middle, axes[:2])

    @property
    def other_way(self) -> Codes:
        """The same codes, grouped by what the members of a group are: M groups of G."""
        return Codes.of(self.codes.swapaxes(0, 1))

    def to_json(self) -> dict[str, float]:
        """What is said of them, without the codes."""
        return {"nearest": self.nearest, "silhouette": self.silhouette, "plane": self.share}


@dataclass(frozen=True)
class AttackedCodes:
    """Codes (G, M, D) of what ``clean`` ones are of, after an attack.

    Attributes
    ----------
    nearest : the share of them whose nearest clean code is of their own group
    moved : how far they went on average, as a share of how far clean codes of other groups are
    plane : (G, M, 2) in the plane of the clean ones
    """

    codes: Floats
    nearest: float
    moved: float
    plane: Floats

    @classmethod
    def of(cls, codes: Floats, clean: Codes) -> AttackedCodes:
        """Those of codes (G, M, D) that were ``clean``."""
        groups, members, width = codes.shape
        before = clean.codes.reshape(-1, width)
        group = np.repeat(np.arange(groups), members)
        away = np.linalg.norm(codes.reshape(-1, 1, width) - before, axis=2)
        nearest = float((group[away.argmin(axis=1)] == group).mean())
        apart = np.linalg.norm(before[:, None] - before, axis=2)
        others = apart[group[:, None] != group].mean()
        moved = float(np.linalg.norm(codes - clean.codes, axis=2).mean() / max(others, 1e-300))
        return cls(codes, nearest, moved, (codes - clean.middle) @ clean.axes.T)

    def to_json(self) -> dict[str, float]:
        """What is said of them, without the codes."""
        return {"nearest": self.nearest, "moved": self.moved}


@dataclass(frozen=True)
class Takes:
    """Poses that are each taken by the same adults.

    Attributes
    ----------
    rotations : (G, 19, 3, 3) global
    shapes : (M, S)
    samples : (G, M, P, 3) of their bodies, as a network is shown them
    """

    rotations: Tensor
    shapes: Tensor
    samples: Floats

    @classmethod
    def draw(
        cls,
        predictor: Predictor,
        body: BodyModel,
        bank: PoseBank,
        poses: int,
        bodies: int,
        seed: int = 0,
    ) -> Takes:
        """So many poses of a bank, by so many bodies; always the same for a seed."""
        generator = torch.Generator().manual_seed(seed)
        rotations = bank.draw(poses, generator)
        shapes = _shapes(body, bodies, generator)
        points = predictor.model.config.pose_points
        samples = [
            np.stack([pose_sample(c, points) for c in cls._posed(body, shapes, pose)])
            for pose in rotations
        ]
        return cls(rotations, shapes, np.stack(samples))

    @staticmethod
    def _posed(body: BodyModel, shapes: Tensor, pose: Tensor) -> Floats:
        """Vertices (M, V, 3) of bodies in one pose (19, 3, 3)."""
        posed: Floats = body.pose(shapes, pose.expand(len(shapes), -1, -1, -1)).double().numpy()
        return posed

    def attacked(self, predictor: Predictor, body: BodyModel, settings: AttackSettings) -> Tensor:
        """The samples (G, M, P, 3) after an attack on what each would give to the next body.

        That stands somewhere between an A and a T.
        """
        generator = torch.Generator(device=predictor.device).manual_seed(settings.seed)
        shapes = self.shapes.roll(1, 0)
        rests = draw_rest_poses(body, len(shapes), torch.Generator().manual_seed(settings.seed))
        targets, faces = body.pose(shapes, rests).double().numpy(), body.faces.numpy()
        frames = [IdentityFrame.of(target, faces) for target in targets]
        each = [
            victim_of(predictor, frame.to_normal(target), faces, settings.seed)
            for frame, target in zip(frames, targets, strict=True)
        ]
        victim = Victim(predictor, torch.cat([one.queries for one in each]))
        units = np.array([frame.unit for frame in frames])[:, None, None]
        picked = picked_vertices(targets.shape[1], settings.seed)
        # one goal for all of them: that of a body of mean size
        goal = math.log(settings.success / float(np.square(units).mean()))
        found = []
        for pose, samples in zip(self.rotations, self.samples, strict=True):
            truth = self._posed(body, shapes, pose)
            middles = np.stack([IdentityFrame.of(one, faces).centre for one in truth])
            aim = (truth[:, picked] - middles[:, None]) / units
            clouds, aims = (
                torch.as_tensor(x, dtype=torch.float32, device=predictor.device)
                for x in (samples - samples.mean(1, keepdims=True), aim)
            )
            objective = victim.objective(aims, clouds.shape[1])
            found.append(settings.run(objective, clouds, generator, goal)[0].clouds)
        return torch.stack(found)


def pose_codes(predictor: Predictor, samples: Floats | Tensor) -> Floats:
    """Codes (G, M, D) of clouds (G, M, P, 3)."""
    codes = [predictor.encode_pose(sets).code.double().cpu().numpy() for sets in samples]
    return np.stack(codes)


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


def _shapes(body: BodyModel, count: int, generator: torch.Generator) -> Tensor:
    """Of so many adults (count, S), no two of them the same."""
    rows = eligible_bodies(body)
    return body.bank[rows[torch.randperm(len(rows), generator=generator)[:count]]]
