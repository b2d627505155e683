"""What of a surface can be seen from outside: cloth over skin, helper shells, one copy in another.

Depth is compared with that of the nearest sample along each of many directions. A sample is looked
at from where it is seen steeply, or its own slope would hide it.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats, Indices, Mask
from posetx.geometry.mesh import cross_of_faces, face_areas
from posetx.geometry.sampling import sample_surface, voxel_groups

#: directions that are looked along, from both ends
DIRECTIONS = 16
#: pixels along the longest edge of the surface's box
PIXELS = 160
#: samples a pixel's area of the surface: fewer leave holes to look through
DENSE = 3.0
#: cosine of the steepest view in which a sample is looked for
STEEP = 0.55
#: at most so many pixels behind the front one is still in front
BEHIND = 1.0
#: voxels along the longest edge of the box, and samples for each of their sides' areas
VOXELS, VOXEL_DENSE = 100, 8.0
#: voxels that a surface fills for each of their sides' areas: 1.24 where it is a person's
CROSSED = 1.24
#: samples that layers are counted by, and the pixel's edge in their mean distance
FEW, COARSE = 4096, 2.5


def covered_area(vertices: Floats, faces: Indices) -> float:
    """The area of a surface whose copies, a voxel apart or less, count once."""
    edge = float(np.ptp(vertices[np.unique(faces)], axis=0).max()) / VOXELS
    count = int(VOXEL_DENSE * face_areas(vertices, faces).sum() / edge**2)
    points, _, _ = sample_surface(vertices, faces, count)
    return len(voxel_groups(points, edge)[0]) * edge**2 / CROSSED


def layers(vertices: Floats, faces: Indices) -> float:
    """How often a line through the surface crosses it, the least of the three axes.

    2 of a closed convex body; up to about 2.5 of a person who stands.
    """
    cross = 0.5 * np.abs(cross_of_faces(vertices, faces)).sum(0)
    points, _, _ = sample_surface(vertices, faces, FEW)
    area = face_areas(vertices, faces).sum()
    cell = COARSE * np.sqrt(area / FEW)
    counts = []
    for k in range(3):
        seen = np.delete(points, k, axis=1)
        filled = len(np.unique(np.floor(seen / cell).astype(np.int64), axis=0))
        counts.append(cross[k] / (filled * cell**2))
    return float(min(counts))


def outer_faces(vertices: Floats, faces: Indices) -> Mask:
    """Which triangles (m,) are mostly seen from outside; all of a mesh without area."""
    areas = face_areas(vertices, faces)
    span = float(np.ptp(vertices[np.unique(faces)], axis=0).max())
    pixel = span / PIXELS
    count = int(DENSE * areas.sum() / pixel**2)
    points, face, _ = sample_surface(vertices, faces, count)
    normals = cross_of_faces(vertices, faces)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    seen = np.zeros(len(points), dtype=bool)
    for axis in _directions(DIRECTIONS):
        steep = np.abs(normals @ axis)[face] > STEEP
        sides = np.linalg.svd(axis[None])[2][1:]
        cells = np.floor(points @ sides.T / pixel).astype(np.int64)
        cells -= cells.min(axis=0)
        cell = cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]
        depth = points @ axis
        front = np.full(cell.max() + 1, -np.inf)
        back = -front
        np.maximum.at(front, cell, depth)
        np.minimum.at(back, cell, depth)
        first = np.maximum(depth - front[cell], back[cell] - depth) >= -BEHIND * pixel
        seen |= steep & first
    shown = np.bincount(face, weights=seen, minlength=len(faces))
    number = np.bincount(face, minlength=len(faces))
    mostly: Mask = shown >= 0.5 * np.maximum(number, 1)
    return mostly


def _directions(count: int) -> Floats:
    """Unit vectors (count, 3), evenly spread over half a sphere."""
    step = np.arange(count) + 0.5
    z = step / count
    turn = step * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1)
