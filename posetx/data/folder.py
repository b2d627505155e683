"""Training on the user's own meshes with ground truth, in the layout of the SMPL-NPT data set.

A folder of files ``id{i}_{j}.obj`` (or another mesh format): identity i in pose j. All meshes share
one topology, y is up and +z the front, and the pose with the same j is the same for everyone. So
where identity b must go, given the pose that id{a}_{p} shows, is known: it is id{b}_{p}.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import Floats
from posetx.data.stream import EDGES, Batch, StreamSettings
from posetx.files.checks import problem
from posetx.files.targets.base import TARGET_SUFFIXES, Target, read_target
from posetx.geometry.frames import normalise_pose
from posetx.geometry.mesh import area_centroid, face_areas
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.triangles import barycentric

NAME = re.compile(r"id(\d+)_(\d+)")
#: vertices that would take more memory than this (bytes) are kept as float16: a third of a
#: millimetre on a person, at worst
FLOAT32_LIMIT = 2 * 2**30
#: seconds after which reading shows a progress bar
PATIENCE = 2.0
#: a standing adult's height in square roots of its surface area
BODY_HEIGHT = 1.3
#: largest heading (radians) of an identity of its own, as in BodyStream: nobody stands straight
OWN_YAW = 0.15


@dataclass
class MeshFolder:
    """All meshes of a folder, N files of V vertices, in memory.

    Vertices are about their surface's centroid, in square roots of its area, which is what keeps
    float16 exact enough in any unit; ``units`` are these square roots in the files' unit.
    """

    path: Path
    vertices: Tensor  # (N, V, 3) float32 or float16
    units: Tensor  # (N,) float32
    faces: Tensor  # (F, 3) int64
    face_area: Tensor  # (F,) float32, mean share of a mesh's area
    #: (identities, poses) int64: which file, -1 where there is none; rows and columns are in the
    #: order of the numbers in the names
    table: Tensor

    @classmethod
    def read(cls, path: Path, device: torch.device | None = None) -> MeshFolder:
        """Read the folder once (20 ms of processor time for an OBJ file of 7,000 vertices).

        Raises PosetxError, which names the file: no such folder, no file with such a name, a file
        that cannot be read, has another topology or no area, or is there twice; or when no pose
        is there of two identities.
        """
        from posetx.system.console import progress_bar  # rich is not everywhere that training is

        files = _find(path)
        table = _table(path, list(files))
        first = read_target(next(iter(files.values())))
        shape = (len(files), len(first.vertices), 3)
        small = 4 * np.prod(shape, dtype=np.int64) > FLOAT32_LIMIT
        try:
            vertices = np.empty(shape, np.float16 if small else np.float32)
        except MemoryError as error:
            raise problem(
                path, f"its {len(files)} meshes do not fit into memory", "use fewer"
            ) from error
        units = np.empty(len(files), np.float32)
        share = np.zeros(len(first.faces))
        begin = time.monotonic()
        with progress_bar() as bar:
            task = bar.add_task("meshes", total=len(files), visible=False)
            for row, file in enumerate(files.values()):
                mesh = read_target(file) if row else first
                check_topology(mesh, first)
                vertices[row], units[row], shares = about_centroid(mesh)
                share += shares
                late = time.monotonic() - begin > PATIENCE
                bar.update(task, completed=row + 1, visible=late)
        return cls(
            path,
            torch.from_numpy(vertices).to(device),
            torch.from_numpy(units).to(device),
            torch.from_numpy(first.faces).to(device),
            torch.from_numpy((share / len(files)).astype(np.float32)).to(device),
            table.to(device),
        )

    def __str__(self) -> str:
        identities, poses = self.table.shape
        return f"{len(self.units)} meshes of {self.path}: {identities} identities, {poses} poses"


def _find(folder: Path) -> dict[tuple[int, int], Path]:
    """The folder's meshes by identity and pose, in this order. Raises PosetxError."""
    if not folder.is_dir():
        raise problem(folder, "is not a folder", "name the folder of the meshes")
    found: dict[tuple[int, int], Path] = {}
    for file in sorted(folder.iterdir()):
        match = NAME.fullmatch(file.stem)
        if not match or file.suffix.lower() not in TARGET_SUFFIXES:
            continue
        key = int(match[1]), int(match[2])
        if key in found:
            raise problem(file, f"is the same body as {found[key].name}", "keep one of them")
        found[key] = file
    if not found:
        raise problem(
            folder,
            "has no meshes id0_0.obj, id0_1.obj and so on",
            f"name them id{{identity}}_{{pose}}, as one of {' '.join(TARGET_SUFFIXES)}",
        )
    return dict(sorted(found.items()))


def _table(folder: Path, keys: list[tuple[int, int]]) -> Tensor:
    """See :attr:`MeshFolder.table`. Raises PosetxError where no two identities share a pose."""
    identities = sorted({i for i, _ in keys})
    poses = sorted({j for _, j in keys})
    rows, columns = ({n: k for k, n in enumerate(numbers)} for numbers in (identities, poses))
    table = torch.full((len(identities), len(poses)), -1)
    for file, (i, j) in enumerate(keys):
        table[rows[i], columns[j]] = file
    if (table >= 0).sum(0).max() < 2:
        raise problem(
            folder,
            f"no two of its {len(identities)} identities share a pose",
            "id0_7 and id1_7, for example, must be the same pose",
        )
    return table


def check_topology(mesh: Target, first: Target) -> None:
    """Raises PosetxError unless a mesh has the faces of the folder's first one."""
    if len(mesh.vertices) != len(first.vertices):
        what = f"has {len(mesh.vertices)} vertices, {first.path.name} has {len(first.vertices)}"
    elif not np.array_equal(mesh.faces, first.faces):
        what = f"has other faces than {first.path.name}"
    else:
        return
    raise problem(mesh.path, what, "all meshes of the folder must share one topology")


