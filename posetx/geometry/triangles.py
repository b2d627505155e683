"""Places on triangles: random ones, those nearest to points, and how far points are from a mesh."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from posetx.arrays import Floats, Indices

#: squared sine of a triangle's angle below which only its edges are looked at
FLAT = 1e-14
#: points whose distance to a mesh is found at once, which takes some 2 kB each
CHUNK = 50_000


def barycentric(uniform: Tensor) -> Tensor:
    """Weights (..., 3) of a triangle's corners, evenly spread, from numbers (2, ...) in [0, 1)."""
    u, v = uniform
    # the other half of the parallelogram, folded back
    fold = (u + v) > 1
    u, v = torch.where(fold, 1 - u, u), torch.where(fold, 1 - v, v)
    return torch.stack([1 - u - v, u, v], -1)


def nearest_on_triangles(points: Floats, corners: Floats) -> Floats:
    """Weights (..., 3) of the corners (..., 3, 3) at each triangle's place nearest to its point.

    ``points`` are (..., 3). After Ericson, Real-Time Collision Detection (2005), section 5.1.5,
    all regions at once: the foot of the perpendicular where it is within the triangle, and the
    nearest place on the edges elsewhere.
    """
    a, b, c = np.moveaxis(corners, -2, 0)
    to_b, to_c, to_point = b - a, c - a, points - a
    bb, bc, cc = _dot(to_b, to_b), _dot(to_b, to_c), _dot(to_c, to_c)
    bp, cp, pp = _dot(to_b, to_point), _dot(to_c, to_point), _dot(to_point, to_point)
    area = bb * cc - bc * bc
    flat = area <= FLAT * bb * cc
    area = np.where(flat, 1.0, area)
    v, w = (cc * bp - bc * cp) / area, (bb * cp - bc * bp) / area
    best = np.stack([1 - v - w, v, w], -1)
    outside = flat | (best.min(-1) < 0)
    # along a-b, a-c and b-c, as shares of each edge
    on_b, on_c = _share(bp, bb), _share(cp, cc)
    between = _share(cp - bp - bc + bb, bb - 2 * bc + cc)
    zero = np.zeros_like(bb)
    edges = (
        np.stack([1 - on_b, on_b, zero], -1),
        np.stack([1 - on_c, zero, on_c], -1),
        np.stack([zero, 1 - between, between], -1),
    )
    least = np.full_like(bb, np.inf)
    for edge in edges:
        v, w = edge[..., 1], edge[..., 2]
        # the squared distance to the point, but for what all edges share
        square = v * v * bb + 2 * v * w * bc + w * w * cc - 2 * (v * bp + w * cp) + pp
        nearer = outside & (square < least)
        best[nearer] = edge[nearer]
        least = np.where(nearer, square, least)
    return best


def distance_to_mesh(points: Floats, vertices: Floats, faces: Indices) -> Floats:
    """Distance (n,) of points (n, 3) to the surface of a mesh: (V, 3), (F, 3).

    Looked for on the triangles round the nearest vertex, which on a mesh as even as a body's are
    the right ones but for fractions of an edge. Vertices that no triangle uses do not count.
    """
    from scipy.spatial import cKDTree  # a lent machine that trains has torch alone

    used, corners = np.unique(faces, return_inverse=True)
    vertices, faces = vertices[used], corners.reshape(-1, 3)
    around, tree = triangles_around(faces, len(vertices)), cKDTree(vertices)
    distance = np.empty(len(points))
    for begin in range(0, len(points), CHUNK):
        some = points[begin : begin + CHUNK]
        triangles = vertices[faces[around[tree.query(some)[1]]]]  # (n, T, 3, 3)
        shares = nearest_on_triangles(some[:, None], triangles)
        apart = np.einsum("ntk,ntki->nti", shares, triangles) - some[:, None]
        distance[begin : begin + CHUNK] = np.linalg.norm(apart, axis=-1).min(1)
    return distance


def triangles_around(faces: Indices, vertices: int) -> Indices:
    """The triangles (V, T) round each vertex, one of them again and again where it has fewer."""
    corners = faces.ravel()
    order = np.argsort(corners, kind="stable")
    count = np.bincount(corners, minlength=vertices)
    place = np.arange(len(corners)) - np.repeat(np.cumsum(count) - count, count)
    around = np.full((vertices, count.max()), -1)
    around[corners[order], place] = order // 3
    filled: Indices = np.where(around < 0, around[:, :1], around)
    return filled


def _dot(a: Floats, b: Floats) -> Floats:
    dot: Floats = np.einsum("...i,...i->...", a, b)
    return dot


def _share(along: Floats, whole: Floats) -> Floats:
    share: Floats = np.clip(along / np.maximum(whole, 1e-300), 0.0, 1.0)
    return share
