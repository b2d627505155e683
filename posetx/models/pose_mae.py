"""3D-PoseMAE: the pose of a point cloud, given to an identity's points.

After "Towards Robust 3D Pose Transfer with Adversarial Learning" (CVPR 2024). Two heads:

``coords``
    the decoder regresses positions, as in the paper.
``skin``
    the encoder's own body parts are the skinning weights; each part's rigid motion comes from the
    two clouds' estimated joint rotations through the kinematic tree, and the decoder adds a small
    offset. It keeps surface detail by construction.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from posetx.bodies.body import BodyModel, forward_kinematics, skin
from posetx.bodies.skeleton import JOINTS
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import full_precision, matrix_from_6d
from posetx.models.decoder import Decoder, Statistics
from posetx.models.encoder import (
    MultiScaleEncoder,
    PointFeatures,
    PoseHead,
    ResidualMLP,
)
from posetx.models.mesh_model import Mover
from posetx.models.refine import Estimate, Look, PartRefiner
from posetx.models.surroundings import surroundings

#: how a result comes about: the identity's skin is moved by its parts, or each point by itself
Head = Literal["skin", "coords"]


@dataclass(frozen=True)
class PoseMAEConfig:
    """Sizes of the network. The checkpoint carries it, so a file rebuilds its own network."""

    head: Head = "skin"
    width: int = 256
    values: int = 24
    code: int = 384
    depth: int = 2
    scales: int = 2
    mask_ratio: float = 0.25
    #: whether the pose encoder tells the body's points from others
    clutter: bool = True
    refine: bool = True
    refine_width: int = 96
    refine_depth: int = 1
    #: how often the second look is taken, with the same weights
    looks: int = 2
    decoder_width: int = 64
    decoder_blocks: int = 2
    pose_points: int = 128
    identity_points: int = 128


@dataclass
class Motion:
    """How the identity's parts move: joints (B, 19, 3) before and after, rotations between."""

    joints: Tensor
    placed: Tensor
    rotations: Tensor


@dataclass
class PoseCode:
    """The encoder's word on one cloud, the first one, and those of each further look at it."""

    code: Tensor  # (B, D)
    estimate: Estimate  # joints in the cloud's frame
    features: PointFeatures
    first: Estimate
    first_logits: Tensor  # (B, N, 19) of the parts, or (B, N, 20) with that of clutter
    looks: list[Look] = field(default_factory=list)

    @property
    def rotations(self) -> Tensor:
        return self.estimate.rotations

    @property
    def joints(self) -> Tensor:
        return self.estimate.joints


@dataclass
class IdentityContext:
    """All that decoding further points of an identity in a pose needs; independent of them."""

    pooled: Tensor
    identity: Estimate
    motion: Motion
    code: Tensor
    statistics: list[list[Statistics]]


@dataclass
class Output:
    """``positions`` (B, Q, 3) in the identity's frame, and what auxiliary losses look at."""

    positions: Tensor
    pose: PoseCode
    identity: PoseCode
    motion: Motion


