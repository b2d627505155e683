"""Endless training batches: a pose source's points, an identity's points, where they must go.

Everything is made on one device from the body model's arrays: no files, no workers. Bodies are
evaluated at surface samples instead of all vertices, which is what makes two CPU cores enough.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posetx.bodies.body import BodyModel
from posetx.data.identities import Identity, draw_identities, draw_rest_poses
from posetx.data.plinth import add_plinths
from posetx.data.poses import PoseBank
from posetx.data.scanner import ADULT_AREA, ScannerSettings, cell_of, simulate_scans
from posetx.data.surface import Figure, Surface, area_samples, posed
from posetx.data.wardrobe.wardrobe import Wardrobe
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw

SURFACE_SAMPLES = 16384
EDGES = 16
#: samples of a batch that wear the same, in bodies and poses of their own
SAME_OUTFIT = 32


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

    pose_points: int = 512
    identity_points: int = 128
    pool: int = 1536
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
    #: of the pose sources and of the identities, how many are dressed
    dressed_share: float = 0.4
    dressed_identity_share: float = 0.6
    #: of both, dressed or not, how many have the proportions of cartoons
    stylised_share: float = 0.45
    #: of the dressed pose sources, how many stand on a base
    plinth_share: float = 0.15


@dataclass
class Group:
    """Samples of a batch that are of one figure: their rows (G,), ascending."""

    figure: Figure
    surface: Surface
    rows: Tensor
    scanned: int  # how many of the rows, the first ones, are of pose sources to be scanned
    cell: float  # of the scanner's depth buffer, metres
    dressed: bool


@dataclass
class Known:
    """Of each point of a pose source (B, P): its part (-1 for clutter), its place and lift."""

    part: Tensor
    place: Tensor
    lift: Tensor


class BodyStream:
    """Draws batches; all randomness comes from one generator whose state can be saved."""

    def __init__(self, body: BodyModel, poses: PoseBank, settings: StreamSettings, seed: int = 0):
        self.body, self.poses, self.settings = body, poses, settings
        device = body.template.device
        self.generator = torch.Generator(device=device).manual_seed(seed)
        self.bare, self.wardrobe = Figure.bare(body), Wardrobe(body)
        # fixed area-weighted samples of the template's surface, shared by all batches
        fixed = torch.Generator().manual_seed(0)
        faces, places = area_samples(self.bare.face_area.cpu(), SURFACE_SAMPLES, fixed)
        self.skin = self.bare.sample(faces.to(device), places.to(device))

    def draw(self, count: int, points: int | None = None) -> Batch:
        """The next ``count`` samples, of at most ``points`` pose and identity points each."""
        body, settings, style = self.body, self.settings, self.settings.stylised_share
        limit = points or settings.pool
        pose_points = min(settings.pose_points, limit)
        identity_points = min(settings.identity_points, limit)
        yaw = torch.deg2rad(torch.tensor(settings.yaw_degrees)) * (2 * self._rand(count) - 1)
        rotations = matrix_from_yaw(yaw).unsqueeze(1) @ self.poses.draw_varied(
            count, self.generator
        )
        pool = self._randint(SURFACE_SAMPLES, settings.pool)

        sources, identities = self._groups(count, self.skin[pool])
        source = draw_identities(body, count, self.generator, varied=True, stylised=style)
        known, pose, pose_joints = self._pose_source(source, rotations, sources, pose_points)

        identity = draw_identities(body, count, self.generator, varied=True, stylised=style)
        own = draw_rest_poses(body, count, self.generator)
        reposed = self._rand(count) < settings.reposed_share
        other = self.poses.draw_varied(count, self.generator)
        small_yaw = matrix_from_yaw(0.15 * (2 * self._rand(count) - 1)).unsqueeze(1)
        own = torch.where(reposed.view(-1, 1, 1, 1), other, own)
        own = small_yaw @ own

        joints = body.rest_joints(identity.coefficients)
        queries = [self._queries(identity, joints, group, identity_points) for group in identities]
        rest, weights, unit = (_in_order(identities, parts) for parts in zip(*queries, strict=True))
        shown, shown_joints = posed(rest, weights, joints, own, identity)
        truth, truth_joints = posed(rest, weights, joints, rotations, identity)

        centre = shown[:, :identity_points].mean(1, keepdim=True)
        aim = truth[:, :identity_points].mean(1, keepdim=True)
        scale = unit.view(-1, 1, 1)
        shown = (shown - centre) / scale
        return Batch(
            pose=pose,
            pose_part=known.part,
            pose_place=known.place,
            pose_lift=known.lift,
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

    def _groups(self, count: int, bare: Surface) -> tuple[list[Group], list[Group]]:
        """Who is dressed and as what, of the pose sources and of the identities."""
        settings = self.settings
        scanned = round(settings.scan_share * count)
        shares = (settings.dressed_share, settings.dressed_identity_share)
        if not any(shares):
            alike = [self._group(bare, torch.arange(count), scanned)]
            return alike, alike
        # rows and outfits are drawn by the host, which then knows them without asking the device
        state = self.generator.get_state().cpu().numpy().tobytes()
        host = torch.Generator().manual_seed(zlib.crc32(state))
        numbers = [round(share * count) for share in shares]
        outfits = [
            self.wardrobe.draw(settings.pool, host) for _ in range(-(-max(numbers) // SAME_OUTFIT))
        ]
        sides = []
        for number in numbers:
            order = torch.randperm(count, generator=host)
            chunks = order[:number].split(SAME_OUTFIT)
            groups = [
                self._group(surface, rows, scanned, figure)
                for (figure, surface), rows in zip(outfits, chunks, strict=False)
            ]
            groups.append(self._group(bare, order[number:], scanned))
            sides.append([group for group in groups if len(group.rows)])
        return sides[0], sides[1]

    def _group(
        self, surface: Surface, rows: Tensor, scanned: int, figure: Figure | None = None
    ) -> Group:
        rows = rows.sort().values
        few = int(np.count_nonzero(rows.numpy() < scanned))  # these are still with the host
        area = ADULT_AREA if figure is None else float(figure.face_area.sum())
        cell = cell_of(self.settings.pool, area)
        worn = figure or self.bare
        rows = rows.to(self.body.template.device)
        return Group(worn, surface, rows, few, cell, figure is not None)

    def _pose_source(
        self, source: Identity, rotations: Tensor, groups: list[Group], points: int
    ) -> tuple[Known, Tensor, Tensor]:
        """What is known of the points of each pose source, the points, and the joints.

        Samples of the surface, ``scan_share`` of them through the virtual scanner.
        """
        count, settings = len(rotations), self.settings
        joints = self.body.rest_joints(source.coefficients)
        height = 1.2 * (joints[:, 4, 1] - joints[:, 15, 1])
        shown = [self._shown(source, rotations, joints, height, group) for group in groups]
        surface, normals, placed, part, place, lift = (
            _in_order(groups, parts) for parts in zip(*shown, strict=True)
        )
        scanned = round(settings.scan_share * count)
        clean = self._rand(count - scanned, settings.pool).topk(points).indices
        cloud = surface[scanned:].gather(1, clean.unsqueeze(-1).expand(-1, -1, 3))
        origin = clean
        if scanned:
            cells = [torch.full_like(g.rows, g.cell, dtype=torch.float32) for g in groups]
            scans, scanned_from = simulate_scans(
                surface[:scanned],
                normals[:scanned],
                points,
                self.generator,
                cell=_in_order(groups, cells)[:scanned].unsqueeze(1),
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
        which = origin.clamp_min(0)
        known = Known(
            torch.where(origin < 0, -1, part.gather(1, which)),
            place.gather(1, which.unsqueeze(-1).expand(-1, -1, 3)),
            lift.gather(1, which) / unit.squeeze(2),
        )
        return known, pose, (placed - centre) / unit

    def _shown(
        self, source: Identity, rotations: Tensor, joints: Tensor, height: Tensor, group: Group
    ) -> tuple[Tensor, ...]:
        """A group's samples as they stand: points, normals of those to be scanned, joints, parts
        (-1 on a base), places and lifts."""
        rows, surface, few = group.rows, group.surface, group.scanned
        who, turn = source[rows], rotations[rows]
        rest = surface.rest(who)
        points, placed = posed(rest + who.offsets(rest), surface.weights, joints[rows], turn, who)
        turned = torch.matmul(surface.weights, turn[:few].flatten(2)).unflatten(-1, (3, 3))
        normals = torch.zeros_like(points)
        normals[:few] = (turned @ surface.normals.unsqueeze(-1)).squeeze(-1)
        part = surface.weights.argmax(-1).expand(len(rows), -1)
        if group.dressed and self.settings.plinth_share:
            points, normals, base = add_plinths(
                points, normals, height[rows], self.settings.plinth_share, self.generator
            )
            part = torch.where(base, -1, part)
        # what lies on a part that is scaled is off it by so much more
        size = who.scales.mean(-1) @ surface.weights.T
        place = surface.places.expand(len(rows), -1, -1)
        return points, normals, placed, part, place, surface.lifts * size

    def _queries(
        self, identity: Identity, joints: Tensor, group: Group, points: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A group's query points at rest, their weights, and the unit of their frames.

        Per-sample surface samples, then the ends of edges that the whole group shares.
        """
        rows, surface, figure = group.rows, group.surface, group.figure
        who = identity[rows]
        chosen = self._rand(len(rows), len(surface.points)).topk(points).indices
        faces = figure.faces[self._randint(len(figure.faces), EDGES)]
        ends = figure.at(torch.cat([faces[:, 0], faces[:, 1]]))
        weights = torch.cat(
            [surface.weights[chosen], ends.weights.expand(len(rows), -1, -1)], dim=1
        )
        rest = surface.rest(who).gather(1, chosen.unsqueeze(-1).expand(-1, -1, 3))
        rest = torch.cat([rest, ends.rest(who)], 1)
        rest = rest + who.offsets(rest)
        return rest, weights, figure.unit(who, joints[rows], self.generator)

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.body.template.device)

    def _randn(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.body.template.device)

    def _randint(self, high: int, count: int) -> Tensor:
        device = self.body.template.device
        return torch.randint(high, (count,), generator=self.generator, device=device)


def _in_order(groups: list[Group], parts: Sequence[Tensor]) -> Tensor:
    """What each group's rows have (G, ...), as it stands in the batch (B, ...)."""
    if len(groups) == 1:
        return parts[0]
    return torch.cat(list(parts))[torch.cat([group.rows for group in groups]).argsort()]
