"""What is done to meshes here: normals, smoothing, the nearest point, a depth buffer."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_array
from scipy.spatial import cKDTree


def triangles(quads: np.ndarray) -> np.ndarray:
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def blend(values: np.ndarray, corners: np.ndarray, bary: np.ndarray) -> np.ndarray:
    """Vertex values (V, C) at points in triangles: corners (N, 3), barycentrics (N, 3)."""
    return (values[corners] * bary[..., None]).sum(1)


def vertex_normals(vertices: np.ndarray, polygons) -> np.ndarray:
    fan = np.array([(p[0], p[i], p[i + 1]) for p in polygons for i in range(1, len(p) - 1)])
    a, b, c = vertices[fan].transpose(1, 0, 2)
    out = np.zeros_like(vertices)
    for column in range(3):
        np.add.at(out, fan[:, column], np.cross(b - a, c - a))
    return out / np.linalg.norm(out, axis=1, keepdims=True).clip(1e-12)


def smoothed(values: np.ndarray, polygons, steps: int, where=...) -> np.ndarray:
    """Values (V,) or (V, C) averaged with the neighbours', at the vertices ``where``."""
    edges = np.array([(p[i - 1], vertex) for p in polygons for i, vertex in enumerate(p)])
    graph = coo_array((np.ones(len(edges)), edges.T), (len(values), len(values))).tocsr()
    graph = graph + graph.T
    degree = graph.sum(1).clip(1)
    for _ in range(steps):
        mean = ((graph @ values).T / degree).T
        values = values.copy()
        values[where] = (0.5 * values + 0.5 * mean)[where]
    return values


def nearest(points: np.ndarray, corner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the triangles (F, 3, 3) to each point: its index, and barycentrics there."""
    from trimesh.triangles import closest_point, points_to_barycentric

    _, candidate = cKDTree(corner.mean(1)).query(points, min(10, len(corner)))
    many = np.repeat(points, candidate.shape[1], 0)
    at = closest_point(corner[candidate.ravel()], many)
    best = np.linalg.norm(at - many, axis=1).reshape(candidate.shape).argmin(1)
    row = np.arange(len(points))
    face = candidate[row, best]
    bary = points_to_barycentric(corner[face], at.reshape(*candidate.shape, 3)[row, best]).clip(0)
    return face, bary / bary.sum(1, keepdims=True)


def rasterise(corner: np.ndarray, depth: np.ndarray, shape: tuple[int, int]):
    """The nearest triangle at every pixel of an image.

    Parameters
    ----------
    corner : (F, 3, 2) column and row of the triangles' corners, in pixels.
    depth : (F, 3) their distances; in perspective 1 / depth is linear over the image.

    Returns
    -------
    face : (H, W), -1 where there is none; bary : (H, W, 3), perspective-correct.
    """
    rows, columns = shape
    # every pixel of every triangle's bounding box
    low = np.ceil(corner.min(1) - 0.5).astype(int).clip(0)
    high = np.floor(corner.max(1) - 0.5).astype(int).clip(None, (columns - 1, rows - 1))
    extent = (high - low + 1).clip(0)
    number = extent.prod(1)
    face = np.repeat(np.arange(len(corner)), number)
    step = np.arange(number.sum()) - np.repeat(number.cumsum() - number, number)
    column = low[face, 0] + step % extent[face, 0]
    row = low[face, 1] + step // extent[face, 0]

    a, b, c = corner[face].transpose(1, 0, 2)
    point = np.stack([column + 0.5, row + 0.5], 1)

    def area(p, q, r):
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])

    whole = area(a, b, c)
    whole = np.where(np.abs(whole) < 1e-12, 1e-12, whole)
    bary = np.stack([area(point, b, c), area(point, c, a), area(point, a, b)], 1) / whole[:, None]
    inside = (bary >= -1e-9).all(1)
    face, pixel, bary = face[inside], (row * columns + column)[inside], bary[inside]
    bary = bary / depth[face]
    near = bary.sum(1)  # 1 / depth
    order = np.argsort(near, kind="stable")  # the nearest is written last
    out_face, out_bary = np.full(rows * columns, -1), np.zeros((rows * columns, 3))
    out_face[pixel[order]] = face[order]
    out_bary[pixel[order]] = (bary / near[:, None])[order]
    return out_face.reshape(shape), out_bary.reshape(*shape, 3)