class PoseMAE(nn.Module):
    """See the module's docstring. Frames are those of :class:`posetx.data.stream.Batch`."""

    def __init__(self, config: PoseMAEConfig | None = None):
        super().__init__()
        self.config = c = config or PoseMAEConfig()
        parts = len(JOINTS)
        self.pose_encoder = MultiScaleEncoder(
            c.width, parts, c.values, c.code, c.scales, c.depth, c.clutter, around=True
        )
        self.identity_encoder = MultiScaleEncoder(c.width, parts, c.values, c.code, 1, 1)
        self.pose_head = PoseHead(c.code, parts)
        self.identity_head = PoseHead(c.code, parts)
        self.pose_refiner = self._refiner(places=True)
        self.identity_refiner = self._refiner(places=False)
        both = 2 * c.code + 24 * parts
        self.motion_in = nn.Linear(both, c.code)
        self.motion_block = ResidualMLP(c.code)
        self.motion_out = nn.Linear(c.code, parts * 9)
        nn.init.zeros_(self.motion_out.weight)
        nn.init.zeros_(self.motion_out.bias)
        self.decoder = Decoder(c.width, c.decoder_width, c.code, c.decoder_blocks)

    def _refiner(self, places: bool) -> PartRefiner | None:
        c, parts = self.config, len(JOINTS)
        if not c.refine:
            return None
        return PartRefiner(
            c.width,
            c.values,
            c.code,
            parts,
            c.refine_width,
            c.refine_depth,
            places=places,
        )

    def begin_on(self, body: BodyModel) -> None:
        """Before training: spread the encoders' anchors, and lay those of looks over a body."""
        for encoder in (self.pose_encoder, self.identity_encoder):
            encoder.net.local.begin()
        corners = body.template[body.faces]
        cross = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
        units = {
            self.pose_refiner: normalise_pose(body.template.unsqueeze(0))[2].squeeze(),
            self.identity_refiner: (cross.norm(dim=-1).sum() / 2).sqrt(),
        }
        for refiner, unit in units.items():
            if refiner is not None:
                joints = body.joint_template / unit
                refiner.look.begin_on(body.template / unit, body.weights, joints)
                if refiner.places is not None:
                    refiner.places.begin_on(joints, unit)

    def encode_pose(self, points: Tensor, mask_ratio: float = 0.0, sets: int = 1) -> PoseCode:
        """The pose code of clouds (B, P, 3) in normalised frames, their points evenly mixed.

        The cloud's first ``sets`` times as many points as the network encodes at once are encoded,
        set by set, and the codes averaged. The further looks see all of the points.
        """
        count, size = points.shape[1], self.config.pose_points
        encoded = min(sets * size, count)
        # (`len` of a tensor would freeze a traced batch)
        clouds = points[:, :encoded].reshape(points.shape[0] * sets, encoded // sets, 3)
        around = surroundings(points[:, :encoded], points)
        around = around.reshape(*clouds.shape[:2], *around.shape[2:])
        code, features = self.pose_encoder(clouds, mask_ratio, around=around)
        # a mask keeps the first points of each set
        shown = clouds[:, : features.parts.shape[1]].reshape(points.shape[0], -1, 3)
        more = points[:, encoded:] if encoded < count else None
        if sets > 1:
            code, features = (
                code.unflatten(0, (points.shape[0], sets)).mean(1),
                features.joined(sets),
            )
        sixd, joints = self.pose_head(code)
        first = estimate = Estimate(matrix_from_6d(sixd), joints)
        refined, looks = features, list[Look]()
        if self.pose_refiner is not None:
            looks = self.pose_refiner(shown, features, code, first, self.config.looks, more)
            estimate, refined = looks[-1].estimate, looks[-1].features
        return PoseCode(code, estimate, refined, first, features.logits, looks)

    def encode_identity(self, points: Tensor, extra: Tensor | None = None) -> PoseCode:
        """The code of an identity's surface sample (B, I, 3): its own pose and proportions.

        ``extra`` (B, E, 3) points of the identity get features too, but shape no code.
        """
        code, features = self.identity_encoder(points, extra=extra)
        sixd, joints = self.identity_head(code)
        first = estimate = Estimate(matrix_from_6d(sixd), joints)
        parts, looks = features.parts, list[Look]()
        if self.identity_refiner is not None:
            sample = features[slice(points.shape[1])]
            looks = self.identity_refiner(points, sample, code, first, self.config.looks)
            estimate = looks[-1].estimate
            shown = points if extra is None else torch.cat([points, extra], 1)
            parts = self._parts(shown, features, estimate)
        refined = PointFeatures(features.hidden, parts)
        return PoseCode(code, estimate, refined, first, features.logits, looks)

    def _parts(self, points: Tensor, features: PointFeatures, identity: Estimate) -> Tensor:
        """Part logits of an identity's points, seen from where its parts are."""
        if self.identity_refiner is None:
            return features.parts
        if self.training:
            identity = identity.detach()
        _, logits = self.identity_refiner.look(points, identity)
        parts: Tensor = features.parts + logits
        return parts

    def motion(self, pose: PoseCode, identity: PoseCode) -> tuple[Motion, Tensor]:
        """How each part moves, and the joint code (B, D) that the decoder is styled with."""
        estimates = [pose.rotations, identity.rotations, pose.joints, identity.joints]
        z = torch.cat([pose.code, identity.code, *[e.flatten(1) for e in estimates]], 1)
        z = self.motion_block(F.relu(self.motion_in(z)))
        correction = full_precision(self.motion_out(F.relu(z)).unflatten(1, (-1, 9)))
        # in bf16 each rotation along a limb would put its end millimetres off
        with torch.autocast(z.device.type, enabled=False):
            turn = pose.rotations @ identity.rotations.transpose(-1, -2)
            turn = matrix_from_6d(torch.cat([turn[..., 0], turn[..., 1]], -1) + correction[..., :6])
            placed = forward_kinematics(identity.joints, turn) + correction[..., 6:]
        return Motion(identity.joints, placed, turn), z

    def forward(self, pose: Tensor, points: Tensor, sample: int | None = None) -> Output:
        """Where an identity's ``points`` go when it takes the pose (training; all in one pass).

        Parameters
        ----------
        pose : (B, P, 3) normalised cloud, in random order.
        points : (B, Q, 3) in the identity's frame; the first ``sample`` of them (default: all)
            are its surface sample, over which everything is pooled.
        """
        sample = sample or points.shape[1]
        source = self.encode_pose(pose, self.config.mask_ratio if self.training else 0.0)
        target = self.encode_identity(points[:, :sample], extra=points[:, sample:])
        return self.transferred(source, target, points, sample)

    def mover(self, points: Tensor, sample: int, sets: int = 1) -> Mover:
        """Where ``points`` (B, Q, 3) of known identities go, as a function of the pose alone.

        ``sample`` is :meth:`forward`'s, ``sets`` :meth:`encode_pose`'s. Gradients reach the pose.
        """
        with torch.no_grad():
            identity = self.encode_identity(points[:, :sample], extra=points[:, sample:])
        return self.mover_of(identity, points, sample, sets)

    def mover_of(self, identity: PoseCode, points: Tensor, sample: int, sets: int = 1) -> Mover:
        """:meth:`mover` of identities that are encoded, with features of all ``points``."""

        def move(pose: Tensor, mask_ratio: float = 0.0) -> Tensor:
            source = self.encode_pose(pose, mask_ratio, sets)
            return self.transferred(source, identity, points, sample).positions

        return move

    def transferred(
        self, source: PoseCode, target: PoseCode, points: Tensor, sample: int
    ) -> Output:
        """:meth:`forward` from codes that are known; ``target`` has features of all ``points``."""
        motion, z = self.motion(source, target)
        raw, _ = self.decoder(target.features.hidden, z, sample)
        weights = full_precision(target.features.parts).softmax(-1)
        positions = self._positions(points, weights, motion, raw)
        return Output(positions, source, target, motion)

    def context(
        self, source: PoseCode, identity: Tensor, known: Estimate | None = None
    ) -> IdentityContext:
        """All that :meth:`decode` needs, from the identity's surface sample (B, I, 3).

        ``known`` is a better word on the identity's own pose than the network's.
        """
        target = self.encode_identity(identity)
        if known is not None:
            target = replace(target, estimate=known)
        motion, z = self.motion(source, target)
        pooled = self.identity_encoder.net.pooled_over(identity)
        _, statistics = self.decoder(target.features.hidden, z)
        return IdentityContext(pooled, target.estimate, motion, z, statistics)

    def part_weights(self, identity: Tensor, estimate: Estimate, points: Tensor) -> Tensor:
        """Skinning weights (B, Q, 19) of an identity's points, its own pose being ``estimate``."""
        pooled = self.identity_encoder.net.pooled_over(identity)
        logits = self._parts(points, self._identity_features(points, pooled), estimate)
        return full_precision(logits).softmax(-1)

    def decode(
        self, context: IdentityContext, points: Tensor, weights: Tensor | None = None
    ) -> Tensor:
        """Positions (B, Q, 3) of any points of the identity; each independent of the others.

        ``weights`` (B, Q, 19) are their skinning weights, if better ones than the network's are
        known; the ``coords`` head has no use for them.
        """
        features = self._identity_features(points, context.pooled)
        raw, _ = self.decoder(features.hidden, context.code, kept=context.statistics)
        if weights is None and self.config.head == "skin":
            parts = self._parts(points, features, context.identity)
            weights = full_precision(parts).softmax(-1)
        return self._positions(points, weights, context.motion, raw)

    def _identity_features(self, points: Tensor, pooled: Tensor) -> PointFeatures:
        net = self.identity_encoder.net
        return net.with_context(net.near(points), pooled)

    def _positions(
        self, points: Tensor, weights: Tensor | None, motion: Motion, raw: Tensor
    ) -> Tensor:
        if weights is None or self.config.head == "coords":
            return raw
        with torch.autocast(points.device.type, enabled=False):
            return raw + skin(points, weights, motion.joints, motion.placed, motion.rotations)
