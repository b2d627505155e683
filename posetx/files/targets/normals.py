"""Stored normals follow the surface: each is turned as the triangles that use it turned."""

from __future__ import annotations

import numpy as np

CHUNK = 200_000  # 3x3 problems solved at once; keeps the memory of a million-vertex mesh flat


def turned(
    vectors: np.ndarray,
    corners: np.ndarray,
    faces: np.ndarray,
    old: np.ndarray,
    new: np.ndarray,
) -> np.ndarray:
    """Normals (or tangents) turned with the surface.

    A vector is turned by the rotation that best takes the edges and the normals of the triangles
    using it from `old` to `new`. So a normal shared by a smooth neighbourhood turns with the mean
    of it, and one that belongs to a single face (a hard edge) turns with that face exactly; a
    rigid motion of the whole mesh turns every vector exactly.

    Parameters
    ----------
    vectors : (k, 3) float64
    corners : (m, 3) int64
        the vector used by each triangle corner, -1 for none
    faces : (m, 3) int64
        the vertex at each triangle corner
    old, new : (n, 3) float64
        vertices before and after

    Returns
    -------
    (k, 3) float64
        same lengths; vectors whose triangles did not move are returned exactly as they came
    """
    vectors = np.array(vectors, dtype=np.float64)
    if not len(vectors) or not len(faces):
        return vectors
    moved = (old != new).any(axis=1)
    triangles = np.flatnonzero(moved[faces].any(axis=1) & (corners >= 0).any(axis=1))
    if not len(triangles):
        return vectors
    corners, faces = corners[triangles], faces[triangles]
    # Sizes do not matter for rotations, overflow does.
    size = max(float(np.ptp(old, axis=0).max()), float(np.ptp(new, axis=0).max()))
    terms = _covariance(faces, old / size, new / size)

    used, where = np.unique(corners, return_inverse=True)
    where = where.reshape(corners.shape)
    sums = np.zeros((len(used), 9))
    for column in range(9):
        for corner in range(3):
            sums[:, column] += np.bincount(
                where[:, corner], weights=terms[:, column], minlength=len(used)
            )
    for begin in range(0, len(used), CHUNK):
        part = slice(begin, begin + CHUNK)
        keys = used[part]
        rotations = _rotations(sums[part].reshape(-1, 3, 3))
        result = np.einsum("kij,kj->ki", rotations, vectors[keys])
        known = keys >= 0
        vectors[keys[known]] = result[known]
    return vectors


def _covariance(faces: np.ndarray, old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(m, 9): per triangle, the sum over its edges and normal of new times old transposed."""
    a, b = old[faces], new[faces]
    total = np.zeros((len(faces), 3, 3))
    for corner in range(3):
        edge_a = a[:, (corner + 1) % 3] - a[:, corner]
        edge_b = b[:, (corner + 1) % 3] - b[:, corner]
        total += edge_b[:, :, None] * edge_a[:, None, :]
    normal_a = np.cross(a[:, 1] - a[:, 0], a[:, 2] - a[:, 0])
    normal_b = np.cross(b[:, 1] - b[:, 0], b[:, 2] - b[:, 0])
    # Lengths are areas; their product's root brings the term to the size of the edge terms.
    lengths = np.linalg.norm(normal_a, axis=1) * np.linalg.norm(normal_b, axis=1)
    scale = 1.0 / np.sqrt(np.maximum(lengths, 1e-60))
    total += (scale[:, None] * normal_b)[:, :, None] * normal_a[:, None, :]
    return np.nan_to_num(total.reshape(-1, 9), posinf=0.0, neginf=0.0)


def _rotations(covariance: np.ndarray) -> np.ndarray:
    """(k, 3, 3) proper rotations nearest to `covariance`; the identity where there is nothing."""
    u, s, vt = np.linalg.svd(covariance)
    u[:, :, 2] *= np.sign(np.linalg.det(u) * np.linalg.det(vt))[:, None]
    rotations: np.ndarray = u @ vt
    # Less than a plane's worth of information: degenerate triangles only.
    rotations[s[:, 1] <= 1e-9 * np.maximum(s[:, 0], 1e-300)] = np.eye(3)
    return rotations
