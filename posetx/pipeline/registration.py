"""The fitted body as a mesh: the same vertices and faces for every scan, and how far from it.

Distances are in millimetres of the scan's unit (:func:`posetx.geometry.units.unit_of`), and counted
by area: the body has a third of its vertices in the face.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from posetx.arrays import Floats, Indices
from posetx.errors import UsageError
from posetx.files.atomic import write_bytes_atomic
from posetx.files.dress import to_linear
from posetx.files.scan_write import encode_ply, write_scan
from posetx.files.scans import Scan
from posetx.geometry.mesh import vertex_areas
from posetx.geometry.ramp import SCALAR_COLORS, palette
from posetx.geometry.triangles import distance_to_mesh
from posetx.geometry.units import Unit

if TYPE_CHECKING:
    import trimesh

#: what the ramp's red end stands for; its blue end is nought (mm)
FARTHEST = 20.0
#: what counts as close (mm)
CLOSE = 10.0
SUFFIXES = (".ply", ".obj", ".glb")


@dataclass(frozen=True)
class Distances:
    """Of many distances, in mm: the mean, the median, what 95 % are below, the share to CLOSE."""

    mean: float
    median: float
    p95: float
    within_10: float

    @classmethod
    def of(cls, distance: Floats, weight: Floats) -> Distances:
        """Of distances (n,) that count ``weight`` (n,)."""
        order = np.argsort(distance)
        share = np.cumsum(weight[order]) / weight.sum()
        half, most = np.searchsorted(share, [0.5, 0.95]).clip(max=len(order) - 1)
        return cls(
            float(distance @ weight / weight.sum()),
            float(distance[order[half]]),
            float(distance[order[most]]),
            float(weight[distance <= CLOSE].sum() / weight.sum()),
        )

    def to_json(self) -> dict[str, float]:
        """The fields by name."""
        return asdict(self)


@dataclass
class Registration:
    """A body fitted to a scan.

    Attributes
    ----------
    vertices : (V, 3) in the scan's frame and unit; the same vertex is the same place of any body
    faces : (F, 3) triangles, the same always
    points : (k, 3) the scan's, as far as they were taken for the body
    unit : the scan's
    turn : (3, 3) from the scan's frame to one with y up, in which GLB stands
    """

    vertices: Floats
    faces: Indices
    points: Floats
    unit: Unit
    turn: Floats

    @cached_property
    def distance(self) -> Floats:
        """(V,) of each vertex to the nearest of the scan's points, in mm."""
        away: Floats = cKDTree(self.points).query(self.vertices)[0]
        return away * self.unit.millimetres

    @cached_property
    def of_body(self) -> Distances:
        """Of the body to the scan: large where the scan has no points."""
        return Distances.of(self.distance, vertex_areas(self.vertices, self.faces))

    @cached_property
    def of_points(self) -> Distances:
        """Of the scan's points to the body's surface: how well the body fits what there is."""
        away = distance_to_mesh(self.points, self.vertices, self.faces) * self.unit.millimetres
        return Distances.of(away, np.ones(len(away)))

    @property
    def colors(self) -> NDArray[np.uint8]:
        """(V, 3) of the distance: blue at 0 mm, pale at 10, red from 20 on."""
        return palette(SCALAR_COLORS, self.distance / FARTHEST)

    @property
    def mesh(self) -> trimesh.Trimesh:
        """The body with these colours, and the distance as a property of the vertices."""
        import trimesh  # here, because its start-up time is felt

        return trimesh.Trimesh(
            self.vertices,
            self.faces,
            vertex_colors=self.colors,
            vertex_attributes={"distance": self.distance},
            process=False,
        )

    def save(self, path: str | Path) -> None:
        """Write it in the scan's frame and unit with its colours, whole or not at all.

        PLY has the distance (mm) as a property of the vertices as well. GLB, in which y is up, has
        the scan's frame below a node that turns it upright. Raises UsageError for another format,
        PosetxError where it cannot be written.
        """
        path = Path(path)
        check_body_suffix(path)
        suffix = path.suffix.lower()
        if suffix == ".ply":
            named = {"distance": self.distance}
            data = encode_ply(self.vertices, self.faces, None, self.colors, named)
            write_bytes_atomic(path, data)
        elif suffix == ".obj":
            write_scan(path, Scan(self.vertices, None, self.colors, self.faces, path))
        else:
            write_bytes_atomic(path, self._glb())

    def _glb(self) -> bytes:
        import trimesh

        turn = np.eye(4)
        turn[:3, :3] = self.turn
        mesh, scene = self.mesh, trimesh.Scene()
        # a glTF's colours are shares of light
        light = 255 * to_linear(self.colors / 255)
        mesh.visual.vertex_colors = light.round().astype(np.uint8)
        scene.add_geometry(mesh, node_name="body", geom_name="body", transform=turn)
        data: Any = scene.export(file_type="glb")
        return bytes(data)


def check_body_suffix(path: Path) -> None:
    """Refuse a body's file that is in no format that is written. Raises UsageError."""
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{path}: a body is written as one of {' '.join(SUFFIXES)}; choose one")