def about_centroid(mesh: Target) -> tuple[Floats, float, Floats]:
    """Vertices (V, 3) about the surface's centroid, in square roots of its area; one of these in
    the file's unit; and the faces' shares (F,) of the area. Raises PosetxError without one.
    """
    area = face_areas(mesh.vertices, mesh.faces)
    whole = float(area.sum())
    if not 0 < np.float32(whole**0.5) < np.inf:  # units are kept so
        raise problem(mesh.path, "its surface has no area", "export it again")
    unit = whole**0.5
    centred = mesh.vertices - area_centroid(mesh.vertices, mesh.faces)
    return centred / unit, unit, area / whole


class FolderStream:
    """Draws batches from a :class:`MeshFolder`, as :class:`BodyStream` does from a body model.

    A sample is a pose p of two identities a and b, shown by a and to be taken by b, which itself
    is seen in any of its poses. Pose and truth turn together by a random heading. Pose sources
    are clean or noisy points of the surface; there are no scans. Nothing is known of joints,
    parts and skinning weights.
    """

    def __init__(self, meshes: MeshFolder, settings: StreamSettings, seed: int = 0):
        self.meshes = meshes
        #: what does not happen here is not in a model's card either
        self.settings = replace(settings, scan_share=0.0, reposed_share=0.0)
        self.device = meshes.units.device
        self.generator = torch.Generator(device=self.device).manual_seed(seed)
        there = meshes.table >= 0
        self.shared = there[:, there.sum(0) > 1].T.float()  # (poses of at least two, identities)
        self.shared_table = meshes.table[:, there.sum(0) > 1]
        self.there = there.float()

    def draw(self, count: int, points: int | None = None) -> Batch:
        """The next ``count`` samples, of at most ``points`` pose and identity points each."""
        settings, units = self.settings, self.meshes.units
        limit = points or settings.pool
        source, identity, truth = self._draw_files(count)
        turn = matrix_from_yaw(
            torch.deg2rad(torch.tensor(settings.yaw_degrees)) * (2 * self._rand(count) - 1)
        )
        own = matrix_from_yaw(OWN_YAW * (2 * self._rand(count) - 1))

        where = self._surface(count, min(settings.pose_points, limit))
        pose, _, _ = normalise_pose(self._noisy(self._points(source, *where) @ turn.mT))

        sample = min(settings.identity_points, limit)
        where = self._surface(count, sample)
        ends = self._edge_ends().expand(count, -1)
        shown = torch.cat([self._points(identity, *where), self._vertices(identity, ends)], 1)
        aim = torch.cat([self._points(truth, *where), self._vertices(truth, ends)], 1)
        # a posed mesh's area is not quite the identity's, but the unit is the identity's
        aim = (units[truth] / units[identity]).view(-1, 1, 1) * aim @ turn.mT
        shown = shown @ own.mT
        # As in BodyStream the sample's mean stands for the centroid. At inference the two agree:
        # there the sample is spread evenly.
        shown = shown - shown[:, :sample].mean(1, keepdim=True)
        return Batch(
            pose=pose,
            identity=shown[:, :sample],
            queries=shown,
            truth=aim - aim[:, :sample].mean(1, keepdim=True),
            metres=units[identity],
        )

    def _draw_files(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Which files are pose source, identity and truth; (B,) each."""
        pose = torch.randint(
            len(self.shared), (count,), generator=self.generator, device=self.device
        )
        pair = torch.multinomial(self.shared[pose], 2, generator=self.generator)
        source, truth = self.shared_table[pair, pose.unsqueeze(1)].unbind(1)
        own = torch.multinomial(self.there[pair[:, 1]], 1, generator=self.generator).squeeze(1)
        return source, self.meshes.table[pair[:, 1], own], truth

    def _surface(self, count: int, points: int) -> tuple[Tensor, Tensor]:
        """Random places on the surface: corners (B, P, 3) and barycentric weights (B, P, 3)."""
        corners = self.meshes.faces[self._faces(count * points)].unflatten(0, (count, points))
        return corners, barycentric(self._rand(2, count, points))

    def _faces(self, count: int) -> Tensor:
        """Faces (count,) drawn by their area."""
        return torch.multinomial(self.meshes.face_area, count, True, generator=self.generator)

    def _edge_ends(self) -> Tensor:
        """First, then second ends (2 E,) of edges that the whole batch shares.

        Of faces drawn by area, as slivers and collapsed faces have edges without a length.
        """
        corners = self.meshes.faces[self._faces(EDGES)]
        return torch.cat([corners[:, 0], corners[:, 1]])

    def _points(self, files: Tensor, corners: Tensor, bary: Tensor) -> Tensor:
        """Surface points (B, P, 3) of one file (B,) each, in that file's own frame."""
        values = self.meshes.vertices[files.view(-1, 1, 1), corners].float()
        return (values * bary.unsqueeze(-1)).sum(2)

    def _vertices(self, files: Tensor, index: Tensor) -> Tensor:
        """Vertices (B, K, 3), index (B, K), of one file (B,) each, in that file's own frame."""
        return self.meshes.vertices[files.view(-1, 1), index].float()

    def _noisy(self, cloud: Tensor) -> Tensor:
        """Gaussian noise on some of the clouds, as BodyStream has it."""
        settings, count = self.settings, len(cloud)
        noisy = self._rand(count, 1, 1) < settings.noise_share
        spread = settings.noise * BODY_HEIGHT * noisy * self._rand(count, 1, 1)
        noise = torch.randn(cloud.shape, generator=self.generator, device=self.device)
        return cloud + spread * noise

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device)
