"""Measures of a triangle mesh: areas, edges, connected parts, and how far a pose deforms it.

Faces are (m, 3) integer triangles. Every function takes a mesh as it comes: repeated positions,
zero-area and doubled triangles, non-manifold edges and unused vertices are all fine.
"""

from __future__ import annotations

import numpy as np

from posetx.arrays import Floats, Indices
from posetx.geometry.polar import nearest_rotations


def cross_of_faces(vertices: Floats, faces: Indices) -> Floats:
    """Cross product (m, 3) of two edges of each triangle: its normal, twice its area long."""
    vertices = np.asarray(vertices, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    corners = vertices[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def face_areas(vertices: Floats, faces: Indices) -> Floats:
    """Area of each triangle, (m,), in squared units of `vertices` (n, 3)."""
    areas: Floats = 0.5 * np.linalg.norm(cross_of_faces(vertices, faces), axis=1)
    return areas


def surface_area(vertices: Floats, faces: Indices) -> float:
    """Total area of all triangles; 0.0 for a mesh without faces."""
    return float(face_areas(vertices, faces).sum())


def area_centroid(vertices: Floats, faces: Indices) -> Floats:
    """Centroid (3,) of the surface; the mean of the vertices where the surface has no area."""
    vertices = np.asarray(vertices, dtype=np.float64)
    areas = face_areas(vertices, faces)
    total = areas.sum()
    if not total > 0.0:
        return vertices.mean(axis=0) if len(vertices) else np.zeros(3)
    # Relative to one vertex, so that a mesh far from the origin keeps its digits.
    origin = vertices[faces[0, 0]]
    centres = vertices[faces].mean(axis=1) - origin
    centroid: Floats = origin + areas @ centres / total
    return centroid


def vertex_areas(vertices: Floats, faces: Indices) -> Floats:
    """A third of the area of the triangles round each vertex, (n,)."""
    thirds = np.repeat(face_areas(vertices, faces) / 3.0, 3)
    areas: Floats = np.bincount(
        np.asarray(faces).ravel(), weights=thirds, minlength=len(vertices)
    ).astype(np.float64)
    return areas


def vertex_normals(vertices: Floats, faces: Indices) -> Floats:
    """Unit normals (n, 3), the mean of the triangles round each vertex by area; 0 without any."""
    cross = np.repeat(cross_of_faces(vertices, faces), 3, axis=0)
    corners = np.asarray(faces).ravel()
    sums = [np.bincount(corners, weights=axis, minlength=len(vertices)) for axis in cross.T]
    normals = np.stack(sums, axis=1)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    unit: Floats = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0.0)
    return unit


def unique_edges(faces: Indices) -> Indices:
    """Undirected edges (e, 2) of the triangles, each once, lower index first, sorted."""
    faces = np.asarray(faces, dtype=np.int64)
    if not len(faces):
        return np.zeros((0, 2), dtype=np.int64)
    ends = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    ends = ends[ends[:, 0] != ends[:, 1]]
    # One integer a pair sorts many times faster than rows do.
    base = int(faces.max()) + 1
    keys = np.unique(ends[:, 0] * base + ends[:, 1])
    return np.stack([keys // base, keys % base], axis=1)


def edge_lengths(vertices: Floats, edges: Indices) -> Floats:
    """Length (e,) of each edge (e, 2)."""
    vertices = np.asarray(vertices, dtype=np.float64)
    lengths: Floats = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    return lengths


def edge_distortion(rest: Floats, faces: Indices, posed: Floats) -> float:
    """Mean over the unique edges of |l / l0 - 1|; edges of no length at rest are left out.

    Parameters
    ----------
    rest, posed : (n, 3), the same mesh before and after, in the same unit
    faces : (m, 3)
    """
    edges = unique_edges(faces)
    before = edge_lengths(rest, edges)
    after = edge_lengths(posed, edges)
    # Below the rounding of the coordinates a ratio of lengths means nothing.
    real = before > 1e-9 * max(float(np.ptp(rest, axis=0).max(initial=0.0)), 1e-300)
    if not real.any():
        return 0.0
    return float(np.abs(after[real] / before[real] - 1.0).mean())


def flipped_share(rest: Floats, faces: Indices, posed: Floats) -> float:
    """Share of triangles that turned over against the rotation of their neighbourhood.

    Each vertex gets the rotation that best carries the triangles round it from `rest` to `posed`;
    a triangle has flipped if its posed normal points against its rest normal turned by the mean
    of its three vertices' rotations. A rigid motion gives 0.0, a crumpled or folded result more.
    Triangles without area at rest or after are left out.
    """
    from scipy.sparse import csr_array

    rest = np.asarray(rest, dtype=np.float64)
    posed = np.asarray(posed, dtype=np.float64)
    faces = np.asarray(faces, dtype=np.int64)
    normals, posed_normals = cross_of_faces(rest, faces), cross_of_faces(posed, faces)
    size = np.linalg.norm(normals, axis=1)
    posed_size = np.linalg.norm(posed_normals, axis=1)
    real = (size > 1e-12 * size.max(initial=0.0)) & (posed_size > 0.0)
    if not real.any():
        return 0.0
    faces, normals, posed_normals = faces[real], normals[real], posed_normals[real]
    # Covariance of the edge vectors of a triangle, summed to its vertices and once more to the
    # vertices' neighbours: a fold then stands against more than itself.
    corners, posed_corners = rest[faces], posed[faces]
    edges = corners - np.roll(corners, 1, axis=1)
    posed_edges = posed_corners - np.roll(posed_corners, 1, axis=1)
    per_face = np.einsum("fei,fej->fij", posed_edges, edges).reshape(-1, 9)
    count = len(faces)
    place = (faces.ravel(), np.repeat(np.arange(count), 3))
    around = csr_array((np.ones(3 * count), place), shape=(len(rest), count))
    covariance = around @ (around.T @ (around @ per_face))
    # a rotation a vertex, of which there are half as many as triangles
    rotations = nearest_rotations(covariance.reshape(-1, 3, 3)).reshape(-1, 9)
    mean = (around.T @ rotations).reshape(-1, 3, 3)
    turned = np.einsum("fij,fj->fi", mean, normals)
    return float((np.einsum("fi,fi->f", turned, posed_normals) < 0.0).mean())


def weld(vertices: Floats) -> tuple[Indices, Indices]:
    """Group vertices that lie at exactly the same position (seams of UVs or of split normals).

    Returns
    -------
    first : (u,) index of one vertex of each group, ascending
    group : (n,) the group of each vertex, so that vertices[first][group] == vertices
    """
    # + 0.0 turns -0.0 into 0.0, which has other bytes but is the same position.
    rows = np.ascontiguousarray(np.asarray(vertices, dtype=np.float64) + 0.0)
    order = np.lexsort(rows.T)
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows[order[1:]] != rows[order[:-1]]).any(axis=1)
    group = np.empty(len(rows), dtype=np.int64)
    group[order] = np.cumsum(new) - 1
    # lexsort is stable, so the first of each run is the group's lowest index. Number the groups
    # by it, so that a mesh without seams keeps its order (and its cache locality).
    lowest = order[new]
    rank = np.empty(len(lowest), dtype=np.int64)
    by_first = np.argsort(lowest, kind="stable")
    rank[by_first] = np.arange(len(lowest))
    return lowest[by_first], rank[group]


def connected_parts(faces: Indices, count: int) -> tuple[int, Indices]:
    """Number of connected parts and the part of each of `count` vertices, joined by edges.

    A vertex without a triangle is a part of its own.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    faces = np.asarray(faces, dtype=np.int64)
    links = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]])
    ones = np.ones(len(links), dtype=np.int8)
    graph = coo_array((ones, (links[:, 0], links[:, 1])), shape=(count, count)).tocsr()
    parts, labels = connected_components(graph, directed=False)
    return int(parts), labels.astype(np.int64)
