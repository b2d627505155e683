"""Endless training batches: a pose source's points, an identity's points, where they must go.

Everything is made on one device from the body model's arrays: no files, no workers. Bodies are
evaluated at surface samples instead of all vertices, which is what makes two CPU cores enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posetx.bodies.body import BodyModel, forward_kinematics, skin
from posetx.data.identities import Identity, draw_identities, draw_rest_poses
from posetx.data.poses import PoseBank
from posetx.data.scanner import ScannerSettings, simulate_scans
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.triangles import barycentric

SURFACE_SAMPLES = 16384
AREA_FACES = 192
EDGES = 16


@dataclass
class Batch:
    """One training batch (B samples, P pose points, I identity points, Q query points).

    Identity, query and truth are in the identity's frame (its surface's centroid, square root of
    its area as unit), the pose in its own (:func:`posetx.geometry.frames.normalise_pose`).
    The queries are the identity points, then the two ends of each of E edges, ``Q = I + 2 E``.
    What only a body model knows is None for meshes from files.
    """

    pose: Tensor  # (B, P, 3)
    identity: Tensor  # (B, I, 3)
    queries: Tensor  # (B, Q, 3)
    truth: Tensor  # (B, Q, 3)
    metres: Tensor  # (B,) the identity frame's unit; of files, in theirs
    pose_part: Tensor | None = None  # (B, P) joint with the largest weight, -1 for clutter
    pose_place: Tensor | None = None  # (B, P, 3) the skin under it on the template at rest, metres
    pose_lift: Tensor | None = None  # (B, P) how far it lies off that skin, in the pose's frame
    pose_rotations: Tensor | None = None  # (B, 19, 3, 3) global
    pose_joints: Tensor | None = None  # (B, 19, 3) in the pose's frame
    query_weights: Tensor | None = None  # (B, Q, 19) skinning weights
    identity_rotations: Tensor | None = None  # (B, 19, 3, 3)
    identity_joints: Tensor | None = None  # (B, 19, 3)
    truth_joints: Tensor | None = None  # (B, 19, 3) where the identity's joints must go


@dataclass(frozen=True)
class StreamSettings:
    """What the stream makes. Shares are of the batch."""

    pose_points: int = 128
    identity_points: int = 128
    pool: int = 1024
    scan_share: float = 0.4
    #: of the scans, how many show something that touches the body, and how many one thing more
    object_share: float = 0.4
    more_share: float = 0.2
    #: of the things, as a share of the body's height
    longest_edge: float = 0.8
    #: share of all pose sources that get Gaussian noise, its sd up to ``noise`` of the height
    noise_share: float = 0.3
    noise: float = 0.025
    reposed_share: float = 0.33
    yaw_degrees: float = 30.0


class BodyStream:
    """Draws batches; all randomness comes from one generator whose state can be saved."""

    def __init__(self, body: BodyModel, poses: PoseBank, settings: StreamSettings, seed: int = 0):
        self.body, self.poses, self.settings = body, poses, settings
        device = body.template.device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self._prepare_surface()

    def _prepare_surface(self) -> None:
        """Fixed area-weighted samples of the template's surface, shared by all batches."""
        body, device = self.body, self.body.template.device
        fixed = torch.Generator().manual_seed(0)
        corners = body.template[body.faces]
        cross = torch.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], dim=-1)
        self.face_area = cross.norm(dim=-1) / 2
        picked = torch.multinomial(self.face_area.cpu(), SURFACE_SAMPLES, True, generator=fixed)
        picked = picked.to(device)
        bary = barycentric(torch.rand(2, SURFACE_SAMPLES, generator=fixed).to(device))

        def at_samples(values: Tensor) -> Tensor:
            return (values[body.faces[picked]] * bary.unsqueeze(-1)).sum(1)

        self.points = at_samples(body.template)
        self.lifts = torch.zeros_like(self.points[:, 0])
        self.weights = at_samples(body.weights)
        parts = [at_samples(component) for component in body.components]
        self.components = torch.stack(parts)
        self.normals = torch.nn.functional.normalize(cross[picked], dim=-1)

    def draw(self, count: int, points: int | None = None) -> Batch:
        """The next ``count`` samples, of at most ``points`` pose and identity points each."""
        body, settings = self.body, self.settings
        limit = points or settings.pool
        pose_points = min(settings.pose_points, limit)
        identity_points = min(settings.identity_points, limit)
        yaw = torch.deg2rad(torch.tensor(settings.yaw_degrees)) * (2 * self._rand(count) - 1)
        rotations = matrix_from_yaw(yaw).unsqueeze(1) @ self.poses.draw_varied(
            count, self.generator
        )
        pool = self._randint(SURFACE_SAMPLES, settings.pool)

        source = draw_identities(body, count, self.generator, varied=True)
        pose, origin, pose_joints, pose_unit = self._pose_source(
            source, rotations, pool, pose_points
        )
        known = pool[origin.clamp_min(0)]

        identity = draw_identities(body, count, self.generator, varied=True)
        own = draw_rest_poses(body, count, self.generator)
        reposed = self._rand(count) < settings.reposed_share
        other = self.poses.draw_varied(count, self.generator)
        small_yaw = matrix_from_yaw(0.15 * (2 * self._rand(count) - 1)).unsqueeze(1)
        own = torch.where(reposed.view(-1, 1, 1, 1), other, own)
        own = small_yaw @ own

        queries, weights = self._query_points(count, pool, identity_points)
        rest = self._rest(identity, queries)
        joints = body.rest_joints(identity.coefficients)
        shown, shown_joints = _posed(rest, weights, joints, own, identity)
        truth, truth_joints = _posed(rest, weights, joints, rotations, identity)

        unit = self._unit(identity, joints)
        centre = shown[:, :identity_points].mean(1, keepdim=True)
        aim = truth[:, :identity_points].mean(1, keepdim=True)
        scale = unit.view(-1, 1, 1)
        shown = (shown - centre) / scale
        return Batch(
            pose=pose,
            pose_part=torch.where(origin < 0, -1, self.weights[known].argmax(-1)),
            pose_place=self.points[known],
            pose_lift=self.lifts[known] / pose_unit,
            pose_rotations=rotations,
            pose_joints=pose_joints,
            identity=shown[:, :identity_points],
            queries=shown,
            query_weights=weights,
            identity_rotations=own,
            identity_joints=(shown_joints - centre) / scale,
            truth=(truth - aim) / scale,
            truth_joints=(truth_joints - aim) / scale,
            metres=unit,
        )

    def _pose_source(
        self, source: Identity, rotations: Tensor, pool: Tensor, points: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Samples of the surface, ``scan_share`` of them through the virtual scanner.

        Also which of ``pool`` each is (-1 for clutter), the joints, and the frame's unit (B, 1).
        """
        count, settings = len(rotations), self.settings
        joints = self.body.rest_joints(source.coefficients)
        rest = self._rest(source, (pool,))
        weights = self.weights[pool]
        surface, placed = _posed(rest, weights, joints, rotations, source)

        height = 1.2 * (joints[:, 4, 1] - joints[:, 15, 1])
        scanned = round(settings.scan_share * count)
        clean = self._rand(count - scanned, settings.pool).topk(points).indices
        cloud = surface[scanned:].gather(1, clean.unsqueeze(-1).expand(-1, -1, 3))
        origin = clean
        if scanned:
            turned = torch.matmul(weights, rotations[:scanned].flatten(2)).unflatten(-1, (3, 3))
            normals = (turned @ self.normals[pool].unsqueeze(-1)).squeeze(-1)
            scans, scanned_from = simulate_scans(
                surface[:scanned],
                normals,
                points,
                self.generator,
                cell=2.0 * (1.8 / settings.pool) ** 0.5,
                settings=ScannerSettings(
                    objects=(settings.object_share, settings.more_share),
                    longest_edge=settings.longest_edge,
                ),
                height=height[:scanned],
            )
            cloud, origin = torch.cat([scans, cloud]), torch.cat([scanned_from, origin])
        noisy = self._rand(count, 1, 1) < settings.noise_share
        spread = settings.noise * noisy * self._rand(count, 1, 1) * height.view(-1, 1, 1)
        cloud = cloud + spread * self._randn(*cloud.shape)
        pose, centre, unit = normalise_pose(cloud)
        return pose, origin, (placed - centre) / unit, unit.squeeze(2)

    def _query_points(
        self, count: int, pool: Tensor, points: int
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Per-sample surface samples, then the ends of edges that the whole batch shares."""
        body = self.body
        chosen = self._rand(count, len(pool)).topk(points).indices
        faces = body.faces[self._randint(len(body.faces), EDGES)]
        ends = torch.cat([faces[:, 0], faces[:, 1]])
        weights = torch.cat(
            [self.weights[pool[chosen]], body.weights[ends].expand(count, -1, -1)], dim=1
        )
        return (pool, chosen, ends), weights

    def _rest(self, identity: Identity, where: tuple[Tensor, ...]) -> Tensor:
        """Rest positions, soft offsets included, at what :meth:`_query_points` chose."""
        coefficients = identity.coefficients
        rest = self.points[where[0]] + _blend(coefficients, self.components[:, where[0]])
        if len(where) == 3:
            rest = rest.gather(1, where[1].unsqueeze(-1).expand(-1, -1, 3))
            ends = self.body.template[where[2]] + _blend(
                coefficients, self.body.components[:, where[2]]
            )
            rest = torch.cat([rest, ends], 1)
        return rest + identity.offsets(rest)

    def _unit(self, identity: Identity, joints: Tensor) -> Tensor:
        """Square root of the surface area (B,), estimated from a few faces at rest."""
        body = self.body
        picked = torch.multinomial(self.face_area, AREA_FACES, True, generator=self.generator)
        corner = body.faces[picked].flatten()
        rest = body.template[corner] + _blend(identity.coefficients, body.components[:, corner])
        straight = torch.eye(3, device=rest.device).expand(len(rest), 19, 3, 3)
        rest, _ = _posed(rest, body.weights[corner], joints, straight, identity)
        a, b, c = rest.unflatten(1, (AREA_FACES, 3)).unbind(2)
        area = torch.cross(b - a, c - a, dim=-1).norm(dim=-1) / 2
        # faces were drawn by template area: the mean ratio times the template's whole area
        unit: Tensor = ((area / self.face_area[picked]).mean(1) * self.face_area.sum()).sqrt()
        return unit

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.body.template.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.body.template.device)

    def _randint(self, high: int, count: int) -> Tensor:
        device = self.body.template.device
        return torch.randint(high, (count,), generator=self.generator, device=device)


def _blend(coefficients: Tensor, components: Tensor) -> Tensor:
    blended: Tensor = (coefficients @ components.flatten(1)).unflatten(1, (-1, 3))
    return blended


def _posed(
    rest: Tensor, weights: Tensor, joints: Tensor, rotations: Tensor, identity: Identity
) -> tuple[Tensor, Tensor]:
    placed = forward_kinematics(joints, rotations, identity.scales)
    linear = rotations * identity.scales.unsqueeze(-1)
    return skin(rest, weights, joints, placed, linear), placed
