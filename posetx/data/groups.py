"""Training without ground truth on the user's own meshes: any animals, grouped by identity.

A folder with a folder for each identity, of meshes of it in several poses, or files
``id{i}_{j}.obj`` as in SMPL-NPT. Only the meshes of one identity share their faces; no pose need be
shown by two. Up and front are the same for all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import Floats
from posetx.data.folder import NAME, PATIENCE, about_centroid, check_topology
from posetx.data.stream import EDGES, Batch, StreamSettings
from posetx.files.checks import problem
from posetx.files.targets.base import TARGET_SUFFIXES, read_target
from posetx.geometry.frames import normalise_pose
from posetx.geometry.rotations import matrix_from_yaw
from posetx.geometry.triangles import barycentric


@dataclass
class Group:
    """One identity: N poses of V vertices, about the centroid, in square roots of the area."""

    name: str
    vertices: Tensor  # (N, V, 3) float32
    units: Tensor  # (N,) the square roots, in the files' unit
    faces: Tensor  # (F, 3) int64
    face_area: Tensor  # (F,) mean share of a mesh's area


@dataclass
class MeshGroups:
    """All meshes of a folder, in memory."""

    path: Path
    groups: list[Group]

    @classmethod
    def read(cls, path: Path, device: torch.device | None = None) -> MeshGroups:
        """Read the folder once.

        Raises PosetxError, which names the file: no such folder, fewer than two identities, one
        with fewer than two meshes, a file that cannot be read, has no area or other faces than
        the first one of its identity.
        """
        from posetx.system.console import progress_bar

        found = _find(path)
        begin = time.monotonic()
        groups = []
        with progress_bar() as bar:
            task = bar.add_task("meshes", total=sum(map(len, found.values())), visible=False)
            for name, files in found.items():
                groups.append(_group(name, files, device))
                late = time.monotonic() - begin > PATIENCE
                bar.update(task, advance=len(files), visible=late)
        return cls(path, groups)

    def __str__(self) -> str:
        count = sum(len(group.units) for group in self.groups)
        return f"{count} meshes of {self.path}: {len(self.groups)} identities, without ground truth"


def _find(folder: Path) -> dict[str, list[Path]]:
    """The files of each identity. Raises PosetxError."""
    if not folder.is_dir():
        raise problem(folder, "is not a folder", "name the folder of the meshes")
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            files = [f for f in sorted(entry.iterdir()) if f.suffix.lower() in TARGET_SUFFIXES]
            if files:
                found[entry.name] = files
        elif entry.suffix.lower() in TARGET_SUFFIXES and (match := NAME.fullmatch(entry.stem)):
            found.setdefault(f"id{match[1]}", []).append(entry)
    if len(found) < 2:
        raise problem(
            folder,
            f"has meshes of {len(found)} identities, and needs two at least",
            "give each identity a folder of its meshes, or name them id{identity}_{pose}",
        )
    for name, files in found.items():
        if len(files) < 2:
            raise problem(files[0], f"is the only mesh of {name}", "add it in another pose")
    return found


def _group(name: str, files: list[Path], device: torch.device | None) -> Group:
    first = read_target(files[0])
    vertices, units, shares = [], [], []
    for file in files:
        mesh = read_target(file) if file is not files[0] else first
        check_topology(mesh, first)
        centred, unit, share = about_centroid(mesh)
        vertices.append(centred)
        units.append(unit)
        shares.append(share)

    def kept(values: Floats) -> Tensor:
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    return Group(
        name,
        kept(np.stack(vertices)),
        kept(np.array(units)),
        torch.from_numpy(first.faces).to(device),
        kept(np.mean(shares, axis=0)),
    )


class GroupStream:
    """Draws batches from :class:`MeshGroups`.

    A sample is one identity in two of its poses: ``queries`` show the one, ``truth`` the other,
    turned by a random heading, and ``pose`` other points of that. Nothing else is known.
    """

    def __init__(self, groups: MeshGroups, settings: StreamSettings, seed: int = 0):
        self.groups = groups
        self.settings = replace(settings, scan_share=0.0, reposed_share=0.0, noise_share=0.0)
        self.device = groups.groups[0].units.device
        self.generator = torch.Generator(device=self.device).manual_seed(seed)

    def draw(self, count: int, points: int | None = None) -> Batch:
        """The next ``count`` samples, of at most ``points`` pose and identity points each."""
        settings = self.settings
        limit = points or settings.pool
        sample = min(settings.identity_points, limit)
        clouds, shown, aims, metres = [], [], [], []
        for _ in range(count):
            group = self.groups.groups[self._below(len(self.groups.groups))]
            own, other = self._two(len(group.units))
            ends = group.faces[self._faces(group, EDGES)][:, :2].T.flatten()
            where = self._surface(group, sample)
            pair = [
                torch.cat([_points(group, pose, *where), group.vertices[pose, ends]])
                for pose in (own, other)
            ]
            clouds.append(
                _points(group, other, *self._surface(group, min(settings.pose_points, limit)))
            )
            shown.append(pair[0])
            aims.append(pair[1] * group.units[other] / group.units[own])
            metres.append(group.units[own])
        yaw = torch.deg2rad(torch.tensor(settings.yaw_degrees)) * (2 * self._rand(count) - 1)
        turn = matrix_from_yaw(yaw)
        queries, truth = torch.stack(shown), torch.stack(aims) @ turn.mT
        queries = queries - queries[:, :sample].mean(1, keepdim=True)
        return Batch(
            pose=normalise_pose(torch.stack(clouds) @ turn.mT)[0],
            identity=queries[:, :sample],
            queries=queries,
            truth=truth - truth[:, :sample].mean(1, keepdim=True),
            metres=torch.stack(metres),
        )

    def _two(self, poses: int) -> tuple[int, int]:
        first = self._below(poses)
        return first, (first + 1 + self._below(poses - 1)) % poses

    def _below(self, limit: int) -> int:
        drawn = torch.randint(limit, (1,), generator=self.generator, device=self.device)
        return int(drawn)

    def _faces(self, group: Group, count: int) -> Tensor:
        """Faces (count,) drawn by their area."""
        return torch.multinomial(group.face_area, count, True, generator=self.generator)

    def _surface(self, group: Group, points: int) -> tuple[Tensor, Tensor]:
        """Random places on the surface: corners (P, 3) and barycentric weights (P, 3)."""
        bary = barycentric(self._rand(2, points))
        return group.faces[self._faces(group, points)], bary

    def _rand(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator, device=self.device)


def _points(group: Group, pose: int, corners: Tensor, bary: Tensor) -> Tensor:
    """Surface points (P, 3) of a group's mesh."""
    return (group.vertices[pose, corners] * bary.unsqueeze(-1)).sum(1)
